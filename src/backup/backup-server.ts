import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { SqlSession } from '../connection/sql-session.ts';
import { parseLsn, type Lsn } from '../postgres/lsn.ts';

/*
 * What a hot backup asks of the server, version by version: the low-level backup functions of
 * https://www.postgresql.org/docs/18/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP,
 * which had other names and an exclusive mode up to version 14.
 */

export interface ServerFacts {
  readonly major: number;
  readonly inRecovery: boolean;
  /** `undefined` where this role may not see it. */
  readonly dataDirectory: string | undefined;
  readonly archiveMode: string;
  readonly walLevel: string;
  /** Configuration files by the name they have in a data directory. */
  readonly configurationFiles: Readonly<Record<string, string>>;
  readonly tablespaces: readonly { readonly oid: number; readonly name: string; readonly path: string }[];
}

export interface StoppedBackup {
  readonly stopLsn: Lsn;
  readonly label: string;
  readonly tablespaceMap: string;
}

export async function readServerFacts(session: SqlSession): Promise<ServerFacts> {
  const [row] = await session.query<{ in_recovery: boolean; archive_mode: string; wal_level: string }>(
    `SELECT pg_is_in_recovery() AS in_recovery, current_setting('archive_mode') AS archive_mode,
            current_setting('wal_level') AS wal_level`,
  );
  const settings = await session.query<{ name: string; setting: string }>(
    `SELECT name, setting FROM pg_settings
      WHERE name IN ('data_directory', 'config_file', 'hba_file', 'ident_file') AND setting IS NOT NULL`,
  );
  const setting = new Map(settings.map(({ name, setting: value }) => [name, value]));
  const tablespaces = await session.query<{ oid: number; name: string; path: string }>(
    `SELECT oid::int8::float8 AS oid, spcname AS name, pg_tablespace_location(oid) AS path
       FROM pg_tablespace WHERE oid NOT IN (1663, 1664) ORDER BY oid`,
  );
  const files: Record<string, string> = {};
  for (const [name, file] of [
    ['config_file', 'postgresql.conf'],
    ['hba_file', 'pg_hba.conf'],
    ['ident_file', 'pg_ident.conf'],
  ] as const) {
    const path = setting.get(name);
    if (path) files[file] = path;
  }
  return {
    major: session.major,
    inRecovery: row?.in_recovery === true,
    dataDirectory: setting.get('data_directory'),
    archiveMode: row?.archive_mode ?? 'off',
    walLevel: row?.wal_level ?? '',
    configurationFiles: files,
    tablespaces: tablespaces.map(({ oid, name, path }) => ({ oid: Number(oid), name, path })),
  };
}

/** Begins a non-exclusive backup with an immediate checkpoint; it lasts as long as the session. */
export async function startBackup(session: SqlSession, label: string): Promise<Lsn> {
  const call = session.major >= 15 ? 'pg_backup_start($1, true)' : 'pg_start_backup($1, true, false)';
  const [row] = await withRights(session.query<{ lsn: string }>(`SELECT ${call}::text AS lsn`, [label]));
  return parseLsn(row?.lsn ?? '');
}

/** Ends the backup without waiting for the archive: pgrecall looks into the repository itself. */
export async function stopBackup(session: SqlSession): Promise<StoppedBackup> {
  const call = session.major >= 15 ? 'pg_backup_stop(false)' : 'pg_stop_backup(false, false)';
  const [row] = await withRights(
    session.query<{ lsn: string; label: string; map: string | null }>(
      `SELECT lsn::text AS lsn, labelfile AS label, spcmapfile AS map FROM ${call}`,
    ),
  );
  if (!row) throw new PgrecallError('server-changed', `${call} gave no answer`);
  return { stopLsn: parseLsn(row.lsn), label: row.label, tablespaceMap: row.map ?? '' };
}

/** Up to where the server itself has WAL safely in its pg_wal. */
export async function writtenLsn(session: SqlSession): Promise<Lsn> {
  const [row] = await session.query<{ lsn: string }>(
    `SELECT CASE WHEN pg_is_in_recovery()
                 THEN GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                 ELSE pg_current_wal_flush_lsn() END::text AS lsn`,
  );
  return parseLsn(row?.lsn ?? '0/0');
}

/** Bytes in all tablespaces, as the server counts them; `undefined` where this role may not. */
export async function estimateSize(session: SqlSession): Promise<number | undefined> {
  try {
    const [row] = await session.query<{ bytes: number }>(
      'SELECT sum(pg_tablespace_size(oid))::float8 AS bytes FROM pg_tablespace',
    );
    return row?.bytes;
  } catch {
    return undefined;
  }
}

async function withRights<T>(query: Promise<T>): Promise<T> {
  try {
    return await query;
  } catch (error) {
    const state = error instanceof Error && 'code' in error ? error.code : undefined;
    if (state !== '42501') throw error;
    throw new PgrecallError('server-rights', `this role may not take backups: ${(error as Error).message}`, {
      hint: 'GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO the role (pg_start_backup, pg_stop_backup up to version 14), or connect as a superuser',
      cause: error,
    });
  }
}
