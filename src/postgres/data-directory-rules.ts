/*
 * What belongs into a base backup, after backup/basebackup.c (excludeDirContents, excludeFiles, sendDir), whose
 * lists are the same in 14 to 18 but for .DS_Store, which only the newest has. Paths are relative to the data
 * directory and `/`-separated; inside a tablespace they begin `pg_tblspc/<oid>/PG_<major>_<catalog version>/`.
 *
 * Two differences on purpose: PostgreSQL knows its own files and directories by their names at any depth, we only
 * where the server has them, so that something of the administrator's deeper down with such a name is not lost; and
 * PostgreSQL takes the signal files of a recovery along. Unlogged relations depend on what else lies in
 * their directory: see relation-file.ts.
 */

export type PathRule =
  | 'file'
  | 'directory'
  /** The directory is kept, what is in it is not: PostgreSQL starts anew there, or keeps WAL there. */
  | 'empty-directory'
  | 'leave-out'
  /** global/pg_control: copied last, put back last. */
  | 'control-file';

/** Directories directly below the data directory whose content a restart makes anew. */
const emptied = new Set([
  'pg_wal',
  // Slots of the primary make no sense elsewhere and would hold WAL back for ever.
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
]);

/** What PostgreSQL expects to find in an otherwise empty pg_wal: the second since 17. */
const recreatedInWal = new Set(['pg_wal/archive_status', 'pg_wal/summaries']);

/** Files that are wrong, or meaningless, anywhere but in the running cluster. */
const leftOutAtTop = new Set([
  'postgresql.auto.conf.tmp',
  'current_logfiles.tmp',
  'backup_label',
  'tablespace_map',
  'backup_manifest',
  'postmaster.pid',
  'postmaster.opts',
  // Left by a recovery of ours or of the administrator's; a restore writes its own.
  'recovery.signal',
  'standby.signal',
  // While a restore of ours is not done (restore/unfinished-restore.ts).
  'pgrecall.unfinished',
]);

/** What a recovery in place keeps of a data directory that is a mount point (recover/keep-aside.ts). */
const keptWithin = 'pgrecall-kept';

export function ruleFor(relativePath: string, kind: 'file' | 'directory' | 'symlink'): PathRule {
  if (relativePath === 'global/pg_control') return 'control-file';
  if (recreatedInWal.has(relativePath) && kind !== 'file') return 'empty-directory';
  const parts = relativePath.split('/');
  const name = parts.at(-1) ?? '';
  if (name.startsWith('pgsql_tmp') || name.startsWith('pg_internal.init') || name === '.DS_Store') return 'leave-out';
  if (emptied.has(parts[0] ?? '')) {
    if (parts.length > 1) return 'leave-out';
    if (kind !== 'file') return 'empty-directory';
  }
  if (parts[0] === keptWithin) return 'leave-out';
  if (parts.length === 1 && kind === 'file' && leftOutAtTop.has(name)) return 'leave-out';
  if (kind === 'file' && isDatabaseDirectory(parts.slice(0, -1)) && isTemporaryRelation(name)) return 'leave-out';
  return kind === 'file' ? 'file' : 'directory';
}

/** `t3_16384`, `t3_16384_fsm.1`: a relation of one session, gone with it (storage/reinit.c). */
export function isTemporaryRelation(name: string): boolean {
  return /^t\d+_\d+(_(fsm|vm|init))?(\.\d+)?$/.test(name);
}

/** Whether files of relations lie there: base/<db>, global, a database's directory in a tablespace. */
export function isRelationDirectory(parts: readonly string[]): boolean {
  return (parts.length === 1 && parts[0] === 'global') || isDatabaseDirectory(parts);
}

function isDatabaseDirectory(parts: readonly string[]): boolean {
  if (parts[0] === 'base') return parts.length === 2 && /^\d+$/.test(parts[1] ?? '');
  return (
    parts[0] === 'pg_tblspc' && parts.length === 4 && (parts[2] ?? '').startsWith('PG_') && /^\d+$/.test(parts[3] ?? '')
  );
}
