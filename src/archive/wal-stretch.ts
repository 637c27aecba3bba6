import { formatLsn, lsn, type Lsn } from '../postgres/lsn.ts';
import { segmentBefore, segmentNumber, segmentOf, type SegmentNumber } from '../postgres/segment-name.ts';
import { timelineOfPosition, type TimelineHistory } from '../postgres/timeline-history.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { longHeaderBytes } from '../wal/page-header.ts';

export interface WalPosition {
  readonly timeline: Timeline;
  readonly lsn: Lsn;
}

/** Segments of one timeline, `first` to `last`. */
export interface SegmentRun {
  readonly timeline: Timeline;
  readonly first: SegmentNumber;
  readonly last: SegmentNumber;
}

/**
 * The segments that hold the records which start at or after `from` and before `to`, in the order of WAL. Where a
 * timeline goes over into the next one, the segment of the switch is the next one's, which begins with a copy of
 * the old one's. `to`: where a record starts or will start; at a segment's beginning, behind its page header, it is
 * still the segment before that is the last one. A text, where the history does not lead from the one to the other.
 */
export function segmentRuns(
  history: TimelineHistory,
  from: WalPosition,
  to: WalPosition,
  segmentBytes: number,
): SegmentRun[] | string {
  if (timelineOfPosition(history, from.lsn) !== from.timeline) {
    return `${describe(from)} is not in the past of timeline ${history.timeline}`;
  }
  if (to.lsn < from.lsn || !leadsTo(history, to)) return `WAL does not lead from ${describe(from)} to ${describe(to)}`;
  if (to.lsn === from.lsn) return [];
  const end = segmentBefore(lsn(to.lsn - BigInt(longHeaderBytes)), segmentBytes);
  const runs: SegmentRun[] = [];
  let first = segmentOf(from.lsn, segmentBytes);
  for (const { timeline, switchLsn } of history.parents) {
    if (timeline < from.timeline) continue;
    if (timeline >= to.timeline) break;
    const branch = segmentOf(switchLsn, segmentBytes);
    if (first < branch) runs.push({ timeline, first, last: segmentNumber(branch - 1n) });
    first = branch;
  }
  if (first <= end) runs.push({ timeline: to.timeline, first, last: end });
  return runs;
}

/** Other than where it comes from, a timeline is still the one where it ends. */
function leadsTo(history: TimelineHistory, { timeline, lsn: position }: WalPosition): boolean {
  if (timelineOfPosition(history, position) === timeline) return true;
  return history.parents.some((parent) => parent.timeline === timeline && parent.switchLsn === position);
}

function describe({ timeline, lsn: position }: WalPosition): string {
  return `${formatLsn(position)} on timeline ${timeline}`;
}
