import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { backupServer } from '../../src/backup/backup-server.ts';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { BackupRig, checkWith, type BackupChanges } from '../support/backup-rig.ts';
import { TestCluster, type Major } from '../support/cluster.ts';
import { backUpTwice, checkRestored, contentOf } from '../support/compared-backups.ts';

/* Increments where WAL does not tell everything, and of other servers than the one before. */

const settings = { autovacuum: 'off', checkpoint_timeout: '1h', max_wal_size: '256MB' };

async function startRig(major: Major): Promise<BackupRig> {
  const rig = await BackupRig.create({ major, walSegmentMiB: 1, settings });
  await using session = await rig.cluster.session();
  await session.query(
    'CREATE TABLE t AS SELECT i AS id, repeat(md5(i::text), 20) AS filler FROM generate_series(1, 10000) i',
  );
  await session.query('ALTER TABLE t ADD PRIMARY KEY (id)');
  await session.query('CREATE TABLE untouched AS SELECT * FROM t');
  await session.query('VACUUM ANALYZE');
  await rig.archiveAll();
  await rig.backUp();
  return rig;
}

async function change(session: SqlSession): Promise<void> {
  await session.query('UPDATE t SET filler = md5(filler) WHERE id % 400 = 7');
  await session.query("INSERT INTO t SELECT max(id) + 1, 'new' FROM t");
}

const how = ({ type, evidence }: BackupRecord): unknown[] => [type, evidence];

/** The archive loses what is in it now, and the server has it no longer. */
async function loseArchive(rig: BackupRig): Promise<void> {
  await using session = await rig.cluster.session();
  await session.query('CHECKPOINT');
  for (const name of readdirSync(join(rig.directory, 'spool'))) rmSync(join(rig.directory, 'spool', name));
  for (const folder of [rig.store.keys.walFolder, rig.store.keys.indexFolder]) {
    rmSync(join(rig.repositoryDirectory, rig.clusterRepository.keyOf(folder)), { recursive: true, force: true });
  }
}

/** Until the standby has replayed all that the primary has written, and has begun a restartpoint there. */
async function catchUp(primary: SqlSession, standby: SqlSession): Promise<void> {
  await primary.query('CHECKPOINT');
  const [row] = await primary.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
  for (;;) {
    const [here] = await standby.query<{ there: boolean }>('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS there', [
      row?.lsn,
    ]);
    if (here?.there === true) break;
    await sleep(20);
  }
  await standby.query('CHECKPOINT');
}

describe('an incremental backup', () => {
  it('goes by changed files where WAL in between is lost', async () => {
    await using rig = await startRig(15);
    await using session = await rig.cluster.session();
    await change(session);
    await rig.archiveAll();
    await loseArchive(rig);
    await change(session);
    await rig.archiveAll();
    const record = await backUpTwice(rig, { type: 'incremental', walTimeoutMs: 1000 });
    assert.deepEqual(how(record), ['incremental', 'files']);
    assert.match(record.fallback ?? '', /is not in the archive/);
    assert.ok((record.pagesStored ?? 0) < 100, `${record.pagesStored} pages stored`);
    await checkRestored(rig, { record, content: await contentOf(rig.cluster) });
  });

  // The programs of these versions are complete enough to switch checksums.
  for (const major of [15, 18] as const) {
    it(`compares contents where data checksums were switched since, of version ${major}`, async () => {
      await using rig = await startRig(major);
      const { cluster } = rig;
      for (const option of ['--disable', '--enable']) {
        await cluster.stop();
        checkWith(major, 'pg_checksums', [option, '--pgdata', cluster.dataDirectory]);
        await cluster.start();
        await using session = await cluster.session();
        await change(session);
        await session.close();
        const record = await backUpTwice(rig, { type: 'incremental' });
        assert.deepEqual(how(record), ['incremental', 'sums']);
        assert.match(record.fallback ?? '', /checksums were switched/);
        assert.equal(record.dataChecksums, option === '--enable');
      }
      await using session = await cluster.session();
      await change(session);
      assert.deepEqual(how(await backUpTwice(rig, { type: 'incremental' })), ['incremental', 'wal']);
    });
  }

  it('of a standby builds on one of its primary, and the other way round, before and after a promotion', async () => {
    await using rig = await startRig(15);
    await using session = await rig.cluster.session();
    await using standby = await TestCluster.standbyOf(rig.cluster);
    await using onStandby = await standby.session();
    const ofStandby: BackupChanges = { server: backupServer(onStandby), dataDirectory: standby.dataDirectory };
    await change(session);
    await rig.archiveAll();
    await catchUp(session, onStandby);
    const first = await backUpTwice(rig, { type: 'incremental', ...ofStandby });
    assert.deepEqual([...how(first), first.fromStandby], ['incremental', 'wal', true]);
    assert.ok((first.pagesRead ?? 0) < 2000, `${first.pagesRead} pages read`);

    await change(session);
    await rig.archiveAll();
    const second = await backUpTwice(rig, { type: 'incremental' });
    assert.deepEqual([...how(second), second.fromStandby, second.reference], ['incremental', 'wal', false, first.id]);

    // What the primary writes now is on no standby, and not in the past of what is promoted.
    await catchUp(session, onStandby);
    await onStandby.query('SELECT pg_promote()');
    await change(session);
    await rig.archiveAll();
    const lost = await rig.backUp({ type: 'incremental' });
    await change(onStandby);
    await onStandby.query('CHECKPOINT');
    const third = await backUpTwice(rig, { type: 'incremental', ...ofStandby });
    assert.deepEqual([third.timeline, ...how(third), third.reference], [2, 'incremental', 'wal', second.id]);
    assert.notEqual(third.reference, lost.id);
    const full = await backUpTwice(rig, { type: 'full', ...ofStandby });
    assert.deepEqual(how(full), ['full', 'sums']);
    await checkRestored(rig, { record: third, content: await contentOf(standby) });
  });
});

describe('a server whose disk was put back to an earlier state', () => {
  it('is not backed up on the WAL that it archived before: neither in full nor in part', async () => {
    await using rig = await startRig(15);
    const { cluster } = rig;
    const written = async (times: number): Promise<void> => {
      await using session = await cluster.session();
      for (let i = 0; i < times; i += 1) await session.query("UPDATE t SET filler = repeat('x', 600) WHERE id < 3000");
    };
    await cluster.stop();
    await rig.archive();
    const saved = join(rig.directory, 'saved');
    execFileSync('cp', ['-a', cluster.dataDirectory, saved]);
    await cluster.start();
    await written(6);
    await rig.archiveAll();
    await cluster.stop('immediate');

    rmSync(cluster.dataDirectory, { recursive: true });
    renameSync(saved, cluster.dataDirectory);
    await cluster.start();
    await written(1);
    const before = await rig.clusterRepository.listBackups();
    for (const type of ['full', 'incremental'] as const) {
      await assert.rejects(rig.backUp({ type, walTimeoutMs: 5000 }), { code: 'wal-other-content' });
    }
    assert.deepEqual(await rig.clusterRepository.listBackups(), before);
  });
});
