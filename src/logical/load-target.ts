import { connectionOptions } from '../connection/connection-uri.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { hasOwnObjects } from './dump-server.ts';

/** Where a dump is to be loaded. */
export interface LoadTargetRequest {
  readonly connection: string;
  readonly database: string;
  /** Makes the database where it is not there. */
  readonly create: boolean;
  /** Takes one that has something in it. */
  readonly force: boolean;
  /** Of the database that was dumped: one that is made gets the same. */
  readonly encoding: string;
  readonly signal: AbortSignal;
}

/** A database that a dump may be loaded into. */
export interface LoadTarget {
  readonly database: string;
  readonly user: string;
  readonly major: number;
  readonly encoding: string;
  /** Whether it is to be made first. */
  readonly missing: boolean;
}

/** Looks, and changes nothing. Throws `connection`, `database-unknown`, `database-not-empty`, `server-refused`. */
export async function examineTarget(request: LoadTargetRequest): Promise<LoadTarget> {
  const { connection, database, create, signal } = request;
  const { user } = connectionOptions(connection);
  const options = { applicationName: 'pgrecall load', signal };
  const target = { database, user };
  try {
    await using session = await SqlSession.connect(connection, { ...options, database });
    return await examineDatabase(session, target, request);
  } catch (error) {
    if (!isMissing(error)) throw error;
    if (!create) {
      throw new PgrecallError('database-unknown', `the target has no database "${database}"`, {
        hint: 'say --create to make it; names are taken as they are: Shop is not shop',
        details: { database },
      });
    }
  }
  await using session = await connectBeside(connection, options);
  return { ...target, major: session.major, encoding: request.encoding, missing: true };
}

async function examineDatabase(
  session: SqlSession,
  target: Pick<LoadTarget, 'database' | 'user'>,
  { force }: LoadTargetRequest,
): Promise<LoadTarget> {
  const { database } = target;
  const [row] = await session.query<{ encoding: string; in_recovery: boolean }>(
    "SELECT current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS in_recovery",
  );
  if (row?.in_recovery !== false) {
    throw new PgrecallError(
      'server-refused',
      `the server of "${database}" is a standby: nothing can be loaded into it`,
      {
        hint: 'load into its primary, or promote it first',
      },
    );
  }
  if (!force && (await hasOwnObjects(session))) {
    throw new PgrecallError('database-not-empty', `the database "${database}" is not empty`, { details: { database } });
  }
  return { ...target, major: session.major, encoding: row.encoding, missing: false };
}

/** Throws `server-refused` with what the server says. */
export async function createTarget(
  { database, encoding }: LoadTarget,
  { connection, signal }: LoadTargetRequest,
): Promise<void> {
  await using session = await connectBeside(connection, { applicationName: 'pgrecall load', signal });
  try {
    // Not of template1: what that has would be in the way of what comes.
    await session.query(`CREATE DATABASE ${quoted(database)} TEMPLATE template0 ENCODING '${encoding}'`);
  } catch (error) {
    if (error instanceof PgrecallError || !(error instanceof Error)) throw error;
    throw new PgrecallError('server-refused', `the database "${database}" cannot be made: ${error.message}`, {
      hint: 'make it as it shall be (CREATE DATABASE … TEMPLATE template0), and load without --create',
      cause: error,
    });
  }
}

/** To whichever database of the server is there. */
async function connectBeside(
  connection: string,
  options: { readonly applicationName: string; readonly signal: AbortSignal },
): Promise<SqlSession> {
  try {
    return await SqlSession.connect(connection, options);
  } catch (error) {
    if (!isMissing(error)) throw error;
    return SqlSession.connect(connection, { ...options, database: 'postgres' });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof PgrecallError && error.code === 'connection' && error.details['reason'] === '3D000';
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
