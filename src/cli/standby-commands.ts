import type { CommandSpec, OptionSpec } from './command.ts';

/** Standbys of a cluster: made, and looked at. */
export function standbyCommands({ jobs }: { readonly jobs: OptionSpec }): readonly CommandSpec[] {
  return [
    {
      name: 'standby create',
      group: 'Standbys',
      positional: ['<cluster>'],
      help: 'make a standby from the repository, without load on the primary',
      options: [
        { flags: '--to <dir>', help: 'the data directory: empty, or not there yet' },
        { flags: '--name <name>', help: 'application_name at the primary; that of the slot unless said' },
        { flags: '--slot <name>', help: 'the replication slot at the primary, made where it is missing' },
        { flags: '--port <port>', help: 'the port of the standby' },
        { flags: '--start', help: 'start it, and wait until it streams and can be read' },
        { flags: '--backup <id>', help: 'the backup to start from; the newest unless named' },
        { flags: '--from-primary', help: 'copy the primary over its replication protocol, instead of a backup' },
        { flags: '--upstream <uri>', help: 'stream from this server, for instance another standby' },
        { flags: '--log-shipping', help: 'WAL from the repository only, without any connection to the primary' },
        { flags: '--delay <span>', help: 'replay so long after the commit (1h): a time machine for accidents' },
        {
          flags: '--synchronous <set>',
          help: 'synchronous_standby_names at the primary: ANY 1 (a, b) or FIRST 1 (a, b); set with --apply',
        },
        { flags: '--apply', help: 'set at the primary with ALTER SYSTEM what is found missing there, and reload' },
        {
          flags: '--tablespace <old=new>',
          help: 'put a tablespace elsewhere (its path or oid = the new path)',
          repeatable: true,
        },
        {
          flags: '--delta',
          help: 'the directory has another state of the cluster: write what differs, remove the rest',
        },
        { flags: '--discard-wal', help: 'with --delta: give up WAL of the directory that is not in the repository' },
        { flags: '--plan', help: 'say what would be done, touch nothing' },
        { flags: '--timeout <seconds>', help: 'how long --start waits (no limit)' },
        jobs,
      ],
      load: async () => (await import('./standby-create.ts')).runStandbyCreate,
    },
    {
      name: 'standby status',
      group: 'Standbys',
      positional: ['<cluster>'],
      help: 'every standby with its lag, and every slot with what it keeps at the primary',
      options: [
        { flags: '--watch', help: 'show it again and again, until interrupted' },
        { flags: '--interval <seconds>', help: 'how often --watch looks (2)' },
      ],
      load: async () => (await import('./standby-status.ts')).runStandbyStatus,
    },
  ];
}
