import type { SqlSession } from '../connection/sql-session.ts';

/** What of a database is not its rows, to be compared with another's: each object by its kind, as PostgreSQL describes it. */
export async function readDatabaseSchema(session: SqlSession): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await session.query<{ kind: string; what: string }>(
    `SELECT 'columns' AS kind, format('%s.%s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod)) AS what
       FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
      WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'v')
     UNION ALL
     SELECT 'indexes', indexdef FROM pg_indexes WHERE schemaname = 'public'
     UNION ALL
     SELECT 'keys and checks', format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
       FROM pg_constraint WHERE connamespace = 'public'::regnamespace
     UNION ALL
     SELECT 'views', format('%s %s', viewname, definition) FROM pg_views WHERE schemaname = 'public'
     UNION ALL
     SELECT 'functions', pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
     UNION ALL
     SELECT 'triggers', pg_get_triggerdef(pg_trigger.oid)
       FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
      WHERE relnamespace = 'public'::regnamespace AND NOT tgisinternal
     UNION ALL
     SELECT 'sequences', format('%s at %s', sequencename, last_value) FROM pg_sequences WHERE schemaname = 'public'
     ORDER BY 1, 2`,
  );
  const schema = new Map<string, string[]>();
  for (const { kind, what } of rows) {
    const found = schema.get(kind);
    if (found) found.push(what);
    else schema.set(kind, [what]);
  }
  return schema;
}
