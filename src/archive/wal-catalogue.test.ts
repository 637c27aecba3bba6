import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { madeUpArchive, rangesOf } from '../../test/support/archive-ranges.ts';
import {
  gibibyte,
  madeUpIndex,
  mebibyte,
  nameOf,
  putMadeUp,
  segmentAt,
  testArchive,
  walSegment,
} from '../../test/support/test-archive.ts';
import { collect } from '../../test/support/test-repository.ts';
import { timeline } from '../postgres/timeline.ts';
import { segmentNumber } from '../postgres/segment-name.ts';
import { readIndexes, readWalCatalogue } from './wal-catalogue.ts';

const early = { ending: 'end-of-wal', usedBytes: gibibyte / 4 } as const;

describe('the catalogue of archived WAL', () => {
  it('is empty where nothing is archived', async () => {
    const { store } = await testArchive();
    assert.deepEqual(await readWalCatalogue(store), { ranges: [], histories: new Map(), expired: new Map() });
  });

  it('joins segments into ranges, and shows what is missing as a gap', async () => {
    const { store } = await madeUpArchive([[3], [4], [5], [7], [9], [10]]);
    assert.deepEqual(await rangesOf(store), [
      [1, 3, 6],
      [1, 7, 8],
      [1, 9, 11],
    ]);
  });

  it('gives the times of the first and the last commit of each range', async () => {
    const { store } = await madeUpArchive([
      [3],
      [4, { commits: [10n, 20n] }],
      [5],
      [6, { commits: [15n, 40n] }],
      [7],
      [9, { commits: [90n, 91n] }],
    ]);
    assert.deepEqual(await rangesOf(store), [
      [1, 3, 8, 10, 40],
      [1, 9, 10, 90, 91],
    ]);
  });

  it('keeps timelines apart, in order, with their histories', async () => {
    const { store } = await madeUpArchive([[5], [6]]);
    await putMadeUp(store, segmentAt(6, 2));
    await putMadeUp(store, segmentAt(7, 2));
    await putMadeUp(store, segmentAt(1, 10));
    await store.putHistory('00000002.history', Buffer.from('1\t1/90000000\tbefore\n'));
    await store.putHistory('0000000A.history', Buffer.from('1\t0/40000000\tno recovery target specified\n'));
    assert.deepEqual(await rangesOf(store), [
      [1, 5, 7],
      [2, 6, 8],
      [10, 1, 2],
    ]);
    const { histories } = await readWalCatalogue(store);
    assert.deepEqual([...histories.keys()], [2, 10]);
    assert.equal(histories.get(timeline(2))?.parents[0]?.reason, 'before');
  });

  it('ends a range where a segment ends before its end: replay would take that for the end of WAL', async () => {
    const { store } = await madeUpArchive([[4], [5, early], [6], [7, { ending: 'switch', usedBytes: 80 }], [8, early]]);
    assert.deepEqual(await rangesOf(store), [
      [1, 4, 5.25],
      [1, 6, 8.25],
    ]);
    const { ranges } = await readWalCatalogue(store);
    assert.deepEqual(
      ranges.map(({ wholeEndLsn }) => Number(wholeEndLsn) / gibibyte),
      [6, 9],
    );
  });

  it('counts a segment that cannot be read as one that replay may know how to read', async () => {
    const { store } = await madeUpArchive([[4], [5, { ...early, problem: 'of another version' }], [6]]);
    assert.deepEqual(await rangesOf(store), [[1, 4, 7]]);
  });
});

describe('the beginning of a segment in the catalogue', () => {
  const used = 81_920;

  it('goes on from the range before it, and is no part of its whole segments', async () => {
    const { store } = await testArchive();
    await store.putSegment(nameOf(5), walSegment(5, { commits: [1n] }));
    await store.putPartial(nameOf(6), walSegment(6, { usedBytes: used, commits: [5n, 9n] }));
    const { ranges } = await readWalCatalogue(store);
    assert.deepEqual(ranges, [
      {
        timeline: 1,
        startLsn: 5n * BigInt(mebibyte),
        endLsn: 6n * BigInt(mebibyte) + BigInt(used),
        wholeEndLsn: 6n * BigInt(mebibyte),
        firstCommitTime: 1n,
        lastCommitTime: 9n,
      },
    ]);
  });

  it('is a range of its own where nothing leads to it', async () => {
    const { store } = await testArchive();
    await store.putSegment(nameOf(5), walSegment(5));
    await store.putPartial(nameOf(8), walSegment(8, { usedBytes: used, commits: [5n] }));
    await store.putPartial(nameOf(9), walSegment(9, { usedBytes: used }));
    await store.putPartial(nameOf(9, 2), walSegment(9, { usedBytes: used, timeline: 2 }));
    const at = used / mebibyte;
    assert.deepEqual(await rangesOf(store), [
      [1, 5, 6],
      [1, 8, 8 + at, 5, 5],
      [1, 9, 9 + at],
      [2, 9, 9 + at],
    ]);
  });

  it('counts no longer when the whole segment is there', async () => {
    const { store } = await testArchive();
    await store.putPartial(nameOf(5), walSegment(5, { usedBytes: used, seed: 1 }));
    await store.putSegment(nameOf(5), walSegment(5, { seed: 2 }));
    assert.deepEqual(await rangesOf(store), [[1, 5, 6]]);
  });

  it('does not bridge what is missing of its segment', async () => {
    const { store } = await testArchive();
    for (const number of [5, 7]) await store.putSegment(nameOf(number), walSegment(number));
    await store.putPartial(nameOf(6), walSegment(6, { usedBytes: used }));
    assert.deepEqual(await rangesOf(store), [
      [1, 5, 6 + used / mebibyte],
      [1, 7, 8],
    ]);
  });
});

describe('where the index of a segment is missing', () => {
  it('is read from the segment itself', async () => {
    const { store, objects } = await testArchive();
    for (const number of [5, 6]) await store.putSegment(nameOf(number), walSegment(number, { commits: [3n, 4n] }));
    for (const key of objects.keys()) if (key.includes('/wal-index/')) objects.delete(key);
    assert.deepEqual(await rangesOf(store), [[1, 5, 7, 3, 4]]);
    const indexes = await collect(readIndexes(store, timeline(1), segmentNumber(0), segmentNumber(99)));
    assert.deepEqual(
      indexes.map(({ commits }) => commits.length),
      [2, 2],
    );
  });

  it('is read from the segment as well where the index is damaged', async () => {
    const { store, objects } = await testArchive();
    for (const number of [5, 6]) await store.putSegment(nameOf(number), walSegment(number, { commits: [3n, 4n] }));
    for (const [key, bytes] of objects) {
      if (key.endsWith(`wal-index/1/00000001/00000000/${nameOf(5)}`)) objects.set(key, bytes.subarray(0, 100));
      if (key.endsWith(`wal-index/1/00000001/00000000/${nameOf(6)}`))
        objects.set(
          key,
          bytes.map((byte) => byte ^ 0x10),
        );
    }
    assert.deepEqual(await rangesOf(store), [[1, 5, 7, 3, 4]]);
    const indexes = await collect(readIndexes(store, timeline(1), segmentNumber(0), segmentNumber(99)));
    assert.equal(indexes.length, 2);
  });
});

describe('where the roll-up of a log or a group is damaged', () => {
  it('is done without it', async () => {
    const { store, objects } = await madeUpArchive([[4], [5, { commits: [3n, 4n] }], [6], [7], [8]]);
    await store.index.rollUpLog(timeline(1), 1n);
    for (const [key, bytes] of objects) if (key.endsWith('.log')) objects.set(key, bytes.subarray(0, 200));
    // Made-up segments tell no times when they are looked into.
    assert.deepEqual(await rangesOf(store), [[1, 4, 9]]);
    const indexes = await collect(readIndexes(store, timeline(1), segmentNumber(0), segmentNumber(99)));
    assert.equal(indexes.length, 1);
  });
});

describe('a segment of which two contents are stored', () => {
  it('counts as missing, for nobody can say which is right; all else stays known', async () => {
    const one = await testArchive();
    const other = await testArchive();
    for (const number of [4, 5, 6]) await one.store.putSegment(nameOf(number), walSegment(number, { commits: [3n] }));
    await other.store.putSegment(nameOf(5), walSegment(5, { seed: 2 }));
    for (const [key, bytes] of other.objects) if (key.includes('/wal/')) one.objects.set(key, bytes);
    assert.deepEqual(await rangesOf(one.store), [
      [1, 4, 5, 3, 3],
      [1, 6, 7, 3, 3],
    ]);
    await assert.rejects(one.store.getSegment(nameOf(5)), { code: 'wal-other-content' });
    const indexes = await collect(readIndexes(one.store, timeline(1), segmentNumber(0), segmentNumber(99)));
    assert.equal(indexes.length, 2);
  });
});

describe('reading indexes', () => {
  it('gives those of a span in order, wherever they lie', async () => {
    const { store } = await madeUpArchive([[2], [3], [4], [5], [6], [7], [8], [9], [11]]);
    await store.index.rollUpLog(timeline(1), 1n);
    for (const [first, last] of [
      [0, 99],
      [4, 7],
      [5, 6],
      [3, 4],
      [7, 8],
      [10, 10],
      [9, 11],
      [12, 20],
    ] as const) {
      const read = await collect(readIndexes(store, timeline(1), segmentNumber(first), segmentNumber(last)));
      assert.deepEqual(
        read.map(({ startLsn }) => Number(startLsn) / gibibyte),
        [2, 3, 4, 5, 6, 7, 8, 9, 11].filter((number) => number >= first && number <= last),
        `${first} to ${last}`,
      );
    }
    const [six] = await collect(readIndexes(store, timeline(1), segmentNumber(6), segmentNumber(6)));
    assert.deepEqual(six, { ...madeUpIndex(segmentAt(6), gibibyte) });
    assert.deepEqual(await collect(readIndexes(store, timeline(2), segmentNumber(0), segmentNumber(99))), []);
  });

  it('gives that of the whole segment where that has come while its beginning was looked for', async () => {
    const { store } = await testArchive();
    const whole = walSegment(6, { commits: [2n, 3n] });
    const begun = Buffer.alloc(mebibyte);
    whole.copy(begun, 0, 0, 81_920);
    await store.putPartial(nameOf(6), begun);
    const list = store.listLog.bind(store);
    store.listLog = async (of, log) => {
      const listed = await list(of, log);
      await store.putSegment(nameOf(6), whole);
      return listed;
    };
    const read = await collect(readIndexes(store, timeline(1), segmentNumber(5), segmentNumber(6)));
    assert.deepEqual(
      read.map(({ ending }) => ending),
      ['full'],
    );
  });

  it('gives that of a segment’s beginning where the whole one is missing', async () => {
    const { store } = await testArchive();
    await store.putSegment(nameOf(5), walSegment(5, { commits: [1n] }));
    await store.putPartial(nameOf(6), walSegment(6, { usedBytes: 81_920, commits: [2n, 3n] }));
    const read = await collect(readIndexes(store, timeline(1), segmentNumber(5), segmentNumber(6)));
    assert.deepEqual(
      read.map(({ commits, ending }) => [commits.length, ending]),
      [
        [1, 'full'],
        [2, 'end-of-wal'],
      ],
    );
  });
});
