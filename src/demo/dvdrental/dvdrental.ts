import type { SqlSession } from '../../connection/sql-session.ts';
import { generateDvdRental, type DvdRental, type TableName } from './generate.ts';
import { afterLoading, beforeLoading } from './schema.ts';

/*
 * The DVD rental database: the well-known 15 tables that PostgreSQL exercises are about, with rows that pgrecall
 * makes up itself. They are the same in every database, so that whoever recovers one knows what has to be in it.
 */

const batchRows = 5_000;

/**
 * Makes schema and rows in the database that `session` is connected to, which must be empty and in an encoding
 * that has every name (UTF8). All of it is one transaction; a second or two.
 */
export async function createDvdRental(session: SqlSession): Promise<void> {
  const rows = generateDvdRental();
  await session.query('BEGIN');
  try {
    await session.query(beforeLoading);
    for (const table of Object.keys(rows) as TableName[]) await load(session, table, rows);
    await session.query(afterLoading);
    await session.query('COMMIT');
  } catch (error) {
    await session.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
  await session.query('ANALYZE');
}

/** As JSON, a batch at a time: the server turns every value into its column's type by itself. */
async function load(session: SqlSession, table: TableName, all: DvdRental): Promise<void> {
  const rows: readonly object[] = all[table];
  const columns = Object.keys(rows[0] ?? {});
  for (let start = 0; start < rows.length; start += batchRows) {
    await session.query(
      `INSERT INTO ${table} (${columns.join(', ')})
       SELECT ${columns.join(', ')} FROM json_populate_recordset(NULL::${table}, $1)`,
      [JSON.stringify(rows.slice(start, start + batchRows))],
    );
  }
  const [key] = columns;
  if (key === `${table}_id`) {
    await session.query(`SELECT setval(pg_get_serial_sequence('${table}', '${key}'), max(${key})) FROM ${table}`);
  }
}
