import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { leadWalTo } from './wal-place.ts';

test('WAL goes where a link led, however far that had come', async () => {
  const root = mkdtempSync(join(tmpdir(), 'pgrecall-wal-place-'));
  try {
    const steps = ['nothing', 'copied in part', 'renamed', 'linked'] as const;
    for (const step of steps) {
      const [directory, place] = [join(root, step, 'data'), join(root, step, 'wal')];
      const wal = join(directory, 'pg_wal');
      for (const path of [join(wal, 'archive_status'), place]) mkdirSync(path, { recursive: true });
      for (const name of ['1', '2']) writeFileSync(join(wal, name), name);
      if (step === 'copied in part') writeFileSync(join(place, '1'), '');
      if (step === 'renamed' || step === 'linked') await leadWalTo(directory, place);
      if (step === 'renamed') {
        rmSync(wal);
        mkdirSync(`${wal}.pgrecall-copied`);
      }
      await leadWalTo(directory, place);
      assert.equal(readlinkSync(wal), place, step);
      assert.deepEqual(readdirSync(place).toSorted(), ['1', '2', 'archive_status'], step);
      assert.deepEqual(readdirSync(directory), ['pg_wal'], step);
    }
    // A backup that was restored over it has a directory there again.
    const [directory, place] = [join(root, 'linked', 'data'), join(root, 'linked', 'wal')];
    rmSync(join(directory, 'pg_wal'));
    mkdirSync(join(directory, 'pg_wal'));
    writeFileSync(join(directory, 'pg_wal', '3'), '');
    await leadWalTo(directory, place);
    assert.ok(readdirSync(place).includes('3'));
  } finally {
    rmSync(root, { recursive: true });
  }
});
