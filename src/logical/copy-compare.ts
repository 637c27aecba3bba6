import type { SqlSession } from '../connection/sql-session.ts';
import { quoteName } from './sql-words.ts';

/* Rows of every table, counted at both ends of a copy. */

export interface ComparedTable {
  readonly schema: string;
  readonly name: string;
  readonly fromRows: number;
  /** `null` where the target has no such table. */
  readonly toRows: number | null;
}

interface Table {
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
}

/**
 * A session that sees what pg_dump shall see, and what it calls that: both as of the same moment, whatever is committed
 * meanwhile. It holds back vacuum for as long as it is open, as pg_dump does. Throws what the server says.
 */
export async function holdMoment(session: SqlSession): Promise<string> {
  await session.query('SET idle_in_transaction_session_timeout = 0');
  await session.query('SET statement_timeout = 0');
  await session.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  const [row] = await session.query<{ snapshot: string }>('SELECT pg_export_snapshot() AS snapshot');
  return row?.snapshot ?? '';
}

/**
 * Tables, partitions and materialized views of `from`, those of extensions left out, as they are at both ends. Throws what the
 * servers say.
 */
export async function compareTables(
  from: SqlSession,
  to: SqlSession,
  { signal, onTable }: { readonly signal: AbortSignal; readonly onTable: (name: string) => void },
): Promise<readonly ComparedTable[]> {
  await to.query('SET statement_timeout = 0');
  const there = new Set((await listTables(to)).map((table) => keyOf(table)));
  const compared: ComparedTable[] = [];
  for (const table of await listTables(from)) {
    signal.throwIfAborted();
    const { schema, name } = table;
    onTable(`${schema}.${name}`);
    const [fromRows, toRows] = await Promise.all([
      countRows(from, table),
      there.has(keyOf(table)) ? countRows(to, table) : null,
    ]);
    compared.push({ schema, name, fromRows, toRows });
  }
  return compared;
}

async function listTables(session: SqlSession): Promise<readonly Table[]> {
  return session.query<{ schema: string; name: string; kind: string }>(
    `SELECT nspname AS schema, relname AS name, relkind AS kind
       FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
      WHERE relkind IN ('r', 'm') AND relpersistence <> 't' AND relispopulated
        AND nspname !~ '^pg_' AND nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
      ORDER BY nspname COLLATE "C", relname COLLATE "C"`,
  );
}

/** Rows of tables that inherit are their own. */
async function countRows(session: SqlSession, { schema, name, kind }: Table): Promise<number> {
  const only = kind === 'r' ? 'ONLY ' : '';
  const [row] = await session.query<{ rows: number }>(
    `SELECT count(*)::float8 AS rows FROM ${only}${quoteName(schema)}.${quoteName(name)}`,
  );
  return row?.rows ?? 0;
}

function keyOf({ schema, name }: Pick<Table, 'schema' | 'name'>): string {
  return JSON.stringify([schema, name]);
}
