import type { CommandSpec, OptionSpec } from './command.ts';

const cluster = '<cluster>';

const targets: readonly OptionSpec[] = [
  { flags: '--target-time <time>', help: 'recover up to this time; without a zone, this machine’s' },
  { flags: '--target-lsn <lsn>', help: 'recover up to this WAL position' },
  { flags: '--target-xid <xid>', help: 'recover up to this transaction' },
  { flags: '--target-name <name>', help: 'recover up to this restore point (pg_create_restore_point)' },
  { flags: '--target-immediate', help: 'stop as soon as the backup is consistent' },
  { flags: '--target-exclusive', help: 'stop just before the target, not just after it' },
  { flags: '--target-timeline <timeline>', help: 'latest (the default), current, or a number' },
  { flags: '--target-action <action>', help: 'at the target: pause (the default), promote or shutdown' },
];

const jobs: OptionSpec = { flags: '--jobs <n>', help: 'worker threads; the number of cores unless said' };

/** Every command of the program. A command's own file is loaded when it is run. */
export const commands: readonly CommandSpec[] = [
  {
    name: 'init',
    group: 'Set-up',
    positional: [cluster],
    help: 'write the configuration, make the repository, say what the server needs for archiving',
    options: [
      { flags: '--connection <uri>', help: 'how to reach the server, as libpq takes it' },
      { flags: '--repository <dir>', help: 'where backups and WAL are kept' },
      { flags: '--data-directory <dir>', help: 'the cluster’s data directory; asked of the server unless given' },
      { flags: '--passphrase-file <file>', help: 'encrypt the repository with the passphrase in this file' },
      { flags: '--pg-bin <dir>', help: 'where the postgres programs of this cluster are' },
      { flags: '--apply', help: 'set the server’s settings with ALTER SYSTEM and reload' },
      {
        flags: '--new-incarnation',
        help: 'the cluster was made anew, by pg_upgrade or initdb: keep it under the same name',
      },
      { flags: '--plan', help: 'say what would be done, touch nothing' },
    ],
    load: async () => (await import('./init.ts')).runInit,
  },
  {
    name: 'check',
    group: 'Set-up',
    positional: ['[cluster]'],
    help: 'connect, read settings and rights, switch a segment and wait until it is in the repository',
    options: [{ flags: '--timeout <seconds>', help: 'how long to wait for the segment (60)' }],
    load: async () => (await import('./check.ts')).runCheck,
  },
  {
    name: 'backup',
    group: 'Backups',
    positional: [cluster],
    help: 'back up the cluster',
    options: [
      { flags: '--type <type>', help: 'full' },
      { flags: '--note <text>', help: 'a note that list shows' },
      { flags: '--keep', help: 'never expire this backup by policy' },
      { flags: '--timeout <seconds>', help: 'how long to wait for the WAL that the backup needs (600)' },
      jobs,
    ],
    load: async () => (await import('./backup.ts')).runBackup,
  },
  {
    name: 'list',
    group: 'Backups',
    positional: ['[cluster]'],
    help: 'the backups, and what can be recovered',
    options: [],
    load: async () => (await import('./list.ts')).runList,
  },
  {
    name: 'show',
    group: 'Backups',
    positional: [cluster, '<backup>'],
    help: 'everything about one backup',
    options: [{ flags: '--files', help: 'list its files' }],
    load: async () => (await import('./show.ts')).runShow,
  },
  {
    name: 'verify',
    group: 'Backups',
    positional: [cluster, '[backup]'],
    help: 'read and check every object, and the continuity of WAL',
    options: [jobs],
    load: async () => (await import('./verify.ts')).runVerify,
  },
  {
    name: 'restore',
    group: 'Recovery',
    positional: [cluster],
    help: 'restore to a new directory, ready to recover to any moment',
    options: [
      { flags: '--to <dir>', help: 'the directory: empty, or not there yet' },
      { flags: '--backup <id>', help: 'the backup to start from; the best for the target unless named' },
      ...targets,
      {
        flags: '--tablespace <old=new>',
        help: 'put a tablespace elsewhere (its path or oid = the new path)',
        repeatable: true,
      },
      { flags: '--plan', help: 'say what would be done, touch nothing' },
      { flags: '--start', help: 'start the server, wait for the target, report where recovery stopped' },
      { flags: '--port <port>', help: 'the port for --start' },
      { flags: '--timeout <seconds>', help: 'how long --start waits for recovery (no limit)' },
      jobs,
    ],
    load: async () => (await import('./restore.ts')).runRestore,
  },
  {
    name: 'resume',
    group: 'Recovery',
    positional: ['[cluster]'],
    help: 'leave the pause at the target: pg_wal_replay_resume, and wait for the promotion',
    options: [
      { flags: '--directory <dir>', help: 'the restored data directory; the cluster’s own unless given' },
      { flags: '--timeout <seconds>', help: 'how long to wait (300)' },
    ],
    load: async () => (await import('./resume.ts')).runResume,
  },
  {
    name: 'wal push',
    group: 'WAL',
    positional: ['<path>'],
    help: 'archive one WAL segment or history file; durable on exit 0',
    options: [{ flags: '--cluster <cluster>', help: 'whose WAL it is' }],
    load: async () => (await import('./wal-push.ts')).runWalPush,
  },
  {
    name: 'wal get',
    group: 'WAL',
    positional: ['<name>', '<path>'],
    help: 'fetch one WAL file; exit 1 where the archive has no such file',
    options: [
      { flags: '--cluster <cluster>', help: 'whose WAL it is' },
      {
        flags: '--ahead <dir>',
        help: 'for restore_command of this data directory: fetch the segments that follow',
        hidden: true,
      },
    ],
    load: async () => (await import('./wal-get.ts')).runWalGet,
  },
  {
    name: 'wal prefetch',
    group: 'WAL',
    positional: ['<name>', '<directory>'],
    help: 'fetch the segments after the named one ahead of PostgreSQL',
    options: [
      { flags: '--cluster <cluster>', help: 'whose WAL it is' },
      { flags: '--idle-exit <seconds>', help: 'end after so long without demand' },
      { flags: '--while <dir>', help: 'end when the server of this data directory no longer recovers', hidden: true },
      jobs,
    ],
    load: async () => (await import('./wal-prefetch.ts')).runWalPrefetch,
  },
  {
    name: 'wal archive',
    group: 'WAL',
    positional: [cluster],
    help: 'the archiver: works ahead of archive_command',
    options: [
      { flags: '--idle-exit <seconds>', help: 'end after so long without work' },
      { flags: '--once', help: 'archive everything that is ready, then end' },
      { flags: '--data-directory <dir>', help: 'the data directory, where it is not the configured one' },
      jobs,
    ],
    load: async () => (await import('./wal-archive.ts')).runWalArchive,
  },
  {
    name: 'wal receive',
    group: 'WAL',
    positional: [cluster],
    help: 'the streaming receiver: WAL as it is written, through a replication slot',
    options: [
      { flags: '--slot <name>', help: 'the physical slot (pgrecall_<cluster>)' },
      { flags: '--until <lsn>', help: 'end when WAL up to this position is stored' },
      { flags: '--idle-exit <seconds>', help: 'end when nothing has come for so long' },
      {
        flags: '--accept-gap',
        help: 'go on with what the server still has where it lacks WAL that the archive lacks, too',
      },
      { flags: '--partial-interval <seconds>', help: 'how often the beginning of the present segment is stored (60)' },
    ],
    load: async () => (await import('./wal-receive.ts')).runWalReceive,
  },
  {
    name: 'wal list',
    group: 'WAL',
    positional: [cluster],
    help: 'timelines, ranges and gaps of the archived WAL',
    options: [],
    load: async () => (await import('./wal-list.ts')).runWalList,
  },
  {
    name: 'demo',
    group: 'Trying it',
    positional: [],
    help: 'an embedded PostgreSQL, a DVD rental database, a disaster, and the recovery: with the proof',
    options: [
      { flags: '--postgres <major>', help: 'the PostgreSQL to use, 14 to 18; the newest found unless said' },
      { flags: '--keep', help: 'leave everything in place at the end' },
    ],
    load: async () => (await import('./demo.ts')).runDemo,
  },
];
