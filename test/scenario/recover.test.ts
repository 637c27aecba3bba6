import assert from 'node:assert/strict';
import { appendFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ArchivingSite, archivingCluster } from '../support/archiving-site.ts';
import type { TestCluster } from '../support/cluster.ts';
import { everyFile } from '../support/every-file.ts';

interface Answer {
  readonly outcome: string;
  readonly timeline: number | null;
  readonly stopped: string | null;
  readonly assertions: readonly { readonly holds: boolean }[];
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string };
}

const kept = (directory: string): string => `${directory}.pgrecall-recovery`;

async function rows(server: TestCluster): Promise<string> {
  await using session = await server.session();
  const [row] = await session.query<{ rows: string }>("SELECT count(*) || ' ' || sum(n) AS rows FROM t");
  return row?.rows ?? '';
}

async function momentOf(server: TestCluster): Promise<string> {
  await using session = await server.session();
  const [row] = await session.query<{ moment: string }>('SELECT clock_timestamp()::text AS moment');
  await session.query('SELECT pg_sleep(0.05)');
  return row?.moment ?? '';
}

async function run(server: TestCluster, statement: string): Promise<void> {
  await using session = await server.session();
  await session.query(statement);
}

/** A cluster with a backup, a change that is wanted, and one that is not; what is not archived stays so. */
async function accident(server: TestCluster, site: ArchivingSite): Promise<{ wanted: string; between: string }> {
  await run(server, 'CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n');
  assert.equal(site.run(['backup', 'main']).status, 0);
  await run(server, 'INSERT INTO t VALUES (1001)');
  const wanted = await momentOf(server);
  await run(server, 'UPDATE t SET n = 0');
  const between = await momentOf(server);
  await run(server, 'DELETE FROM t');
  await run(server, "INSERT INTO t VALUES (7)");
  return { wanted, between };
}

describe('recover', () => {
  it('brings a running cluster to the moment before the accident, lets users in at the end, and can still be undone', async () => {
    await using server = await archivingCluster(15);
    await using site = await ArchivingSite.of(server);
    const { wanted } = await accident(server, site);
    const target = ['--target-time', wanted];
    const planned = site.run(['recover', 'main', ...target, '--plan']);
    // The target lies in WAL that is not archived: a plan does not archive it.
    assert.ok([0, 4].includes(planned.status ?? -1), planned.stderr);
    assert.ok(!existsSync(kept(server.dataDirectory)));
    const result = site.run(['recover', 'main', ...target, '--yes', '--json']);
    assert.equal(result.status, 0, result.stdout + result.stderr);
    const answer = result.json() as Answer;
    assert.equal(answer.outcome, 'opened');
    assert.equal(answer.timeline, 2);
    assert.match(answer.stopped ?? '', /recovery stopping before commit/);
    assert.equal(await rows(server), '1001 501501');
    await run(server, 'INSERT INTO t VALUES (1)');
    assert.ok((await (await site.store()).getHistory('00000002.history')) !== undefined);

    const again = site.run(['recover', 'main', '--yes', '--json']);
    assert.equal((again.json() as Answer).error?.code, 'recovery-unfinished');
    assert.match((again.json() as Answer).error?.hint ?? '', /--forget removes it, --undo brings it back/);
    const undone = site.run(['recover', 'main', '--undo']);
    assert.equal(undone.status, 0, undone.stderr);
    assert.equal(await rows(server), '1 7');
    assert.ok(!existsSync(kept(server.dataDirectory)));
  });
});
