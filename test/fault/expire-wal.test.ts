import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { expireWal, type KeptWal } from '../../src/archive/expire-wal.ts';
import { findGaps } from '../../src/archive/recoverable.ts';
import { writeGroups } from '../../src/archive/roll-up.ts';
import { readWalCatalogue } from '../../src/archive/wal-catalogue.ts';
import { WalStore } from '../../src/archive/wal-store.ts';
import { segmentNumber } from '../../src/postgres/segment-name.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { rangesOf } from '../support/archive-ranges.ts';
import { failEverywhere } from '../support/fault-loop.ts';
import { reopened } from '../support/made-up-backup.ts';
import { gibibyte, putMadeUp, segmentAt, testArchive } from '../support/test-archive.ts';

const [one, two, three] = [timeline(1), timeline(2), timeline(3)];
const kept: KeptWal = new Map([
  [
    one,
    [
      { first: segmentNumber(5), last: segmentNumber(6) },
      { first: segmentNumber(9), last: undefined },
    ],
  ],
  [three, [{ first: segmentNumber(0), last: undefined }]],
]);
const expected = [
  [1, 5, 7],
  [1, 9, 14],
  [3, 13, 15],
];

describe('whatever goes wrong in the repository while WAL is expired', () => {
  it('what is kept is there, nothing is called a gap, and the next expiry removes the rest', async () => {
    const archive = await testArchive({ segmentBytes: gibibyte });
    const { store, repository, objects } = archive;
    for (let number = 0; number < 14; number += 1) await putMadeUp(store, segmentAt(number));
    for (const number of [2, 3]) await putMadeUp(store, segmentAt(number, 2));
    for (const number of [13, 14]) await putMadeUp(store, segmentAt(number, 3));
    await store.putHistory('00000002.history', Buffer.from('1\t0/90000000\tno reason\n'));
    await store.putHistory('00000003.history', Buffer.from('1\t3/60000000\tno reason\n'));
    for (const log of [0n, 1n, 2n]) await store.index.rollUpLog(one, log);
    await writeGroups(store, { timeline: three, log: 3n });

    const over = (storage: Storage): WalStore => new WalStore(reopened(repository, storage), store.incarnation);
    const signal = new AbortController().signal;
    const faults = await failEverywhere({
      begun: new Map(objects),
      act: async (storage) => expireWal(over(storage), kept, [two], signal),
      after: async (storage) => {
        const after = over(storage);
        const there = await rangesOf(after);
        for (const [on, from = 0, to = 0] of expected) {
          assert.ok(
            there.some((range) => range[0] === on && range[1] <= from && range[2] >= to),
            `${on}: ${from} to ${to} is not there`,
          );
        }
        assert.deepEqual(findGaps([], await readWalCatalogue(after), gibibyte), []);
        await expireWal(after, kept, [two], signal);
        assert.deepEqual(await rangesOf(after), expected);
        assert.deepEqual(findGaps([], await readWalCatalogue(after), gibibyte), []);
        const left = [...storage.objects.keys()].filter((key) => /\/00000002(\/|\.history)/.test(key));
        assert.deepEqual(
          left.filter((key) => !key.includes('/00000001/')),
          [],
          'of timeline 2',
        );
        const index = [...storage.objects.keys()].filter((key) => key.includes('wal-index/1/00000001/00000000'));
        assert.deepEqual(index, [], 'of the first log');
      },
    });
    assert.ok(faults > 100, `only ${faults} faults`);
  });
});
