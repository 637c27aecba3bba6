import { connectionOptions } from '../connection/connection-uri.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatDatabaseLocale, type DatabaseLocale } from './database-locale.ts';
import { hasOwnObjects } from './dump-server.ts';
import type { EarlierLoad } from './load-notes.ts';
import { quoteName } from './sql-words.ts';

/** Where a dump is to be loaded. */
export interface LoadTargetRequest {
  readonly connection: string;
  readonly database: string;
  /** Makes the database where it is not there. */
  readonly create: boolean;
  /** Takes one that has something in it. */
  readonly force: boolean;
  /** Of the database that was dumped, as far as the dump tells: one that is made gets the same. */
  readonly locale: DatabaseLocale;
  readonly signal: AbortSignal;
}

/** A database that a dump may be loaded into. */
export interface LoadTarget {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly major: number;
  /** Of one that is to be made, what it will get. */
  readonly locale: DatabaseLocale;
  /** Whether it is to be made first. */
  readonly missing: boolean;
  readonly empty: boolean;
  /** Of a standby nothing can be changed. */
  readonly inRecovery: boolean;
  /** 0 for one that is missing: a database of the same name that is made anew has another one. */
  readonly oid: number;
}

/** Looks, and changes nothing; what is in the way is for `checkTarget` to say. Throws `connection`. */
export async function examineTarget(request: LoadTargetRequest): Promise<LoadTarget> {
  const { database, locale } = request;
  const { user, host, port } = connectionOptions(request.connection);
  const place = { host, port, database, user };
  try {
    await using session = await connectTo(request);
    return { ...place, ...(await examineDatabase(session)) };
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  await using session = await connectBeside(request);
  const inRecovery = await isInRecovery(session);
  return { ...place, major: session.major, locale, missing: true, empty: true, inRecovery, oid: 0 };
}

/** To the target. Throws `connection`. */
export async function connectTo({ connection, database, signal }: LoadTargetRequest): Promise<SqlSession> {
  return SqlSession.connect(connection, { applicationName: 'pgrecall load', database, signal });
}

/** To whichever database of its server is there. Throws `connection`. */
export async function connectBeside({
  connection,
  signal,
}: Pick<LoadTargetRequest, 'connection' | 'signal'>): Promise<SqlSession> {
  const options = { applicationName: 'pgrecall load', signal };
  try {
    return await SqlSession.connect(connection, options);
  } catch (error) {
    if (!isMissing(error)) throw error;
    return SqlSession.connect(connection, { ...options, database: 'postgres' });
  }
}

async function examineDatabase(session: SqlSession): Promise<Omit<LoadTarget, 'host' | 'port' | 'database' | 'user'>> {
  // Columns came and changed their names: 15, 17.
  const [row] = await session.query<{ oid: number; encoding: string; db: Readonly<Record<string, string | null>> }>(
    `SELECT oid::int8::float8 AS oid, pg_encoding_to_char(encoding) AS encoding, to_jsonb(d) - 'datacl' AS db
       FROM pg_database d WHERE datname = current_database()`,
  );
  const { db = {}, encoding = '', oid = 0 } = row ?? {};
  const provider = { i: 'icu', b: 'builtin' }[db['datlocprovider'] ?? ''] ?? 'libc';
  const own = db['datlocale'] ?? db['daticulocale'];
  const locale: DatabaseLocale = {
    ENCODING: encoding,
    LOCALE_PROVIDER: provider,
    ...(db['datcollate'] ? { LC_COLLATE: db['datcollate'] } : {}),
    ...(db['datctype'] ? { LC_CTYPE: db['datctype'] } : {}),
    ...(own && provider === 'icu' ? { ICU_LOCALE: own } : {}),
    ...(own && provider === 'builtin' ? { BUILTIN_LOCALE: own } : {}),
  };
  const empty = !(await hasOwnObjects(session));
  return { major: session.major, locale, missing: false, empty, inRecovery: await isInRecovery(session), oid };
}

async function isInRecovery(session: SqlSession): Promise<boolean> {
  const [row] = await session.query<{ in_recovery: boolean }>('SELECT pg_is_in_recovery() AS in_recovery');
  return row?.in_recovery !== false;
}

/** Throws `database-unknown`, `database-not-empty`, `server-refused`, `locked` for what a load may not go into. */
export function checkTarget(
  { database, missing, empty, inRecovery }: LoadTarget,
  { create, force }: Pick<LoadTargetRequest, 'create' | 'force'>,
  earlier: readonly EarlierLoad[],
): void {
  if (missing && !create) {
    throw new PgrecallError('database-unknown', `the target has no database "${database}"`, {
      hint: 'say --create to make it; names are taken as they are: Shop is not shop',
      details: { database },
    });
  }
  if (inRecovery) {
    throw new PgrecallError(
      'server-refused',
      `the server of "${database}" is a standby: nothing can be loaded into it`,
      {
        hint: 'load into its primary, or promote it first',
      },
    );
  }
  const going = earlier.find(({ isLoading }) => isLoading);
  if (going) {
    throw new PgrecallError('locked', `a load of ${going.note.dump} into "${database}" is going on`, {
      hint: 'wait for its end, or load into another database',
      details: { database, dump: going.note.dump, startedAt: going.note.startedAt, pid: going.note.holder.pid },
    });
  }
  const [half] = earlier;
  if (half && !empty && !force) {
    const { dump, startedAt } = half.note;
    throw new PgrecallError(
      'database-not-empty',
      `the database "${database}" is not empty, and incomplete: a load of ${dump} into it began at ${startedAt}, and did not end well`,
      {
        hint: 'drop it (DROP DATABASE), and load with --create; or say --force to load into it all the same',
        details: { database, incomplete: { dump, startedAt } },
      },
    );
  }
  if (!empty && !force) {
    throw new PgrecallError('database-not-empty', `the database "${database}" is not empty`, { details: { database } });
  }
}

/** Its oid. Throws `server-refused` with what the server says. */
export async function createTarget({ database, major }: LoadTarget, request: LoadTargetRequest): Promise<number> {
  await using session = await connectBeside(request);
  const words = formatDatabaseLocale(request.locale, major);
  try {
    // Not of template1: what that has would be in the way of what comes.
    await session.query(`CREATE DATABASE ${quoteName(database)} TEMPLATE template0 ${words}`);
    const [made] = await session.query<{ oid: number }>(
      'SELECT oid::int8::float8 AS oid FROM pg_database WHERE datname = $1',
      [database],
    );
    return made?.oid ?? 0;
  } catch (error) {
    if (error instanceof PgrecallError || !(error instanceof Error)) throw error;
    throw new PgrecallError('server-refused', `the database "${database}" cannot be made: ${error.message}`, {
      hint: 'make it as it shall be (CREATE DATABASE … TEMPLATE template0), and load without --create',
      details: { database, asked: words },
      cause: error,
    });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof PgrecallError && error.code === 'connection' && error.details['reason'] === '3D000';
}
