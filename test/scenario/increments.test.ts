import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseLsn } from '../../src/postgres/lsn.ts';
import { pageBytes, readPageLsn } from '../../src/postgres/page.ts';
import { parseRelationPath } from '../../src/postgres/relation-file.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { BackupRig, checkWith, type BackupChanges } from '../support/backup-rig.ts';
import { changeFiles, changeRows, changeTimeline, makeWhatChanges } from '../support/changing-load.ts';
import { majors, type TestCluster } from '../support/cluster.ts';
import { readBackup } from '../support/made-up-backup.ts';

/*
 * Increments of real clusters: each beside an independent full backup of the same moment, page by page, and restored into a
 * directory of its own, where the server's programs check it.
 */

const settings = {
  autovacuum: 'off',
  max_prepared_transactions: '5',
  max_wal_size: '512MB',
  checkpoint_timeout: '1h',
  restart_after_crash: 'off',
};

/** Takes the backup, and at once a full one that stores everything; both have the same pages. */
async function backUpTwice(rig: BackupRig, changes: BackupChanges): Promise<BackupRecord> {
  const archiving = new AbortController();
  const archived = archiveBeside(rig, archiving.signal);
  try {
    const record = await rig.backUp(changes);
    const independent = await rig.backUp({ type: 'full', independent: true });
    await comparePages(rig, record, independent);
    await rig.clusterRepository.deleteBackup(independent.id);
    return record;
  } finally {
    archiving.abort();
    await archived;
  }
}

/** The rig's archive_command only puts segments into a spool: what the server forgets meanwhile comes from there. */
async function archiveBeside(rig: BackupRig, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await rig.archive();
    await sleep(50);
  }
}

/**
 * Pages that were changed since the backup began are WAL's to replace. Those of the same LSN differ in hint bits at most,
 * which nobody need log.
 */
async function comparePages(rig: BackupRig, record: BackupRecord, independent: BackupRecord): Promise<void> {
  const found = await readBackup(rig.clusterRepository, record.id);
  const expected = await readBackup(rig.clusterRepository, independent.id);
  const startLsn = parseLsn(record.startLsn);
  let compared = 0;
  for (const [path, content] of expected) {
    const relation = parseRelationPath(path);
    if (!Buffer.isBuffer(content) || !relation || relation.fork === 'fsm') continue;
    const other = found.get(path);
    assert.ok(Buffer.isBuffer(other), `${record.id} has no ${path}`);
    for (let at = 0; at < content.length; at += pageBytes) {
      const page = content.subarray(at, at + pageBytes);
      const ours: Buffer = other.subarray(at, at + pageBytes);
      if (ours.equals(page)) compared += 1;
      else if (readPageLsn(page) < startLsn && page.some((byte) => byte !== 0)) {
        assert.equal(readPageLsn(ours), readPageLsn(page), `block ${at / pageBytes} of ${path} in ${record.id}`);
      }
    }
  }
  assert.ok(compared > 500, `only ${compared} pages are the same`);
}

/** What applications see. */
async function contentOf(cluster: TestCluster): Promise<string> {
  await using session = await cluster.session();
  const tables = await session.query<{ name: string }>(
    "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relpersistence = 'p' AND relnamespace = 'public'::regnamespace ORDER BY 1",
  );
  const lines: string[] = [];
  for (const { name } of tables) {
    const [row] = await session.query<{ content: string }>(
      `SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '-') AS content FROM ${name} t`,
    );
    lines.push(`${name} ${row?.content}`);
  }
  const databases = await session.query<{ datname: string }>('SELECT datname FROM pg_database ORDER BY 1');
  for (const { datname } of databases.filter((found) => /^(copied|moving|staying)/.test(found.datname))) {
    await using inside = await cluster.session(datname);
    const [row] = await inside.query<{ sum: string }>('SELECT sum(id)::text AS sum FROM inside');
    lines.push(`${datname} ${row?.sum}`);
  }
  return lines.join('\n');
}

interface Kept {
  readonly record: BackupRecord;
  readonly content: string;
}

/** Restores, recovers to the end of the backup, and looks at everything. */
async function checkRestored(rig: BackupRig, { record, content }: Kept): Promise<void> {
  const plan = await rig.plan({ targetImmediate: true, targetAction: 'promote' }, record);
  const places = record.tablespaces.map(({ oid }) => `${oid}=${rig.tablespace(`${record.id}-${oid}`)}`);
  const directory = await rig.restore(plan, { tablespaces: places });
  checkWith(rig.cluster.major, 'pg_verifybackup', [directory]);
  const restored = await rig.start(directory);
  await using session = await restored.session();
  for (let tries = 0; ; tries += 1) {
    const [row] = await session.query<{ recovers: boolean }>('SELECT pg_is_in_recovery() AS recovers');
    if (row?.recovers !== true) break;
    assert.ok(tries < 600, restored.log());
    await sleep(50);
  }
  assert.equal(await contentOf(restored), content, record.id);
  if (rig.cluster.major === 15) {
    const where = [`--host=${restored.socketDirectory}`, `--port=${restored.port}`, '--username=postgres'];
    checkWith(15, 'pg_amcheck', [...where, '--install-missing', '--heapallindexed', 'postgres']);
  }
  await session.close();
  await restored.stop();
  checkWith(rig.cluster.major, 'pg_checksums', ['--check', '--pgdata', directory]);
}

for (const major of majors) {
  describe(`increments of PostgreSQL ${major}`, () => {
    it('hold what a full backup of the moment holds, and restore', async () => {
      await using rig = await BackupRig.create({ major, walSegmentMiB: 1, settings });
      const { cluster } = rig;
      const kept: Kept[] = [];
      const backUp = async (changes: BackupChanges): Promise<BackupRecord> => {
        await rig.archive();
        const record = await backUpTwice(rig, changes);
        kept.push({ record, content: await contentOf(cluster) });
        return record;
      };

      await makeWhatChanges(cluster);
      const full = await backUp({});
      assert.deepEqual([full.type, full.evidence, full.reference], ['full', 'all', undefined]);

      await changeRows(cluster);
      const differential = await backUp({ type: 'differential' });
      assert.deepEqual(
        [differential.type, differential.evidence, differential.fallback],
        ['differential', 'wal', undefined],
      );
      assert.equal(differential.reference, full.id);
      assert.ok((differential.pagesRead ?? 0) < (full.pagesRead ?? 0) / 2, 'reads what changed');

      await changeFiles(cluster);
      const second = await backUp({ type: 'incremental' });
      assert.deepEqual([second.reference, second.evidence, second.fallback], [differential.id, 'wal', undefined]);

      await changeRows(cluster);
      const since = await backUp({ type: 'differential' });
      assert.equal(since.reference, full.id);

      await changeTimeline(cluster);
      await changeRows(cluster);
      const promoted = await backUp({ type: 'incremental' });
      assert.deepEqual([promoted.timeline, promoted.evidence, promoted.fallback], [2, 'wal', undefined]);

      const again = await backUp({ type: 'full' });
      assert.deepEqual([again.type, again.evidence, again.reference], ['full', 'sums', promoted.id]);
      assert.ok((again.pagesStored ?? 0) < (again.pagesRead ?? 0) / 10, 'stores what is new');

      for (const one of kept.filter(({ record }) => [second, promoted].includes(record))) await checkRestored(rig, one);
    });
  });
}
