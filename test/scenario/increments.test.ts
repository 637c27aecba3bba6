import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { BackupRig, type BackupChanges } from '../support/backup-rig.ts';
import { changeFiles, changeRows, changeTimeline, makeWhatChanges } from '../support/changing-load.ts';
import { majors } from '../support/cluster.ts';
import { checkRestored, comparePages, contentOf, type Kept } from '../support/compared-backups.ts';

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
