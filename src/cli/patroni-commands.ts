import type { CommandSpec, OptionSpec } from './command.ts';

/*
 * The commands for a cluster that Patroni manages. Patroni calls two of them (patroni/postgresql/bootstrap.py), with
 * options of its own:
 *
 *   create_replica_methods   COMMAND --scope=S --role=replica --datadir=D --connstring=C, and every key of the method
 *                            that is not Patroni's own as an option
 *   bootstrap.method         COMMAND --scope=S --datadir=D
 *
 * Patroni up to 3.0 hands keys of its own on as well (keep_data, no_leader, no_master, no_params). Their values are
 * Python's: True, False.
 */

const called: readonly OptionSpec[] = [
  { flags: '--datadir <dir>', help: 'the data directory to make; Patroni says it' },
  { flags: '--scope <name>', help: 'Patroni’s name of the cluster; ours, too, unless CLUSTER is given' },
];

const calledForReplica: readonly OptionSpec[] = [
  { flags: '--connstring <conninfo>', help: 'the member to follow; Patroni says it' },
  { flags: '--role <role>', help: 'Patroni says replica', hidden: true },
  { flags: '--keep_data <yes>', help: 'Patroni has left the directory as it was', hidden: true },
  { flags: '--no_params <yes>', help: 'Patroni’s own', hidden: true },
  { flags: '--no_leader <yes>', help: 'Patroni’s own', hidden: true },
  { flags: '--no_master <yes>', help: 'Patroni’s own', hidden: true },
];

const restoring: readonly OptionSpec[] = [
  { flags: '--backup <id>', help: 'the backup to start from; the best unless named' },
  {
    flags: '--tablespace <old=new>',
    help: 'put a tablespace elsewhere (its path or oid = the new path)',
    repeatable: true,
  },
  {
    flags: '--delta',
    help: 'the directory may hold another state of the cluster: write what differs, remove the rest',
  },
  { flags: '--discard-wal', help: 'with --delta: give up WAL of the directory that is not in the repository' },
];

export function patroniCommands(shared: {
  readonly targets: readonly OptionSpec[];
  readonly jobs: OptionSpec;
}): readonly CommandSpec[] {
  // It is promoted, or Patroni would wait for ever.
  const targets = shared.targets.filter(({ flags }) => !flags.startsWith('--target-action'));
  return [
    {
      name: 'patroni setup',
      group: 'Standbys',
      positional: ['[cluster]'],
      help: 'write the scripts that a member of a Patroni cluster calls, say what belongs into patroni.yml',
      options: [
        { flags: '--data-directory <dir>', help: 'data_dir of patroni.yml, where it is not the configured one' },
        { flags: '--plan', help: 'say what would be written, touch nothing' },
      ],
      load: async () => (await import('./patroni-setup.ts')).runPatroniSetup,
    },
    {
      name: 'patroni replica',
      group: 'Standbys',
      positional: ['[cluster]'],
      help: 'called by Patroni (create_replica_methods): make a replica from the repository',
      options: [...called, ...calledForReplica, ...restoring, shared.jobs],
      load: async () => (await import('./patroni-replica.ts')).runPatroniReplica,
    },
    {
      name: 'patroni bootstrap',
      group: 'Standbys',
      positional: ['[cluster]'],
      help: 'called by Patroni (bootstrap.method): make the first member from the repository',
      options: [...called, ...targets, ...restoring, shared.jobs],
      load: async () => (await import('./patroni-bootstrap.ts')).runPatroniBootstrap,
    },
  ];
}
