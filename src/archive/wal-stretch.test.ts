import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askForBlocks, assertUnfit, blocksIn, putSegments } from '../../test/support/changed-wal.ts';
import { touch } from '../../test/support/indexed-wal.ts';
import { mebibyte, testArchive, type TestArchive } from '../../test/support/test-archive.ts';
import { WalBuilder } from '../../test/support/wal-builder.ts';
import { formatLsn, lsn, parseLsn, type Lsn } from '../postgres/lsn.ts';
import { parseHistory, type TimelineHistory } from '../postgres/timeline-history.ts';
import { timeline } from '../postgres/timeline.ts';
import { segmentRuns } from './wal-stretch.ts';

describe('a stretch of WAL over several timelines', () => {
  /** Timeline 2 leaves 1 in the middle of segment 1; both go on, and 1 touches blocks of its own. */
  async function forked(): Promise<{ archive: TestArchive; from: Lsn; fork: Lsn; to: Lsn; history: TimelineHistory }> {
    const archive = await testArchive();
    const write = (branch: boolean) => {
      const builder = new WalBuilder();
      const from = touch(builder, 1);
      builder.fillTo(mebibyte - 32);
      touch(builder, 2);
      touch(builder, 3);
      builder.fillTo(65_536);
      const fork = builder.lsn;
      if (branch) builder.setTimeline(2);
      touch(builder, branch ? 4 : 90);
      builder.fillTo(mebibyte - 32);
      touch(builder, branch ? 5 : 91);
      builder.fillTo(8192);
      return { builder, from, fork, to: builder.filler(64) };
    };
    const old = write(false);
    const { builder, from, fork, to } = write(true);
    await putSegments(archive, old.builder, [], 1);
    await putSegments(archive, builder, [0], 2);
    return { archive, from, fork, to, history: parseHistory(`1\t${formatLsn(fork)}\tno reason\n`, timeline(2)) };
  }

  it('follows the history, not what the old timeline wrote after it was left', async () => {
    const { archive, from, fork, to, history } = await forked();
    assert.deepEqual(blocksIn(await askForBlocks(archive, { from, to, on: [1, 2], history })), [1, 2, 3, 4, 5]);
    // from and to somewhere in the segment of the fork, it is the whole of it
    assert.deepEqual(
      blocksIn(await askForBlocks(archive, { from: lsn(fork - 64n), to, on: [1, 2], history })),
      [3, 4, 5],
    );
    assert.deepEqual(blocksIn(await askForBlocks(archive, { from, to: fork, on: [1, 1], history })), [1, 2, 3, 90]);
    assert.deepEqual(blocksIn(await askForBlocks(archive, { from: fork, to, on: [2, 2], history })), [3, 4, 5]);
  });

  it('refuses a beginning that the present timeline does not come from', async () => {
    const { archive, from, fork, to, history } = await forked();
    for (const [start, on] of [
      [fork, [1, 2]],
      [lsn(fork + 64n), [1, 2]],
      [from, [2, 2]],
      [from, [3, 2]],
    ] as const) {
      assertUnfit(await askForBlocks(archive, { from: start, to, on, history }), /is not in the past of timeline 2$/);
    }
  });

  it('refuses an end that the beginning does not lead to', async () => {
    const { archive, from, fork, to, history } = await forked();
    assertUnfit(await askForBlocks(archive, { from, to, on: [1, 1], history }), /^WAL does not lead from/);
    assertUnfit(await askForBlocks(archive, { from: to, to: fork, on: [2, 2], history }), /^WAL does not lead from/);
  });
});

describe('the segments of a stretch of WAL', () => {
  const size = 0x100_0000;
  const history = parseHistory('1\t0/3000100\ta\n2\t0/3000200\tb\n3\t0/6000000\tc\n', timeline(4));
  const runs = (from: readonly [number, string], to: readonly [number, string]): string =>
    describeRuns(segmentRuns(history, positionOf(from), positionOf(to), size));

  const positionOf = ([on, position]: readonly [number, string]) => ({
    timeline: timeline(on),
    lsn: parseLsn(position),
  });
  const describeRuns = (found: ReturnType<typeof segmentRuns>): string =>
    typeof found === 'string' ? found : found.map((run) => `${run.timeline}: ${run.first}-${run.last}`).join(', ');

  it('are each of the timeline whose copy goes on, also where it was left twice within one', () => {
    assert.equal(runs([1, '0/1000028'], [4, '0/7000080']), '1: 1-2, 3: 3-5, 4: 6-7');
    assert.equal(runs([1, '0/3000050'], [3, '0/3000300']), '3: 3-3');
    assert.equal(runs([2, '0/3000100'], [2, '0/3000200']), '2: 3-3');
    assert.equal(runs([3, '0/5000028'], [4, '0/6000050']), '3: 5-5, 4: 6-6');
  });

  it('are none of which only the page header belongs to it', () => {
    assert.equal(runs([3, '0/5000028'], [4, '0/6000028']), '3: 5-5');
    assert.equal(runs([3, '0/5000028'], [3, '0/6000000']), '3: 5-5');
    assert.equal(runs([4, '0/7000028'], [4, '0/7000028']), '');
    assert.equal(runs([4, '0/7000000'], [4, '0/7000028']), '');
  });

  it('are not to be told where the history does not lead there', () => {
    assert.match(
      runs([1, '0/3000100'], [4, '0/7000080']),
      /^0\/3000100 on timeline 1 is not in the past of timeline 4$/,
    );
    assert.match(runs([2, '0/3000050'], [4, '0/7000080']), /^0\/3000050 on timeline 2 is not/);
    assert.match(
      runs([1, '0/1000028'], [2, '0/3000300']),
      /^WAL does not lead from 0\/1000028 on timeline 1 to 0\/3000300 on/,
    );
    assert.match(runs([4, '0/8000028'], [4, '0/7000080']), /^WAL does not lead/);
    assert.match(runs([3, '0/5000028'], [2, '0/3000200']), /^WAL does not lead/);
  });
});
