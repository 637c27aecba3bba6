import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { madeUpArchive, rangesOf } from '../../test/support/archive-ranges.ts';
import {
  gibibyte,
  nameOf,
  putMadeUp,
  segmentAt,
  testArchive,
  walSegment,
  type TestArchive,
} from '../../test/support/test-archive.ts';
import { backupRecord, collect } from '../../test/support/test-repository.ts';
import { lsn, formatLsn } from '../postgres/lsn.ts';
import { segmentNumber } from '../postgres/segment-name.ts';
import { timeline, type Timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { countExpirable, expireWal, type ExpiredCount, type KeptWal } from './expire-wal.ts';
import { findGaps } from './recoverable.ts';
import { writeGroups } from './roll-up.ts';
import { readIndexes, readWalCatalogue } from './wal-catalogue.ts';
import type { WalStore } from './wal-store.ts';

const one = timeline(1);

/** Segments that stay, both ends included; from there on without a second. */
function keeping(ranges: Readonly<Record<number, readonly (readonly [number, number?])[]>>): KeptWal {
  return new Map(
    Object.entries(ranges).map(([of, some]) => [
      timeline(Number(of)),
      some.map(([first, last]) => ({
        first: segmentNumber(first),
        last: last === undefined ? undefined : segmentNumber(last),
      })),
    ]),
  );
}

async function expire(store: WalStore, kept: KeptWal, forgotten: readonly Timeline[] = []): Promise<ExpiredCount> {
  return expireWal(store, kept, forgotten, new AbortController().signal);
}

/** A backup that starts in one segment and ends in another. */
function backupOf(first: number, last: number, onTimeline = 1): BackupRecord {
  const at = (segments: number): string => formatLsn(lsn(BigInt(segments * gibibyte)));
  return backupRecord(`backup-${first}`, { timeline: onTimeline, startLsn: at(first + 0.25), endLsn: at(last + 0.5) });
}

async function gapsOf(store: WalStore, backups: readonly BackupRecord[] = []): Promise<number[][]> {
  const gaps = findGaps(backups, await readWalCatalogue(store), store.segmentBytes);
  return gaps.map(({ timeline: of, fromLsn, toLsn }) => [of, Number(fromLsn) / gibibyte, Number(toLsn) / gibibyte]);
}

function keysOf({ objects }: TestArchive, part: string): string[] {
  return [...objects.keys()].filter((key) => key.includes(part)).map((key) => key.slice('clusters/main/'.length));
}

async function archiveOf(segments: number): Promise<TestArchive> {
  const archive = await testArchive({ segmentBytes: gibibyte });
  for (let number = 0; number < segments; number += 1) await putMadeUp(archive.store, segmentAt(number));
  return archive;
}

describe('WAL that is expired', () => {
  it('is gone with its index; the recoverable span begins later, and nothing is a gap', async () => {
    const archive = await archiveOf(22);
    const { store } = archive;
    for (let log = 0n; log < 5n; log += 1n) await store.index.rollUpLog(one, log);
    const kept = keeping({ 1: [[10]] });
    assert.equal(await countExpirable(store, kept), 10);
    assert.deepEqual(await expire(store, kept), { segments: 10, histories: 0 });
    assert.deepEqual(await rangesOf(store), [[1, 10, 22]]);
    assert.deepEqual(await gapsOf(store), []);
    assert.deepEqual(keysOf(archive, 'wal-index/').toSorted(), [
      'wal-index/1/00000001/00000002.log',
      'wal-index/1/00000001/00000003.log',
      'wal-index/1/00000001/00000004.log',
      `wal-index/1/00000001/00000005/${nameOf(20, 1, gibibyte)}`,
      `wal-index/1/00000001/00000005/${nameOf(21, 1, gibibyte)}`,
    ]);
    const indexes = await collect(readIndexes(store, one, segmentNumber(0), segmentNumber(99)));
    assert.deepEqual(
      indexes.map(({ startLsn }) => Number(startLsn) / gibibyte),
      [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21],
    );
    assert.equal(await countExpirable(store, kept), 0);
    assert.deepEqual(await expire(store, kept), { segments: 0, histories: 0 });
  });

  it('leaves what each backup needs; what is missing in between is no gap, what else is missing is one', async () => {
    const archive = await archiveOf(30);
    const { store } = archive;
    for (const key of keysOf(archive, '/wal/')) {
      if (/0(?:0000005|0000004)\/\w{16}0000000[12]-/.test(key)) archive.objects.delete(`clusters/main/${key}`);
    }
    const backups = [backupOf(1, 2), backupOf(9, 9), backupOf(16, 16)];
    assert.deepEqual(await gapsOf(store, backups), [
      [1, 17, 19],
      [1, 21, 23],
    ]);
    await expire(store, keeping({ 1: [[1, 2], [9, 9], [16]] }));
    assert.deepEqual(await rangesOf(store), [
      [1, 1, 3],
      [1, 9, 10],
      [1, 16, 17],
      [1, 19, 21],
      [1, 23, 30],
    ]);
    assert.deepEqual(await gapsOf(store, backups), [
      [1, 17, 19],
      [1, 21, 23],
    ]);
    await expire(store, keeping({ 1: [[1, 2], [9, 9], [20]] }));
    assert.deepEqual(await gapsOf(store, backups), [[1, 21, 23]]);
  });

  it('goes with beginnings of segments and notes about backups; with the last one goes the timeline', async () => {
    const archive = await testArchive();
    const { store } = archive;
    for (const number of [2, 3]) await store.putSegment(nameOf(number), walSegment(number));
    await store.putPartial(nameOf(4), walSegment(4, { usedBytes: 81_920 }));
    const note = `${nameOf(2)}.00000028.backup`;
    await store.put(note, Buffer.from('START WAL LOCATION: 0/200028'));
    await store.putSegment(nameOf(4, 2), walSegment(4, { timeline: 2 }));
    await store.putHistory('00000002.history', Buffer.from('1\t0/480000\tno reason\n'));
    await writeGroups(store, { timeline: timeline(2), log: 9n });
    await expire(store, keeping({ 1: [[3, 3]], 2: [[0]] }));
    assert.deepEqual(
      keysOf(archive, '/wal/').map((key) => key.replace(/-\w{64}$/, '')),
      [
        `wal/1/00000001/00000000/${nameOf(3)}`,
        `wal/1/00000002/00000000/${nameOf(4, 2)}`,
        'wal/1/00000002.history',
        'wal/1/00000001/expired',
      ],
    );
    assert.deepEqual(await expire(store, keeping({ 2: [[0]] })), { segments: 1, histories: 0 });
    assert.deepEqual(keysOf(archive, '/00000001/'), []);
    assert.deepEqual(await expire(store, keeping({}), [timeline(2)]), { segments: 1, histories: 1 });
    assert.deepEqual(keysOf(archive, '/wal'), []);
  });

  it('does not come back by an archiver that writes the index of before', async () => {
    const archive = await archiveOf(26);
    const { store } = archive;
    for (let log = 0n; log < 6n; log += 1n) await store.index.rollUpLog(one, log);
    await writeGroups(store, { timeline: one, log: 6n });
    const [groupKey = ''] = keysOf(archive, '.group');
    const group = archive.objects.get(`clusters/main/${groupKey}`) ?? assert.fail();
    await expire(store, keeping({ 1: [[2, 2], [10]] }));
    const expected = [
      [1, 2, 3],
      [1, 10, 26],
    ];
    assert.deepEqual(await rangesOf(store), expected);
    // It had read the group before, and writes it now.
    archive.objects.set(`clusters/main/${groupKey}`, group);
    assert.deepEqual(await rangesOf(store), expected);
    assert.deepEqual(await gapsOf(store), []);
    await writeGroups(store, { timeline: one, log: 6n });
    assert.deepEqual(await rangesOf(store), expected);
  });

  it('that a server hands over once more is stored, makes no gap, and goes with the next expiry', async () => {
    const { store } = await archiveOf(12);
    await expire(store, keeping({ 1: [[8]] }));
    await putMadeUp(store, segmentAt(3));
    assert.deepEqual(await rangesOf(store), [
      [1, 3, 4],
      [1, 8, 12],
    ]);
    assert.deepEqual(await gapsOf(store, [backupOf(0, 0)]), []);
    assert.equal((await expire(store, keeping({ 1: [[8]] }))).segments, 1);
    assert.deepEqual(await rangesOf(store), [[1, 8, 12]]);
  });

  it('is no gap where a timeline left its parent, nor is what the parent lost', async () => {
    const { store } = await madeUpArchive([[2], [3], [4]]);
    for (const number of [4, 5, 6, 7]) await putMadeUp(store, segmentAt(number, 2));
    await store.putHistory('00000002.history', Buffer.from('1\t1/10000000\tno reason\n'));
    assert.deepEqual(await gapsOf(store), []);
    await expire(store, keeping({ 1: [[2, 2]], 2: [[6]] }));
    assert.deepEqual(await rangesOf(store), [
      [1, 2, 3],
      [2, 6, 8],
    ]);
    assert.deepEqual(await gapsOf(store, [backupOf(2, 2)]), []);
  });

  it('is forgotten by nobody where the note of it is damaged: what is whole is looked up, and gaps are told', async () => {
    const archive = await archiveOf(13);
    const { store } = archive;
    for (let log = 0n; log < 3n; log += 1n) await store.index.rollUpLog(one, log);
    await writeGroups(store, { timeline: one, log: 3n });
    const [groupKey = ''] = keysOf(archive, '.group');
    const group = archive.objects.get(`clusters/main/${groupKey}`) ?? assert.fail();
    await expire(store, keeping({ 1: [[2, 2], [6]] }));
    archive.objects.set(`clusters/main/${groupKey}`, group);
    archive.objects.set('clusters/main/wal/1/00000001/expired', Buffer.from('{}'));
    assert.deepEqual(await rangesOf(store), [
      [1, 2, 3],
      [1, 6, 13],
    ]);
    assert.deepEqual(await gapsOf(store), [[1, 3, 6]]);
  });
});

interface Made {
  readonly segments: readonly number[];
  readonly rolledUp: boolean;
  readonly kept: readonly (readonly [number, number?])[];
  readonly later: readonly (readonly [number, number?])[];
}

const ranges = fc
  .uniqueArray(fc.integer({ min: 0, max: 25 }), { maxLength: 7 })
  .map((ends) => ends.toSorted((a, b) => a - b))
  .map((ends) => {
    const some: (readonly [number, number?])[] = [];
    for (let i = 0; i < ends.length; i += 2) {
      const [first = 0, last] = ends.slice(i, i + 2);
      some.push(last === undefined ? [first] : [first, last]);
    }
    return some;
  });

const made: fc.Arbitrary<Made> = fc.record({
  segments: fc.uniqueArray(fc.nat(23), { maxLength: 24 }).chain((few) =>
    fc.constantFrom(
      few,
      Array.from({ length: 24 }, (_, i) => i).filter((i) => !few.slice(0, 3).includes(i)),
    ),
  ),
  rolledUp: fc.boolean(),
  kept: ranges,
  later: ranges,
});

describe('whatever is archived and whatever stays', () => {
  it('the catalogue says what is there, and calls a gap only what was missing before', async () => {
    await fc.assert(
      fc.asyncProperty(made, async ({ segments, rolledUp, kept, later }) => {
        const { store } = await testArchive({ segmentBytes: gibibyte });
        for (const number of segments) await putMadeUp(store, segmentAt(number));
        const rollUp = async (): Promise<void> => {
          for (let log = 0n; log < 6n; log += 1n) await store.index.rollUpLog(one, log);
          await writeGroups(store, { timeline: one, log: 6n });
        };
        if (rolledUp) await rollUp();
        let there = new Set(segments);
        const gone = new Set<number>();
        for (const some of [kept, later]) {
          const stays = (number: number): boolean =>
            some.some(([first, last = Infinity]) => first <= number && number <= last);
          const [first, last] = [Math.min(...there), Math.max(...there)];
          for (let number = first; number <= last; number += 1) if (!stays(number)) gone.add(number);
          await expire(store, keeping({ 1: some }));
          there = new Set([...there].filter(stays));
          for (const again of [0, 1]) {
            const numbers = (await rangesOf(store)).flatMap(([, from, to]) =>
              Array.from({ length: to - from }, (_, i) => from + i),
            );
            assert.deepEqual(new Set(numbers), there);
            const missing = (await gapsOf(store)).flatMap(([, from = 0, to = 0]) =>
              Array.from({ length: to - from }, (_, i) => from + i),
            );
            const [least, most] = [Math.min(...there), Math.max(...there)];
            const expected = Array.from({ length: 24 }, (_, i) => i).filter(
              (i) => i > least && i < most && !there.has(i) && !gone.has(i),
            );
            assert.deepEqual(missing, expected);
            if (again === 0) await rollUp();
          }
        }
      }),
      { numRuns: 150 },
    );
  });
});
