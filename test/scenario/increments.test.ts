import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { BackupRig, type BackupChanges } from '../support/backup-rig.ts';
import { changeFiles, changeRows, changeTimeline, makeWhatChanges } from '../support/changing-load.ts';
import { majors } from '../support/cluster.ts';
import { backUpTwice, checkRestored, contentOf, type Kept } from '../support/compared-backups.ts';

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
