import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { BackupRig } from '../support/backup-rig.ts';
import { changeFiles, changeRows, changeTimeline, makeWhatChanges } from '../support/changing-load.ts';
import { majors } from '../support/cluster.ts';
import { checkRestored, comparePages, contentOf, type Kept } from '../support/compared-backups.ts';
import { streamBackUp, type StreamChanges } from '../support/stream-rig.ts';

/*
 * Backups over the replication protocol: each beside an independent one of the server's files, page by page, and restored. Nobody
 * archives what the server hands over, but for the increments that are taken of files.
 */

const settings = {
  autovacuum: 'off',
  max_prepared_transactions: '5',
  max_wal_size: '512MB',
  checkpoint_timeout: '1h',
  restart_after_crash: 'off',
};

async function whileArchiving<T>(rig: BackupRig, act: () => Promise<T>): Promise<T> {
  const archiving = new AbortController();
  const archived = (async () => {
    while (!archiving.signal.aborted) {
      await rig.archive();
      await sleep(50);
    }
  })();
  try {
    return await act();
  } finally {
    archiving.abort();
    await archived;
  }
}

/** Compared with what a backup of the server's files has. */
async function compared(rig: BackupRig, record: BackupRecord): Promise<Kept> {
  const independent = await whileArchiving(rig, async () => rig.backUp({ type: 'full', independent: true }));
  await comparePages(rig, record, independent);
  await rig.clusterRepository.deleteBackup(independent.id);
  return { record, content: await contentOf(rig.cluster) };
}

async function streamed(rig: BackupRig, changes: StreamChanges = {}): Promise<Kept> {
  return compared(rig, await streamBackUp(rig, changes));
}

// The last of the long files: what no other one uses of the machine is for the second server.
describe('a backup over the connection', { concurrency: 2 }, () => {
  for (const major of majors) {
    it(`to PostgreSQL ${major} has what the server’s files have, restores, and is built on by backups of any kind`, async () => {
      await using rig = await BackupRig.create({
        major,
        walSegmentMiB: 1,
        settings: { ...settings, ...(major >= 17 ? { summarize_wal: 'on' } : {}) },
      });
      const { cluster } = rig;
      await makeWhatChanges(cluster);
      const full = await streamed(rig);
      assert.deepEqual([full.record.type, full.record.evidence, full.record.temperature], ['full', 'all', 'hot']);
      assert.equal(full.record.tablespaces[0]?.name, 'far');

      await changeRows(cluster);
      const local = await compared(rig, await whileArchiving(rig, async () => rig.backUp({ type: 'incremental' })));
      assert.deepEqual([local.record.reference, local.record.evidence], [full.record.id, 'wal']);

      await changeFiles(cluster);
      const second = await streamed(rig, { type: 'incremental' });
      if (major < 17) {
        assert.deepEqual([second.record.type, second.record.evidence], ['full', 'sums']);
        assert.match(second.record.fallback ?? '', /whole files only/);
      } else {
        assert.deepEqual([second.record.type, second.record.evidence], ['incremental', 'server']);
      }
      assert.equal(second.record.reference, local.record.id);

      await changeRows(cluster);
      const third = await streamed(rig, { type: major < 17 ? 'full' : 'incremental' });
      const { bytesRead = 0, sizeBytes, pagesStored = 0, pagesRead = 0 } = third.record;
      if (major >= 17) assert.ok(bytesRead < sizeBytes / 2, `${bytesRead} of ${sizeBytes} bytes were sent`);
      else assert.ok(pagesStored < pagesRead / 2, `${pagesStored} of ${pagesRead} pages were stored`);

      await changeTimeline(cluster);
      await changeRows(cluster);
      const promoted = await streamed(rig, { type: major < 17 ? 'full' : 'differential' });
      assert.equal(promoted.record.timeline, 2);
      assert.equal(promoted.record.evidence, major < 17 ? 'sums' : 'server', promoted.record.fallback);

      for (const kept of [full, second, third, promoted]) await checkRestored(rig, kept);
    });
  }
});
