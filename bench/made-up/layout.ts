import { segmentNumber, type SegmentNumber } from '../../src/postgres/segment-name.ts';
import { timeline, type Timeline } from '../../src/postgres/timeline.ts';

/** Segments of one timeline without a gap. */
export interface Run {
  readonly timeline: Timeline;
  readonly first: SegmentNumber;
  readonly count: number;
  /** Of its first segment, counted over all runs. */
  readonly firstOverall: number;
}

/** How the archive is cut up: the shares of its runs by timeline; between two runs of one timeline there is a gap. */
const shares: readonly (readonly number[])[] = [[0.16, 0.15, 0.11], [0.17, 0.12], [0.12, 0.08], [0.09]];
const gapSegments = 3n;
const perLog = 256n;

/**
 * The runs of an archive of so many segments. It begins with a cluster's second segment, as after initdb; every
 * timeline but the last one is left in the middle of a segment, which the next one has from there on; and it ends with the
 * last segment but one of a log: so many have to be looked at one by one, and never more.
 */
export function makeUpRuns(segments: number): Run[] {
  const runs: Run[] = [];
  const gaps = shares.reduce((sum, ofTimeline) => sum + ofTimeline.length - 1, 0);
  const end = 1n + BigInt(segments) + BigInt(gaps) * gapSegments;
  const extra = (perLog - 1n - (end % perLog) + perLog) % perLog;
  let next = 1n;
  let overall = 0;
  shares.forEach((ofTimeline, i) => {
    ofTimeline.forEach((share, j) => {
      const last = i === shares.length - 1 && j === ofTimeline.length - 1;
      const count = last ? segments - overall : Math.floor(segments * share);
      runs.push({ timeline: timeline(i + 1), first: segmentNumber(next), count, firstOverall: overall });
      overall += count;
      next += BigInt(count);
      if (j < ofTimeline.length - 1) next += gapSegments + (runs.length === 1 ? extra : 0n);
    });
  });
  return runs;
}

/** Where a run has ended: the number after its last segment. */
export function endOf(run: Run): SegmentNumber {
  return segmentNumber(run.first + BigInt(run.count));
}

/** Microseconds since 2000-01-01 UTC: one segment took half a minute, and the first one began in 2026. */
export function timeOf(overall: number): bigint {
  return 820_454_400_000_000n + BigInt(overall) * 30_000_000n;
}
