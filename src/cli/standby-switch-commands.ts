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
];
