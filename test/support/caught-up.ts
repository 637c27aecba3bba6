import type { TestCluster } from './cluster.ts';
import { eventually } from './eventually.ts';

/** Until the standby has replayed everything. */
export async function caughtUp(primary: TestCluster, standby: TestCluster): Promise<void> {
  await using session = await primary.session();
  const [row] = await session.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn');
  await using other = await standby.session();
  await eventually('the standby has replayed everything', async () => {
    const [at] = await other.query<{ ok: boolean }>('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS ok', [row?.lsn]);
    return at?.ok === true;
  });
}
