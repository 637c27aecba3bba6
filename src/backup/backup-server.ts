import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { SqlSession } from '../connection/sql-session.ts';
import { parseLsn, type Lsn } from '../postgres/lsn.ts';

/*
 * What a hot backup asks of the server, version by version: the low-level backup functions of
 * https://www.postgresql.org/docs/18/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP,
 * which had other names and an exclusive mode up to version 14.
 */

/** The server that is backed up; a test makes one up. */
export interface BackupServer {
  facts(): Promise<ServerFacts>;
  /** Begins a non-exclusive backup with an immediate checkpoint; it lasts as long as the session. Where WAL has to be replayed from. */
  start(label: string): Promise<Lsn>;
  /** Ends the backup without waiting for the archive: pgrecall looks into the repository itself. */
  stop(): Promise<StoppedBackup>;
  /** Up to where the server itself has WAL safely in its pg_wal. */
  writtenLsn(): Promise<Lsn>;
  /** Called once when the session is gone, and the backup with it. */
  onLost(listener: (error: Error) => void): void;
}

export interface ServerFacts {
  readonly major: number;
  readonly systemIdentifier: string;
  readonly inRecovery: boolean;
  /** `undefined` where this role may not see it. */
  readonly dataDirectory: string | undefined;
  readonly archiveMode: string;
  readonly walLevel: string;
  /** Configuration files by the name they have in a data directory. */
  readonly configurationFiles: Readonly<Record<string, string>>;
  /** Every file that a setting in use comes from, as far as this role may see; those above among them. */
  readonly settingsFiles: readonly string[];
  readonly tablespaces: readonly { readonly oid: number; readonly name: string }[];
  readonly databases: readonly { readonly oid: number; readonly name: string }[];
}

export interface StoppedBackup {
  readonly stopLsn: Lsn;
  readonly label: string;
  readonly tablespaceMap: string;
}

export function backupServer(session: SqlSession): BackupServer {
  return {
    facts: async () => readServerFacts(session),
    start: async (label) => startBackup(session, label),
    stop: async () => stopBackup(session),
    writtenLsn: async () => writtenLsn(session),
    onLost: (listener) => session.onLost(listener),
  };
}

const fileNames: Readonly<Record<string, string>> = {
  config_file: 'postgresql.conf',
  hba_file: 'pg_hba.conf',
  ident_file: 'pg_ident.conf',
};

export async function readServerFacts(session: SqlSession): Promise<ServerFacts> {
  const [row] = await session.query<{
    in_recovery: boolean;
    archive_mode: string;
    wal_level: string;
    system_identifier: string;
  }>(
    `SELECT pg_is_in_recovery() AS in_recovery, current_setting('archive_mode') AS archive_mode,
            current_setting('wal_level') AS wal_level, system_identifier::text
       FROM pg_control_system()`,
  );
  const settings = await session.query<{ name: string; setting: string }>(
    `SELECT name, setting FROM pg_settings
      WHERE name IN ('data_directory', 'config_file', 'hba_file', 'ident_file') AND setting IS NOT NULL`,
  );
  const sources = await session.query<{ path: string }>(
    'SELECT DISTINCT sourcefile AS path FROM pg_settings WHERE sourcefile IS NOT NULL ORDER BY 1',
  );
  const tablespaces = await session.query<{ oid: number; name: string }>(
    'SELECT oid::int8::float8 AS oid, spcname AS name FROM pg_tablespace WHERE oid NOT IN (1663, 1664) ORDER BY oid',
  );
  const databases = await session.query<{ oid: number; name: string }>(
    'SELECT oid::int8::float8 AS oid, datname AS name FROM pg_database ORDER BY oid',
  );
  const setting = new Map(settings.map(({ name, setting: value }) => [name, value]));
  const files: Record<string, string> = {};
  for (const [name, file] of Object.entries(fileNames)) {
    const path = setting.get(name);
    if (path) files[file] = path;
  }
  return {
    major: session.major,
    systemIdentifier: row?.system_identifier ?? '',
    inRecovery: row?.in_recovery === true,
    dataDirectory: setting.get('data_directory'),
    archiveMode: row?.archive_mode ?? 'off',
    walLevel: row?.wal_level ?? '',
    configurationFiles: files,
    settingsFiles: sources.map(({ path }) => path),
    tablespaces: tablespaces.map(({ oid, name }) => ({ oid, name })),
    databases: databases.map(({ oid, name }) => ({ oid, name })),
  };
}

async function startBackup(session: SqlSession, label: string): Promise<Lsn> {
  // The session idles for as long as files are copied; whatever limits the role has are not meant for that.
  await session.query('SET statement_timeout = 0; SET lock_timeout = 0; SET idle_session_timeout = 0');
  const call = session.major >= 15 ? 'pg_backup_start($1, true)' : 'pg_start_backup($1, true, false)';
  const [row] = await answered(
    session.query<{ lsn: string }>(`SELECT ${call}::text AS lsn`, [label]),
    'server-refused',
  );
  return parseLsn(row?.lsn ?? '');
}

async function stopBackup(session: SqlSession): Promise<StoppedBackup> {
  const call = session.major >= 15 ? 'pg_backup_stop(false)' : 'pg_stop_backup(false, false)';
  const [row] = await answered(
    session.query<{ lsn: string; label: string; map: string | null }>(
      `SELECT lsn::text AS lsn, labelfile AS label, spcmapfile AS map FROM ${call}`,
    ),
    'server-changed',
  );
  if (!row) throw new PgrecallError('server-changed', `${call} gave no answer`);
  return { stopLsn: parseLsn(row.lsn), label: row.label, tablespaceMap: row.map ?? '' };
}

async function writtenLsn(session: SqlSession): Promise<Lsn> {
  const [row] = await answered(
    session.query<{ lsn: string }>(
      `SELECT CASE WHEN pg_is_in_recovery()
                   THEN GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                   ELSE pg_current_wal_flush_lsn() END::text AS lsn`,
    ),
    'server-changed',
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

/** What the server says against it, as an error of ours; `refused` for a server in a state that does not allow it. */
async function answered<T>(query: Promise<T>, refused: 'server-refused' | 'server-changed'): Promise<T> {
  try {
    return await query;
  } catch (error) {
    if (hasCode(error, 'connection')) throw new PgrecallError('server-changed', error.message, { cause: error });
    if (!(error instanceof Error) || !('severity' in error) || !('code' in error)) throw error;
    const state = String(error.code);
    if (state === '42501') {
      throw new PgrecallError('server-rights', `this role may not take backups: ${error.message}`, {
        hint: 'GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO the role (pg_start_backup, pg_stop_backup up to version 14), or connect as a superuser',
        cause: error,
      });
    }
    // 55000, object_not_in_prerequisite_state: promoted, or full_page_writes was off on the primary meanwhile.
    const code = state === '55000' ? refused : state.startsWith('57P') ? 'server-changed' : 'server-refused';
    throw new PgrecallError(code, `the server says: ${error.message}`, { details: { sqlState: state }, cause: error });
  }
}
