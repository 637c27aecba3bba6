import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import { timeline } from '../postgres/timeline.ts';
import {
  gibibyte,
  identifier,
  mebibyte,
  nameOf,
  putMadeUp,
  segmentAt,
  testArchive,
} from '../../test/support/test-archive.ts';
import { WalBuilder, u32 } from '../../test/support/wal-builder.ts';
import { replayedTablespaces } from './replayed-tablespaces.ts';
import type { ReplayedTablespace } from './restore-plan.ts';
import { searchedWal, type SearchedSegment, type SearchedWal } from './searched-wal.ts';

const made = (oid: number, path: string): Parameters<WalBuilder['record']>[0] => ({
  resourceManager: 5,
  info: 0,
  main: Buffer.concat([u32(oid), Buffer.from(`${path}\0`)]),
});

/** WAL in two segments from segment 2 on, and the positions between which the tablespaces are looked for. */
function written(): { readonly segments: readonly Buffer[]; readonly from: Lsn; readonly until: Lsn } {
  const builder = new WalBuilder({
    startLsn: BigInt(2 * mebibyte),
    segmentBytes: mebibyte,
    systemIdentifier: identifier,
  });
  builder.record(made(1, '/before'));
  const from = builder.lsn;
  builder.record(made(2, '/first'));
  builder.record(made(3, ''));
  builder.fillTo(mebibyte - 40);
  builder.record(made(4, `/across/${'x'.repeat(60)}`));
  builder.record(made(5, '/last'));
  const until = builder.lsn;
  builder.record(made(6, '/after'));
  builder.fillTo(mebibyte - 32).filler(32);
  return { segments: builder.segments, from, until };
}

const expected = [
  { oid: 2, path: '/first' },
  { oid: 4, path: `/across/${'x'.repeat(60)}` },
  { oid: 5, path: '/last' },
];

async function find(wal: SearchedWal, from: Lsn, until: Lsn): Promise<readonly ReplayedTablespace[]> {
  const path = [{ timeline: timeline(1), startLsn: lsn(0), endLsn: undefined }];
  return replayedTablespaces(wal, path, { from: { timeline: timeline(1), lsn: from }, until });
}

describe('tablespaces that replay makes', () => {
  it('are those that WAL makes between the two positions, across the boundary of segments too', async () => {
    const { segments, from, until } = written();
    const { store } = await testArchive();
    for (const [i, segment] of segments.entries()) await store.putSegment(nameOf(2 + i), segment);
    assert.deepEqual(await find(searchedWal(store), from, until), expected);
  });

  it('are found where the only sign of one is the record that goes on in the next segment', async () => {
    const startLsn = BigInt(2 * mebibyte);
    const builder = new WalBuilder({ startLsn, segmentBytes: mebibyte, systemIdentifier: identifier });
    builder.fillTo(mebibyte - 40);
    builder.record(made(4, `/across/${'x'.repeat(60)}`));
    builder.fillTo(mebibyte - 32).filler(32);
    const { store } = await testArchive();
    for (const [i, segment] of builder.segments.entries()) await store.putSegment(nameOf(2 + i), segment);
    const found = await find(searchedWal(store), lsn(startLsn), lsn(4 * mebibyte));
    assert.deepEqual(found, expected.slice(1, 2));
  });

  it('are found where the index is damaged, or not there', async () => {
    for (const harm of ['damage', 'removal']) {
      const { segments, from, until } = written();
      const { store, objects } = await testArchive();
      for (const [i, segment] of segments.entries()) await store.putSegment(nameOf(2 + i), segment);
      for (const key of [...objects.keys()].filter((candidate) => candidate.includes('/wal-index/'))) {
        if (harm === 'damage') objects.set(key, Buffer.alloc(200, 1));
        else objects.delete(key);
      }
      assert.deepEqual(await find(searchedWal(store), from, until), expected, harm);
    }
  });

  it('are looked for in no index of a segment whose summary rules them out', async () => {
    const archive = await testArchive({ segmentBytes: gibibyte });
    for (let number = 0; number < 7; number += 1) {
      await putMadeUp(archive.store, segmentAt(number), number === 2 ? { problem: 'not decoded' } : {});
    }
    assert.equal(await archive.store.index.rollUpLog(timeline(1), 0n), true);
    const asked: bigint[] = [];
    const wal = searchedWal(archive.store);
    const watched: SearchedWal = {
      ...wal,
      async *segments(...given) {
        for await (const segment of wal.segments(...given)) {
          const index: SearchedSegment['index'] = async () => {
            asked.push(segment.number);
            return segment.index();
          };
          yield { ...segment, index };
        }
      },
    };
    assert.deepEqual(await find(watched, lsn(0), lsn(7 * gibibyte)), []);
    // The one that was not decoded, and the one that a record may cross into from it.
    assert.deepEqual(new Set(asked), new Set([2n, 3n]));
  });
});
