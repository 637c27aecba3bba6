/*
 * What belongs into a base backup, after backup/basebackup.c (excludeDirContents, excludeFiles, sendDir).
 * Paths are relative to the data directory and `/`-separated; inside a tablespace they begin
 * `pg_tblspc/<oid>/PG_<major>_<catalog version>/`.
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
]);

export function ruleFor(relativePath: string, kind: 'file' | 'directory' | 'symlink'): PathRule {
  if (relativePath === 'global/pg_control') return 'control-file';
  const parts = relativePath.split('/');
  const name = parts.at(-1) ?? '';
  if (name.startsWith('pgsql_tmp')) return 'leave-out';
  if (name.startsWith('pg_internal.init')) return 'leave-out';
  if (parts.length === 1) {
    if (kind !== 'file' && emptied.has(name)) return 'empty-directory';
    if (kind === 'file' && leftOutAtTop.has(name)) return 'leave-out';
  }
  if (kind === 'file' && isRelationDirectory(parts.slice(0, -1)) && isTemporaryRelation(name)) return 'leave-out';
  return kind === 'file' ? 'file' : 'directory';
}

/** `t3_16384`, `t3_16384_fsm.1`: a relation of one session, gone with it (storage/reinit.c). */
export function isTemporaryRelation(name: string): boolean {
  return /^t\d+_\d+(_(fsm|vm|init))?(\.\d+)?$/.test(name);
}

/** Whether files of relations lie there: base/<db>, global, a database's directory in a tablespace. */
export function isRelationDirectory(parts: readonly string[]): boolean {
  if (parts[0] === 'global') return parts.length === 1;
  if (parts[0] === 'base') return parts.length === 2 && /^\d+$/.test(parts[1] ?? '');
  return parts[0] === 'pg_tblspc' && parts.length === 4 && /^PG_/.test(parts[2] ?? '') && /^\d+$/.test(parts[3] ?? '');
}
