import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { madeUpArchive, rangesOf, type Range } from '../../test/support/archive-ranges.ts';
import {
  gibibyte,
  mebibyte,
  nameOf,
  putMadeUp,
  segmentAt,
  testArchive,
  walSegment,
  type MadeUp,
  type TestArchive,
} from '../../test/support/test-archive.ts';
import { collect } from '../../test/support/test-repository.ts';
import { timeline } from '../postgres/timeline.ts';
import { segmentNumber } from '../postgres/segment-name.ts';
import { FaultStorage } from '../storage/fault.ts';
import { openWithAccess } from '../repository/repository.ts';
import { writeGroups } from './roll-up.ts';
import { readIndexes } from './wal-catalogue.ts';
import { WalStore } from './wal-store.ts';

const full: MadeUp = {};
const early = { ending: 'end-of-wal', usedBytes: gibibyte / 4 } as const;

/** What is archived, and how to get there. */
interface Plan {
  readonly segments: ReadonlyMap<number, MadeUp>;
  readonly order: readonly number[];
  /** After so many segments, the log to roll up. */
  readonly rollUps: readonly (readonly [after: number, log: number])[];
}

const madeUp: fc.Arbitrary<MadeUp> = fc.record(
  {
    commits: fc.tuple(fc.bigInt(-9n, 99n), fc.bigInt(-9n, 99n)),
    ending: fc.oneof(
      { weight: 6, arbitrary: fc.constant('full' as const) },
      { weight: 1, arbitrary: fc.constantFrom('switch' as const, 'end-of-wal' as const) },
    ),
    usedBytes: fc.integer({ min: 100, max: gibibyte / 8 }).map((units) => units * 8),
  },
  { requiredKeys: ['usedBytes'] },
);

const plan: fc.Arbitrary<Plan> = fc
  .tuple(
    fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 23 }), madeUp), {
      selector: ([number]) => number,
      maxLength: 24,
    }),
    fc.array(fc.tuple(fc.nat(24), fc.nat(5)), { maxLength: 8 }),
  )
  .map(([segments, rollUps]) => ({
    segments: new Map(segments),
    order: segments.map(([number]) => number),
    rollUps,
  }));

/** What a catalogue should say, worked out segment by segment. */
function expectedRanges(segments: ReadonlyMap<number, MadeUp>): Range[] {
  const ranges: { from: number; to: number; next: number; times: number[] }[] = [];
  for (const number of [...segments.keys()].toSorted((a, b) => a - b)) {
    const { commits = [], ending = 'full', usedBytes = gibibyte } = segments.get(number) ?? {};
    let range = ranges.at(-1);
    if (range?.next !== number || range.to !== number) {
      range = { from: number, to: number, next: number, times: [] };
      ranges.push(range);
    }
    range.next = number + 1;
    range.to = ending === 'end-of-wal' ? number + usedBytes / gibibyte : number + 1;
    range.times.push(...commits.map(Number));
  }
  return ranges.map(({ from, to, times }) => {
    const [first] = times;
    return first === undefined ? [1, from, to] : [1, from, to, first, times.at(-1) ?? first];
  });
}

describe('the roll-up of the index', () => {
  it('changes nothing in what the catalogue says, whatever is archived in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(plan, async ({ segments, order, rollUps }) => {
        const { store } = await testArchive({ segmentBytes: gibibyte });
        const expected = expectedRanges(segments);
        for (const [step, number] of order.entries()) {
          await putMadeUp(store, segmentAt(number), segments.get(number));
          for (const [after, log] of rollUps) {
            if (after !== step) continue;
            await store.index.rollUpLog(timeline(1), BigInt(log));
            await writeGroups(store, { timeline: timeline(1), log: BigInt(log) + 1n });
          }
        }
        assert.deepEqual(await rangesOf(store), expected);
        for (let log = 0; log < 6; log += 1) {
          const whole = [0, 1, 2, 3].every((place) => segments.has(log * 4 + place));
          assert.equal(await store.index.rollUpLog(timeline(1), BigInt(log)), whole);
        }
        assert.deepEqual(await rangesOf(store), expected);
        await writeGroups(store, { timeline: timeline(1), log: 6n });
        assert.deepEqual(await rangesOf(store), expected);
        const indexes = await collect(readIndexes(store, timeline(1), segmentNumber(0), segmentNumber(99)));
        assert.deepEqual(
          indexes.map(({ startLsn }) => Number(startLsn) / gibibyte),
          [...order].toSorted((a, b) => a - b),
        );
      }),
      { numRuns: 60 },
    );
  });

  it('keeps 256 logs in one object, of which the catalogue then reads nothing else', async () => {
    const archive = await testArchive({ segmentBytes: gibibyte });
    const { store } = archive;
    const count = 257 * 4;
    for (let number = 0; number < count; number += 1) {
      await putMadeUp(
        store,
        segmentAt(number),
        number % 10 === 3 ? { commits: [BigInt(number), BigInt(number)] } : full,
      );
    }
    const expected = [[1, 0, count, 3, 1023]];
    assert.deepEqual(await rangesOf(store), expected);
    for (let log = 0n; log < 256n; log += 1n) assert.equal(await store.index.rollUpLog(timeline(1), log), true);
    await writeGroups(store, { timeline: timeline(1), log: 256n });
    const groups = [...archive.objects.keys()].filter((key) => key.endsWith('.group'));
    assert.deepEqual(groups, ['clusters/main/wal-index/1/00000001/000000.group']);
    const counted = countingStore(archive);
    assert.deepEqual(await rangesOf(counted.store), expected);
    const reads = counted.storage.operations.filter(({ kind }) => kind !== 'list');
    // The group, and what was expired; four segments of the log after it, of which neither a group nor a roll-up is there.
    assert.equal(new Set(reads.map(({ key }) => key)).size, 8);
  });

  it('tells of a whole log in whose middle a segment ends early', async () => {
    const { store } = await testArchive({ segmentBytes: gibibyte });
    for (let number = 0; number < 16; number += 1)
      await putMadeUp(store, segmentAt(number), number === 5 ? early : full);
    for (let log = 0n; log < 4n; log += 1n) await store.index.rollUpLog(timeline(1), log);
    await writeGroups(store, { timeline: timeline(1), log: 4n });
    assert.deepEqual(await rangesOf(store), [
      [1, 0, 5.25],
      [1, 6, 16],
    ]);
  });

  it('tells of logs that will never be whole, and the catalogue reads no segment’s index of theirs', async () => {
    const archive = await madeUpArchive([[2], [3], [4], [6], [7], [8]]);
    const { store } = archive;
    await putMadeUp(store, segmentAt(9, 2));
    const expected = [
      [1, 2, 5],
      [1, 6, 9],
      [2, 9, 10],
    ];
    await writeGroups(store, { timeline: timeline(2), log: 2n });
    const counted = countingStore(archive);
    assert.deepEqual(await rangesOf(counted.store), expected);
    const reads = counted.storage.operations.filter(({ kind }) => kind !== 'list');
    // One group, and what was expired of each timeline; the segment of the log that is being filled, of which neither a
    // group nor a roll-up is there.
    assert.equal(new Set(reads.map(({ key }) => key)).size, 6);
  });

  it('is not believed about a log in which something has changed since', async () => {
    const { store, objects } = await testArchive();
    for (const number of [5, 6]) await store.putSegment(nameOf(number), walSegment(number, { commits: [3n] }));
    await store.putPartial(nameOf(9), walSegment(9, { usedBytes: 81_920 }));
    await writeGroups(store, { timeline: timeline(1), log: 1n });
    const at = 81_920 / mebibyte;
    assert.deepEqual(await rangesOf(store), [
      [1, 5, 7, 3, 3],
      [1, 9, 9 + at],
    ]);
    await store.putPartial(nameOf(9), walSegment(9, { usedBytes: 163_840 }));
    await store.putSegment(nameOf(7), walSegment(7, { commits: [8n] }));
    assert.deepEqual(await rangesOf(store), [
      [1, 5, 8, 3, 8],
      [1, 9, 9 + at * 2],
    ]);
    for (const key of objects.keys()) if (key.includes(`/wal/1/00000001/00000000/${nameOf(6)}`)) objects.delete(key);
    assert.deepEqual((await rangesOf(store)).length, 3);
  });
});

/** The same archive, through a storage that counts. */
function countingStore({ repository, storage, store }: TestArchive): { storage: FaultStorage; store: WalStore } {
  const counting = new FaultStorage(storage);
  const access = repository.access({ kind: 'local', directory: '/nowhere' });
  return {
    storage: counting,
    store: new WalStore(openWithAccess(access, counting).cluster('main'), store.incarnation),
  };
}
