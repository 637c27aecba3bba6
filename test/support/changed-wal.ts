import assert from 'node:assert/strict';
import { readChangedBlocks, type Evidence, type StartPosition } from '../../src/archive/changed-blocks.ts';
import { lsn, type Lsn } from '../../src/postgres/lsn.ts';
import type { TimelineHistory } from '../../src/postgres/timeline-history.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import { mebibyte, nameOf, testArchive, type TestArchive } from './test-archive.ts';
import type { WalBuilder } from './wal-builder.ts';

/* Handmade WAL in an archive, and what it says of the one table that `touch` writes to. */

export const firstNumber = 0x5000;
/** Where WalBuilder begins. */
export const firstLsn = lsn(BigInt(firstNumber) * BigInt(mebibyte));
/** Of the table that `touch` writes to. */
export const relNumber = 16_384;
const oneTimeline: TimelineHistory = { timeline: timeline(1), parents: [] };

interface Asked {
  readonly from: Lsn;
  readonly to: Lsn;
  /** Checkpoints whose redo begins there. */
  readonly checkpoints?: { readonly from?: Lsn; readonly to?: Lsn };
  /** 1 unless given. */
  readonly on?: readonly [from: number, to: number];
  readonly history?: TimelineHistory;
  readonly signal?: AbortSignal;
}

export async function askForBlocks(
  { store }: TestArchive,
  { from, to, on = [1, 1], ...rest }: Asked,
): Promise<Evidence> {
  const { history = oneTimeline, signal = new AbortController().signal, checkpoints = {} } = rest;
  const at = (position: Lsn, timelineNumber: number, checkpointLsn: Lsn | undefined): StartPosition => ({
    timeline: timeline(timelineNumber),
    lsn: position,
    ...(checkpointLsn !== undefined && { checkpointLsn }),
  });
  return readChangedBlocks({
    store,
    history,
    from: at(from, on[0], checkpoints.from),
    to: at(to, on[1], checkpoints.to),
    signal,
  });
}

/** The blocks of the one table that count, up to block 100. */
export function blocksIn(evidence: Evidence): number[] | 'whole' {
  assert.ok('changed' in evidence, 'unfit' in evidence ? evidence.unfit : '');
  const found = evidence.changed.of({ spcOid: 1663, dbOid: 5, relNumber, fork: 0 }, 0, 100);
  return found?.whole ? 'whole' : [...(found?.blocks ?? [])];
}

export function assertUnfit(evidence: Evidence, why: RegExp, missing?: string): void {
  assert.ok('unfit' in evidence, 'it was taken for fit');
  assert.match(evidence.unfit, why);
  assert.equal(evidence.missing, missing);
}

/** Of the segments written, in order, those not left out. */
export async function archived(
  builder: WalBuilder,
  leaveOut: readonly number[] = [],
  onTimeline = 1,
): Promise<TestArchive> {
  const archive = await testArchive();
  await putSegments(archive, builder, leaveOut, onTimeline);
  return archive;
}

export async function putSegments(
  { store }: TestArchive,
  builder: WalBuilder,
  leaveOut: readonly number[],
  on: number,
): Promise<void> {
  for (const [i, segment] of builder.segments.entries()) {
    if (!leaveOut.includes(i)) await store.putSegment(nameOf(firstNumber + i, on), segment);
  }
}
