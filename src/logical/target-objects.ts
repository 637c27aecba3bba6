import type { SqlSession } from '../connection/sql-session.ts';
import { relationKinds, type LoadEntry } from './load-entry.ts';

/** Which of these objects are in a database already, by the names that pg_dump gives them. */
export async function findAtTarget(session: SqlSession, entries: readonly LoadEntry[]): Promise<ReadonlySet<number>> {
  const asked = entries.flatMap((entry) => {
    const kind = catalogueOf(entry);
    return kind === undefined ? [] : [{ id: entry.dumpId, kind, schema: entry.schema ?? null, tag: entry.tag }];
  });
  if (asked.length === 0) return new Set();
  // Types are qualified then, as pg_dump has them.
  await session.query("SET search_path = ''");
  const rows = await session.query<{ id: number }>(
    `SELECT id FROM json_to_recordset($1) AS asked (id int, kind text, schema text, tag text)
      WHERE CASE kind
        WHEN 'schema' THEN EXISTS (SELECT FROM pg_namespace WHERE nspname = tag)
        WHEN 'extension' THEN EXISTS (SELECT FROM pg_extension WHERE extname = tag)
        WHEN 'language' THEN EXISTS (SELECT FROM pg_language WHERE lanname = tag)
        WHEN 'relation' THEN EXISTS (
          SELECT FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = schema AND relname = tag)
        WHEN 'type' THEN EXISTS (
          SELECT FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace WHERE nspname = schema AND typname = tag)
        WHEN 'collation' THEN EXISTS (
          SELECT FROM pg_collation JOIN pg_namespace n ON n.oid = collnamespace WHERE nspname = schema AND collname = tag)
        ELSE EXISTS (
          SELECT FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace
           WHERE nspname = schema AND tag = format('%s(%s)', proname, (
             SELECT string_agg(format_type(type, NULL), ', ' ORDER BY at) FROM unnest(proargtypes) WITH ORDINALITY AS a (type, at))))
        END`,
    [JSON.stringify(asked)],
  );
  return new Set(rows.map(({ id }) => id));
}

const catalogues: Readonly<Record<string, string>> = {
  SCHEMA: 'schema',
  EXTENSION: 'extension',
  'PROCEDURAL LANGUAGE': 'language',
  INDEX: 'relation',
  TYPE: 'type',
  DOMAIN: 'type',
  'SHELL TYPE': 'type',
  COLLATION: 'collation',
  FUNCTION: 'routine',
  PROCEDURE: 'routine',
  AGGREGATE: 'routine',
};

function catalogueOf({ kind }: LoadEntry): string | undefined {
  return relationKinds.has(kind) ? 'relation' : catalogues[kind];
}
