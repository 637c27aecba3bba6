import type { SqlSession } from '../connection/sql-session.ts';
import { rowCounts } from './dvdrental/generate.ts';

export interface ActorRow {
  readonly id: number;
  readonly first: string;
  readonly last: string;
  readonly updated: string;
}

/** What a database held at one moment, to be compared with what it holds at another. */
export interface DatabaseState {
  /** The table that the accident hits, row by row. */
  readonly actors: readonly ActorRow[];
  /** Of every table a hash of all its rows, and how many they are. */
  readonly tables: Readonly<Record<string, { readonly rows: number; readonly hash: string }>>;
}

export async function readDatabaseState(session: SqlSession): Promise<DatabaseState> {
  const tables: Record<string, { rows: number; hash: string }> = {};
  for (const table of Object.keys(rowCounts)) {
    const [row] = await session.query<{ rows: number; hash: string }>(
      `SELECT count(*)::int AS rows, md5(coalesce(string_agg(hash, '' ORDER BY hash), '')) AS hash
       FROM (SELECT md5(${table}::text) AS hash FROM ${table}) hashes`,
    );
    if (row) tables[table] = row;
  }
  const actors = await session.query<ActorRow>(
    'SELECT actor_id AS id, first_name AS first, last_name AS last, last_update::text AS updated FROM actor ORDER BY 1',
  );
  return { actors, tables };
}

export function countOfKim(state: DatabaseState): number {
  return state.actors.filter((actor) => actor.last === 'Kim').length;
}

/** How many actors of `before` are in `after`, the same in every column. */
export function countOfSameActors(before: DatabaseState, after: DatabaseState): number {
  const found = new Map(after.actors.map((actor) => [actor.id, JSON.stringify(actor)]));
  return before.actors.filter((actor) => found.get(actor.id) === JSON.stringify(actor)).length;
}

/** How many tables hold the same rows in both. */
export function countOfSameTables(before: DatabaseState, after: DatabaseState): number {
  return Object.entries(before.tables).filter(([table, { hash }]) => after.tables[table]?.hash === hash).length;
}
