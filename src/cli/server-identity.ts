import { realpathSync, statSync } from 'node:fs';
import { readControlFile } from '../backup/read-control-file.ts';
import { connectionCandidates } from '../connection/connection-uri.ts';
import type { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError, hasCode, isErrno } from '../errors/pgrecall-error.ts';
import { supportedMajors } from '../postgres/version.ts';
import { ownerOf, type Owner } from './privileges.ts';

/** Which cluster a server runs, as it says itself. */
export interface ServerIdentity {
  readonly systemIdentifier: string;
  readonly postgresMajor: number;
  readonly segmentBytes: number;
  /** `undefined` where this role may not see it. */
  readonly dataDirectory: string | undefined;
  readonly inRecovery: boolean;
}

/** Throws `postgres-version` for a release that pgrecall does not know. */
export async function identifyServer(session: SqlSession): Promise<ServerIdentity> {
  if (!supportedMajors.includes(session.major)) {
    throw new PgrecallError('postgres-version', `the server is PostgreSQL ${session.major}`, {
      hint: `this pgrecall backs up ${supportedMajors.join(', ')}`,
    });
  }
  const [row] = await session.query<{
    identifier: string;
    segment: string;
    directory: string | null;
    standby: boolean;
  }>(
    `SELECT system_identifier::text AS identifier, pg_is_in_recovery() AS standby,
            (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size') AS segment,
            (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS directory
       FROM pg_control_system()`,
  );
  return {
    systemIdentifier: row?.identifier ?? '',
    postgresMajor: session.major,
    segmentBytes: Number(row?.segment),
    dataDirectory: row?.directory ?? undefined,
    inRecovery: row?.standby === true,
  };
}

/** Where the data directory is, as seen from this process. */
export type DataDirectory =
  | { readonly kind: 'here'; readonly path: string; readonly owner: Owner }
  /** On this machine as it seems, but not to be read by this user. */
  | { readonly kind: 'closed'; readonly path: string }
  | { readonly kind: 'elsewhere'; readonly path: string | undefined };

/**
 * Compares the server with the pg_control of its data directory. Throws `data-directory` where that is another
 * cluster's, and where the directory that the administrator named is none.
 */
export function locateDataDirectory(configured: string | undefined, server: ServerIdentity): DataDirectory {
  const path = configured ?? server.dataDirectory;
  if (path === undefined) return { kind: 'elsewhere', path };
  try {
    const { control } = readControlFile(path);
    const same =
      control.systemIdentifier === server.systemIdentifier &&
      control.postgresMajor === server.postgresMajor &&
      control.segmentBytes === server.segmentBytes;
    if (!same) {
      throw new PgrecallError(
        'data-directory',
        `"${path}" is not the server’s: it has the system identifier ${control.systemIdentifier} (PostgreSQL ${control.postgresMajor}), the server ${server.systemIdentifier} (PostgreSQL ${server.postgresMajor})`,
        { hint: 'the connection and the data directory belong to different clusters: correct one of them' },
      );
    }
    return { kind: 'here', path, owner: ownerOf(realpathSync(path)) };
  } catch (error) {
    if (!hasCode(error, 'data-directory')) throw error;
    if (isErrno(error.cause, 'EACCES', 'EPERM')) return { kind: 'closed', path };
    if (configured === undefined && isErrno(error.cause, 'ENOENT', 'ENOTDIR')) return { kind: 'elsewhere', path };
    throw error;
  }
}

/**
 * As whom the server runs, before it can be asked: the owner of its data directory, or of its socket. `undefined`
 * where neither is on this machine.
 */
export function serverUser(dataDirectory: string | undefined, connection: string): Owner | undefined {
  const sockets = connectionCandidates(connection)
    .hosts.filter(({ host }) => host.startsWith('/'))
    .map(({ host, port }) => `${host}/.s.PGSQL.${port}`);
  const paths = [...(dataDirectory === undefined ? [] : [dataDirectory]), ...sockets];
  for (const path of paths) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat) return { uid: stat.uid, gid: stat.gid };
  }
  return undefined;
}
