/* WAL for tests of its index: what is written, and the index of it. */

import assert from 'node:assert/strict';
import { i64, u32, WalBuilder } from './wal-builder.ts';
import type { Lsn } from '../../src/postgres/lsn.ts';
import { indexSegment } from '../../src/wal/index-segment.ts';
import type { SegmentIndex } from '../../src/wal/segment-index.ts';
import { decodeSegmentIndex, encodeSegmentIndex } from '../../src/wal/segment-index-codec.ts';

const heap = 10;
export const moment = 848_738_314_123_456n;
export const table = [1663, 5, 16_384] as const;
export const other = [1663, 5, 16_390] as const;

/** Indexes the only segment with CRCs checked; makes sure that its stored form says the same, and the kernel. */
export function index(builder: WalBuilder, segment = builder.segment): SegmentIndex {
  const made = indexSegment(segment, { verifyCrc: true });
  assert.deepEqual(decodeSegmentIndex(encodeSegmentIndex(made)), made);
  assert.deepEqual(indexSegment(segment), indexSegment(segment, { withoutKernel: true }));
  return made;
}

export function blocksOf(made: SegmentIndex): Record<string, { blocks: number[]; truncatedTo?: number }> {
  return Object.fromEntries(
    made.changes.map(({ relation, blocks, truncatedTo }) => [
      `${relation.spcOid}/${relation.dbOid}/${relation.relNumber}.${relation.fork}`,
      { blocks: [...blocks], ...(truncatedTo !== undefined && { truncatedTo }) },
    ]),
  );
}

export function touch(
  builder: WalBuilder,
  block: number,
  relation: readonly [number, number, number] = table,
  fork = 0,
): Lsn {
  return builder.record({ resourceManager: heap, xid: 700, blocks: [{ relation, block, fork }], main: u32(block) });
}

export function commit(builder: WalBuilder, xid: number, time: bigint): Lsn {
  return builder.record({ resourceManager: 1, info: 0x00, xid, main: i64(time) });
}
