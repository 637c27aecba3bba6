import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readControlFile } from '../../src/backup/read-control-file.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { waitForRecovery } from '../../src/restore/watch-recovery.ts';
import { BackupRig, checkWith } from '../support/backup-rig.ts';
import { backUpCold, crash, putToRest } from '../support/cold-rig.ts';
import { majors, type TestCluster } from '../support/cluster.ts';

/** What the tables hold. */
async function contentOf(server: TestCluster): Promise<string> {
  await using session = await server.session();
  const [row] = await session.query<{ content: string }>(
    `SELECT (SELECT md5(string_agg(i || v, ',' ORDER BY i)) FROM t) || ' ' ||
            (SELECT md5(string_agg(i || v, ',' ORDER BY i)) || ' ' || count(*) FROM cache) || ' ' ||
            (SELECT count(*) FROM place WHERE p <@ box '((0,0),(50,50))') AS content`,
  );
  return row?.content ?? '';
}

async function change(server: TestCluster, share: number): Promise<void> {
  await using session = await server.session();
  await session.query(`UPDATE t SET v = md5(v) WHERE i % ${share} = 0`);
  await session.query(`UPDATE cache SET v = md5(v) WHERE i % ${share} = 0`);
  // GiST writes LSNs of its own counting into pages of unlogged indexes.
  await session.query('INSERT INTO place SELECT point(i % 100, i % 77) FROM generate_series(1, 2000) i');
}

/** Writes more WAL than the server keeps. */
async function wearOut(server: TestCluster): Promise<void> {
  await using session = await server.session();
  for (let i = 0; i < 6; i += 1) {
    await session.query("SELECT pg_logical_emit_message(false, 'test', 'switch'), pg_switch_wal()");
    await session.query('CHECKPOINT');
  }
}

async function restored(rig: BackupRig, record: BackupRecord): Promise<string> {
  const plan = await rig.plan({}, record);
  const directory = await rig.restore(plan);
  checkWith(rig.cluster.major, 'pg_verifybackup', [directory]);
  const server = await rig.start(directory);
  await waitForRecovery(
    {
      uri: server.uri(),
      isRunning: () => server.isRunning(),
      control: () => readControlFile(directory).control,
      logTail: () => server.log(),
    },
    {
      until: 'promoted',
      timeoutMs: 60_000,
      now: () => new Date(),
      onState: () => undefined,
      signal: AbortSignal.timeout(60_000),
    },
  );
  const content = await contentOf(server);
  await server.stop();
  checkWith(rig.cluster.major, 'pg_checksums', ['--check', '--pgdata', directory]);
  return content;
}

for (const major of majors) {
  describe(`cold backups of PostgreSQL ${major} that build on each other`, () => {
    for (const archive of major === 15 || major === 18 ? (['on', 'off'] as const) : (['on'] as const)) {
      it(`are each the cluster as it was, with archive_mode ${archive}`, async () => {
        await using rig = await BackupRig.create({
          major,
          walSegmentMiB: 1,
          settings: { archive_mode: archive, max_wal_size: '2MB', min_wal_size: '2MB' },
        });
        {
          await using session = await rig.cluster.session();
          await session.query('CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 20000) i');
          await session.query('CREATE UNLOGGED TABLE cache AS SELECT i, v FROM t');
          await session.query('CREATE UNLOGGED TABLE place (p point)');
          await session.query('CREATE INDEX ON place USING gist (p)');
        }
        await change(rig.cluster, 2);
        /** Restored at once, with nothing archived behind it: unlogged relations and all. */
        const take = async (type: BackupRecord['type']): Promise<BackupRecord> => {
          const content = await contentOf(rig.cluster);
          await putToRest(rig.cluster);
          await rig.archive();
          const record = await backUpCold(rig, { type });
          assert.equal(await restored(rig, record), content, record.id);
          await rig.cluster.start();
          return record;
        };
        const full = await take('full');
        assert.deepEqual([full.type, full.evidence, full.reference], ['full', 'all', undefined]);
        await change(rig.cluster, 500);
        // Without an archive the server throws away what would tell.
        if (archive === 'off') await wearOut(rig.cluster);
        const incremental = await take('incremental');
        assert.deepEqual([incremental.type, incremental.reference], ['incremental', full.id]);
        assert.equal(incremental.evidence, archive === 'on' ? 'wal' : 'files', incremental.fallback);
        assert.ok((incremental.pagesStored ?? Infinity) < (full.pagesStored ?? 0) / 2);
        await change(rig.cluster, 300);
        assert.equal((await take('differential')).reference, full.id);
        await change(rig.cluster, 700);
        if (archive === 'on') {
          // A hot one between them, which has nothing of unlogged relations.
          const hot = await rig.backUp({ type: 'incremental' });
          assert.equal((await take('incremental')).reference, hot.id);
        }
        const again = await take('full');
        assert.deepEqual([again.type, again.evidence], ['full', 'sums']);

        await change(rig.cluster, 900);
        await crash(rig.cluster);
        const crashed = await backUpCold(rig, { type: 'incremental' });
        await rig.cluster.start();
        const [logged] = (await contentOf(rig.cluster)).split(' ');
        assert.equal((await restored(rig, crashed)).split(' ')[0], logged);
      });
    }
  });
}
