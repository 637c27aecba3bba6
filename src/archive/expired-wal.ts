import { hasCode } from '../errors/pgrecall-error.ts';
import {
  formatSegmentName,
  isSegmentName,
  parseSegmentName,
  segmentNumber,
  segmentStart,
  type SegmentNumber,
} from '../postgres/segment-name.ts';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { fields, listOf, type Check } from '../repository/json-shape.ts';
import type { WalGap } from './recoverable.ts';
import { isDamage } from './segment-facts.ts';
import type { WalStore } from './wal-store.ts';

/*
 * Which WAL of a timeline was expired: `wal/<incarnation>/<timeline>/expired`. It is written before the segments go, and
 * says two things that nothing else can: that what is missing there is no gap; and that a log which the index says is whole
 * may not be so any more. An archiver may write such an index at any time, since nobody keeps it from that.
 */

/** Both ends included. */
export interface SegmentRange {
  readonly first: SegmentNumber;
  readonly last: SegmentNumber;
}

export interface ExpiredWal {
  /** In order, apart from each other. */
  readonly ranges: readonly SegmentRange[];
  /** What it says cannot be read: any log may have lost segments. */
  readonly damaged: boolean;
}

const segmentName: Check = (value, place) =>
  typeof value === 'string' && isSegmentName(value) ? undefined : `${place}: expected the name of a segment`;

const checkExpired: Check = fields({ segments: listOf(fields({ first: segmentName, last: segmentName })) });

interface ExpiredDocument {
  readonly segments: readonly { readonly first: string; readonly last: string }[];
}

/** Damage here keeps nobody from restoring: it is an answer. */
export async function readExpired(store: WalStore, of: Timeline): Promise<ExpiredWal> {
  try {
    return { ranges: await loadExpired(store, of), damaged: false };
  } catch (error) {
    if (!isDamage(error) && !hasCode(error, 'wal-name')) throw error;
    return { ranges: [], damaged: true };
  }
}

/** Throws `object-damaged`, `object-swapped`, `blob-damaged`, `wal-name`. */
export async function loadExpired(store: WalStore, of: Timeline): Promise<readonly SegmentRange[]> {
  let document: ExpiredDocument;
  try {
    document = (await store.cluster.readDocument(store.keys.expiredKey(of), checkExpired)) as ExpiredDocument;
  } catch (error) {
    if (hasCode(error, 'object-missing')) return [];
    throw error;
  }
  const numberOf = (name: string): SegmentNumber => parseSegmentName(name, store.segmentBytes).number;
  return joinRanges(document.segments.map(({ first, last }) => ({ first: numberOf(first), last: numberOf(last) })));
}

/** Adds to what is expired; durable on return. */
export async function noteExpired(store: WalStore, timeline: Timeline, ranges: readonly SegmentRange[]): Promise<void> {
  const before = await readExpired(store, timeline);
  const joined = joinRanges([...before.ranges, ...ranges]);
  if (joined.length === before.ranges.length && joined.every((range, i) => sameRange(range, before.ranges[i]))) return;
  const nameOf = (number: SegmentNumber): string => formatSegmentName({ timeline, number }, store.segmentBytes);
  const document: ExpiredDocument = {
    segments: joined.map(({ first, last }) => ({ first: nameOf(first), last: nameOf(last) })),
  };
  await store.cluster.writeDocument(store.keys.expiredKey(timeline), document, checkExpired, { replace: true });
}

function sameRange(a: SegmentRange, b: SegmentRange | undefined): boolean {
  return a.first === b?.first && a.last === b.last;
}

/** In order; those that overlap or follow each other as one. */
function joinRanges(ranges: readonly SegmentRange[]): SegmentRange[] {
  const joined: SegmentRange[] = [];
  for (const range of ranges.toSorted((a, b) => Number(a.first - b.first))) {
    const before = joined.at(-1);
    if (!before || range.first > before.last + 1n) joined.push(range);
    else if (range.last > before.last) joined[joined.length - 1] = { first: before.first, last: range.last };
  }
  return joined;
}

/** Whether any of these segments was expired. */
export function touches({ ranges, damaged }: ExpiredWal, first: bigint, last: bigint): boolean {
  return damaged || ranges.some((range) => range.first <= last && range.last >= first);
}

/** What of a gap is missing although nobody expired it. */
export function unexplained(gap: WalGap, ranges: readonly SegmentRange[], segmentBytes: number): WalGap[] {
  const left: WalGap[] = [];
  let fromLsn = gap.fromLsn;
  for (const { first, last } of ranges) {
    const end = segmentStart(segmentNumber(last + 1n), segmentBytes);
    // What a segment does not hold to its end goes on in the next one: when that is expired, it is, too.
    const start = beginning(first, fromLsn, segmentBytes);
    if (end <= fromLsn || start >= gap.toLsn) continue;
    if (start > fromLsn) left.push({ ...gap, fromLsn, toLsn: start });
    fromLsn = end;
  }
  if (fromLsn < gap.toLsn) left.push({ ...gap, fromLsn });
  return left;
}

function beginning(first: SegmentNumber, fromLsn: Lsn, segmentBytes: number): Lsn {
  const start = segmentStart(first, segmentBytes);
  return fromLsn < start && start - fromLsn < BigInt(segmentBytes) ? lsn(fromLsn) : start;
}
