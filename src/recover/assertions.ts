import type { SqlSession } from '../connection/sql-session.ts';

/** What was asked of a recovered cluster, and what came of it. */
export interface Assertion {
  readonly statement: string;
  readonly holds: boolean;
  /** What came instead of true. */
  readonly found: string;
}

/**
 * Each statement must give one value, true. One that fails, or gives nothing, does not hold. In a transaction that is read only, since they
 * are the administrator's own.
 */
export async function askAssertions(
  connect: (database: string | undefined) => Promise<SqlSession>,
  statements: readonly string[],
): Promise<Assertion[]> {
  const answers: Assertion[] = [];
  for (const words of statements) {
    const [database, statement] = splitDatabase(words);
    answers.push(await askOne(connect, database, statement));
  }
  return answers;
}

/** `dvdrental: SELECT …` is asked in that database, others in `postgres`. */
export function splitDatabase(words: string): [database: string | undefined, statement: string] {
  const match = /^\s*([A-Za-z_][\w$-]*):(?!:)\s*(\S[\s\S]*)$/.exec(words);
  return match ? [match[1], match[2] ?? ''] : [undefined, words];
}

async function askOne(
  connect: (database: string | undefined) => Promise<SqlSession>,
  database: string | undefined,
  statement: string,
): Promise<Assertion> {
  try {
    await using session = await connect(database);
    const rows = await session.query<Record<string, unknown>>(statement);
    const [value] = Object.values(rows[0] ?? {});
    const holds = rows.length === 1 && (value === true || value === 't');
    return { statement, holds, found: rows.length === 1 ? String(value) : `${rows.length} rows` };
  } catch (error) {
    return { statement, holds: false, found: error instanceof Error ? error.message : String(error) };
  }
}

/** What is there, for who looks; asking it reads the catalogs. */
export async function lookAround(session: SqlSession): Promise<readonly { name: string; bytes: number }[]> {
  const rows = await session.query<{ name: string; bytes: string }>(
    `SELECT datname AS name, pg_database_size(oid)::text AS bytes FROM pg_database WHERE datallowconn ORDER BY datname`,
  );
  return rows.map(({ name, bytes }) => ({ name, bytes: Number(bytes) }));
}
