import type { SourceCluster } from './source-cluster.ts';

const percent = 0.01;

/**
 * Changes the newest hundredth of the rows, as applications do: some of the newest documents are edited, some deleted, others
 * come; likewise accounts. So many rows in all are touched.
 */
export async function changeNewest(source: SourceCluster, number: number): Promise<void> {
  const { documents, accounts } = await sizesOf(source);
  await source.sql(
    `UPDATE documents SET meta = meta || '{"edited": ${number}}' WHERE id > ${documents - half(documents)}`,
    `INSERT INTO documents SELECT ${documents} + row_number() OVER (ORDER BY id), now(), author, title, reverse(body), meta
       FROM documents WHERE id <= ${half(documents)}`,
    `UPDATE pgbench_accounts SET abalance = abalance + 1 + aid % 7, filler = md5(aid::text)
       WHERE aid > ${accounts - half(accounts)}`,
    `INSERT INTO pgbench_accounts SELECT ${accounts} + i, 1, i % 1000, md5(i::text) FROM generate_series(1, ${half(accounts)}) i`,
    'VACUUM',
  );
}

/** Changes a hundredth of the rows, anywhere. */
export async function changeAtRandom(source: SourceCluster, number: number): Promise<void> {
  await source.sql(
    `UPDATE documents SET meta = meta || '{"edited": ${number}}' WHERE hashint8(id + ${number}) % 100 = 0`,
    `UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE hashint4(aid + ${number}) % 100 = 0`,
    'VACUUM',
  );
}

async function sizesOf(source: SourceCluster): Promise<{ readonly documents: number; readonly accounts: number }> {
  return source.one(
    'SELECT (SELECT max(id) FROM documents)::float8 AS documents, (SELECT max(aid) FROM pgbench_accounts)::float8 AS accounts',
  );
}

function half(rows: number): number {
  return Math.round((rows * percent) / 2);
}
