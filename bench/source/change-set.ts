import { insertDocuments } from './fill-source.ts';
import type { SourceCluster } from './source-cluster.ts';

/** So many pages of pgbench's table change, as a share of all: scattered, each by one row. */
const accountsShare = 0.01;
/** One document in so many is edited, and as many are added. */
const documentsPeriod = 800;

/**
 * Changes about 2 % of the pages, as an application does: rows anywhere in a large table, with what its indexes and its
 * history get; some documents edited, some new. `number`: another one each time.
 */
export async function changeSource(source: SourceCluster, number: number): Promise<void> {
  const { pages, documents } = await source.one<{ pages: number; documents: number }>(
    "SELECT (pg_relation_size('pgbench_accounts') / 8192)::int AS pages, (SELECT count(*)::int FROM documents) AS documents",
  );
  const transactions = Math.max(1, Math.round((pages * accountsShare) / 2));
  source.client('pgbench', ['-n', '-c', '2', '-j', '2', '-t', String(transactions), `--random-seed=${number}`], {
    PGOPTIONS: '-c synchronous_commit=off',
  });
  await source.sql(
    `UPDATE documents SET meta = meta || '{"edited": ${number}}' WHERE id % ${documentsPeriod} = ${number % documentsPeriod}`,
  );
  await insertDocuments(source, documents + 1, Math.round(documents / documentsPeriod));
  await source.sql('VACUUM', 'SELECT pg_switch_wal()', 'CHECKPOINT');
  await source.drain();
}
