import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { rollUpAround } from '../../src/archive/roll-up.ts';
import { readWalCatalogue } from '../../src/archive/wal-catalogue.ts';
import { WalStore } from '../../src/archive/wal-store.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import { openWithAccess } from '../../src/repository/repository.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { copyOf, failEverywhere } from '../support/fault-loop.ts';
import {
  gibibyte,
  mebibyte,
  nameOf,
  putMadeUp,
  sameBytes,
  segmentAt,
  testArchive,
  walSegment,
  type TestArchive,
} from '../support/test-archive.ts';

/*
 * Each operation of the storage fails in turn, or is the last one of a process that dies in it. Whatever was
 * acknowledged is there; nothing is there that is not right; and the next try, by a process that knows nothing of the
 * first, succeeds.
 */

/** A step on the way into the archive; it may be taken again. */
type Step = (store: WalStore) => Promise<unknown>;

interface Story {
  readonly segmentBytes?: number;
  /** What is there before. */
  readonly before?: Step;
  readonly steps: readonly Step[];
  /** Holds after every fault; `acknowledged`: how many of the steps returned. */
  readonly check: (store: WalStore, acknowledged: number) => Promise<void>;
  /** Holds when every step was taken without a fault, whatever went wrong before. */
  readonly inTheEnd?: Step;
}

async function failInTurn({ segmentBytes = mebibyte, before, steps, check, inTheEnd }: Story): Promise<void> {
  const archive = await testArchive({ segmentBytes, passphrase: 'correct horse battery staple' });
  await before?.(archive.store);
  const begun = new Map(archive.objects);
  const clean = copyOf(begun);
  for (const step of steps) await step(storeOver(archive, clean));
  const expected = await readWalCatalogue(storeOver(archive, clean));
  let acknowledged = 0;
  await failEverywhere({
    begun,
    act: async (storage) => {
      acknowledged = 0;
      for (const step of steps) {
        await step(storeOver(archive, storage));
        acknowledged += 1;
      }
    },
    after: async (storage) => {
      await check(storeOver(archive, storage), acknowledged);
      for (const step of steps) await step(storeOver(archive, storage));
      await check(storeOver(archive, storage), steps.length);
      await inTheEnd?.(storeOver(archive, storage));
      assert.deepEqual(await readWalCatalogue(storeOver(archive, storage)), expected);
    },
  });
}

/** The archive over another storage, as another process opens it. */
function storeOver({ repository, store }: TestArchive, storage: Storage): WalStore {
  const access = repository.access({ kind: 'local', directory: '/nowhere' });
  return new WalStore(openWithAccess(access, storage).cluster('main'), store.incarnation);
}

const segments = [5, 6].map((number) => walSegment(number, { commits: [BigInt(number), BigInt(number * 10)] }));
const beginningOf = (segment: Buffer, usedBytes: number): Buffer => {
  const beginning = Buffer.alloc(mebibyte);
  segment.copy(beginning, 0, 0, usedBytes);
  return beginning;
};

describe('whatever goes wrong while WAL is archived', () => {
  it('no segment that was acknowledged is lost, none is wrong, and the next try succeeds', async () => {
    await failInTurn({
      before: async (store) => store.putPartial(nameOf(5), beginningOf(segments[0] ?? Buffer.alloc(0), 81_920)),
      steps: segments.map((segment, i) => async (store: WalStore) => store.putSegment(nameOf(5 + i), segment)),
      check: async (store, acknowledged) => {
        for (const [i, segment] of segments.entries()) {
          const found = await store.getSegment(nameOf(5 + i));
          if (found || i < acknowledged) sameBytes(found, segment);
        }
        const { ranges } = await readWalCatalogue(store);
        assert.ok((ranges[0]?.endLsn ?? 0n) >= BigInt((5 + acknowledged) * mebibyte));
        const partial = await store.getPartial(nameOf(5));
        if (partial) sameBytes(partial, beginningOf(segments[0] ?? Buffer.alloc(0), 81_920));
      },
    });
  });

  it('the beginning of a segment never becomes shorter', async () => {
    const [, whole = Buffer.alloc(0)] = segments;
    const lengths = [8192, 81_920, 500_000];
    await failInTurn({
      steps: lengths.map(
        (length) => async (store: WalStore) => store.putPartial(nameOf(6), beginningOf(whole, length)),
      ),
      check: async (store, acknowledged) => {
        const found = await store.getPartial(nameOf(6));
        const length = lengths.find((candidate) => found !== undefined && beginningOf(whole, candidate).equals(found));
        assert.ok(length !== undefined || found === undefined, 'the beginning is none of those that came');
        assert.ok((length ?? 0) >= (lengths[acknowledged - 1] ?? 0), `${length} bytes after ${acknowledged} steps`);
      },
    });
  });

  it('histories are whole or absent', async () => {
    const histories = [2, 3].map((of) => Buffer.from(`1\t0/${of}000100\tno recovery target specified\n`));
    await failInTurn({
      steps: histories.map((text, i) => async (store: WalStore) => store.putHistory(`0000000${i + 2}.history`, text)),
      check: async (store, acknowledged) => {
        for (const [i, text] of histories.entries()) {
          const found = await store.getHistory(`0000000${i + 2}.history`);
          if (found || i < acknowledged) sameBytes(found, text);
        }
      },
    });
  });

  it('the catalogue says the same in the middle of a roll-up', async () => {
    await failInTurn({
      segmentBytes: gibibyte,
      before: async (store) => {
        for (let number = 0; number < 8; number += 1) {
          await putMadeUp(store, segmentAt(number), { commits: [BigInt(number), BigInt(number + 50)] });
        }
      },
      steps: [0n, 1n].map((log) => async (store: WalStore) => store.index.rollUpLog(timeline(1), log)),
      check: async (store) => {
        const { ranges } = await readWalCatalogue(store);
        assert.deepEqual(
          ranges.map(({ startLsn, endLsn, firstCommitTime, lastCommitTime }) => [
            startLsn,
            endLsn,
            firstCommitTime,
            lastCommitTime,
          ]),
          [[0n, 8n * BigInt(gibibyte), 0n, 57n]],
        );
        for (const number of [1, 6]) {
          assert.equal((await store.index.read(segmentAt(number)))?.commits[0]?.time, BigInt(number));
        }
      },
    });
  });

  it('the catalogue says the same while the 256th log comes to its end, and groups are made of what is before', async () => {
    const lastOf = (log: number) => async (store: WalStore) => rollUpAround(store, segmentAt(log * 4 + 3));
    const logsInGroup = async (store: WalStore, of: number, number: bigint): Promise<readonly number[] | undefined> =>
      (await store.index.readGroup(timeline(of), number))?.flatMap((span, log) => (span ? [log] : []));
    await failInTurn({
      segmentBytes: gibibyte,
      before: async (store) => {
        // A log with a gap, the 256th and the one after it, and another timeline.
        const numbers = [4, 5, 7, 1020, 1021, 1022, 1023, 1024, 1025, 1026, 1027];
        for (const number of numbers) await putMadeUp(store, segmentAt(number), { commits: [5n, 9n] });
        for (const number of [5, 6]) await putMadeUp(store, segmentAt(number, 2));
      },
      // The second finds a group to be replaced; the third begins another one.
      steps: [lastOf(255), lastOf(256), lastOf(257)],
      check: async (store) => {
        const { ranges } = await readWalCatalogue(store);
        assert.deepEqual(
          ranges.map(({ timeline: of, startLsn, endLsn }) => [of, startLsn >> 30n, endLsn >> 30n]),
          [
            [1, 4n, 6n],
            [1, 7n, 8n],
            [1, 1020n, 1028n],
            [2, 5n, 7n],
          ],
        );
      },
      inTheEnd: async (store) => {
        assert.deepEqual(await logsInGroup(store, 1, 0n), [1, 255]);
        assert.deepEqual(await logsInGroup(store, 1, 1n), [0]);
        assert.deepEqual(await logsInGroup(store, 2, 0n), [1]);
      },
    });
  });
});
