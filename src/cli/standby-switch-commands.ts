import type { CommandSpec } from './command.ts';

/** Changes of roles between the servers of a cluster. */
export const standbySwitchCommands: readonly CommandSpec[] = [
  {
    name: 'standby promote',
    group: 'Standbys',
    positional: ['<cluster>'],
    help: 'make a standby the primary, with the old one fenced or dead; tells what would be lost',
    options: [
      { flags: '--directory <dir>', help: 'the data directory of the standby' },
      { flags: '--stop-primary', help: 'stop the primary first, cleanly, and wait until the standby has all of it' },
      { flags: '--primary-is-dead', help: 'the administrator’s word, where the primary cannot be asked' },
      {
        flags: '--max-lag <amount>',
        help: 'what may be lost at most: bytes (16MB) or time (30s); nothing unless said',
      },
      { flags: '--force', help: 'although the archive has a newer timeline, which was given up' },
      {
        flags: '--follow <standby>',
        help: 'another standby that is to follow: its connection, or its data directory on this host',
        repeatable: true,
      },
      { flags: '--address <host:port>', help: 'where other hosts reach the new primary' },
      { flags: '--apply', help: 'write the new connection and data directory into the configuration' },
      { flags: '--timeout <seconds>', help: 'how long to wait for each step (60)' },
      { flags: '--plan', help: 'say what would be done, touch nothing' },
      { flags: '--yes', help: 'without asking' },
    ],
    load: async () => (await import('./standby-promote.ts')).runStandbyPromote,
  },
  {
    name: 'standby rejoin',
    group: 'Standbys',
    positional: ['<cluster>'],
    help: 'make a former primary a standby: by pg_rewind, else by a restore in place',
    options: [
      { flags: '--directory <dir>', help: 'the data directory of the former primary, stopped' },
      { flags: '--upstream <uri>', help: 'the server to follow, where the configured connection does not lead there' },
      { flags: '--name <name>', help: 'application_name at the primary; that of the slot unless said' },
      { flags: '--slot <name>', help: 'the replication slot at the primary, made where it is missing' },
      { flags: '--method <method>', help: 'rewind or restore; what is possible, in this order, unless said' },
      { flags: '--port <port>', help: 'the port of the standby' },
      { flags: '--start', help: 'start it, and wait until it streams' },
      { flags: '--discard-wal', help: 'give up WAL of the directory that is not in the repository' },
      { flags: '--plan', help: 'say what would be done, touch nothing' },
      { flags: '--timeout <seconds>', help: 'how long --start waits (no limit)' },
      { flags: '--jobs <n>', help: 'worker threads of a restore; the number of cores unless said' },
    ],
    load: async () => (await import('./standby-rejoin.ts')).runStandbyRejoin,
  },
];
