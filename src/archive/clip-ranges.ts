import { segmentNumber, segmentStart } from '../postgres/segment-name.ts';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import type { KeptWal } from './expire-wal.ts';
import type { WalCatalogue, WalRange } from './wal-catalogue.ts';

/** What a catalogue says when nothing but `kept` is left. Times of commits that went with the rest are not known then. */
export function clipCatalogue(catalogue: WalCatalogue, kept: KeptWal, segmentBytes: number): WalCatalogue {
  return { ...catalogue, ranges: catalogue.ranges.flatMap((range) => clipRange(range, kept, segmentBytes)) };
}

function clipRange(range: WalRange, kept: KeptWal, segmentBytes: number): WalRange[] {
  const left: WalRange[] = [];
  for (const { first, last } of kept.get(range.timeline) ?? []) {
    const startLsn = later(range.startLsn, segmentStart(first, segmentBytes));
    const limit = last === undefined ? undefined : segmentStart(segmentNumber(last + 1n), segmentBytes);
    const endLsn = limit === undefined || limit > range.endLsn ? range.endLsn : limit;
    if (startLsn >= endLsn) continue;
    const barriers = range.barriers?.filter((barrier) => barrier.lsn >= startLsn && barrier.lsn < endLsn) ?? [];
    const wholeEndLsn = endLsn < range.wholeEndLsn ? endLsn : range.wholeEndLsn;
    left.push({
      timeline: range.timeline,
      startLsn,
      endLsn,
      wholeEndLsn,
      firstCommitTime: startLsn === range.startLsn ? range.firstCommitTime : undefined,
      lastCommitTime: endLsn === range.endLsn ? range.lastCommitTime : undefined,
      ...(barriers.length > 0 ? { barriers } : {}),
    });
  }
  return left;
}

function later(a: Lsn, b: Lsn): Lsn {
  return lsn(a > b ? a : b);
}
