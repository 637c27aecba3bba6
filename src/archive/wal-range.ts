import { lsn, type Lsn } from '../postgres/lsn.ts';
import { segmentNumber, segmentStart, type SegmentNumber } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { endsEarly } from './log-span.ts';
import type { SegmentSummary } from './segment-summary.ts';

/** A run of WAL of one timeline that can be replayed without a gap. Times: microseconds since 2000-01-01 UTC. */
export interface WalRange {
  readonly timeline: Timeline;
  readonly startLsn: Lsn;
  /** Of what can be replayed: the beginning of a segment that the receiver has stored counts. */
  readonly endLsn: Lsn;
  /** Of its whole segments: a multiple of their size. */
  readonly wholeEndLsn: Lsn;
  readonly firstCommitTime: bigint | undefined;
  readonly lastCommitTime: bigint | undefined;
}

interface Times {
  readonly firstCommitTime: bigint | undefined;
  readonly lastCommitTime: bigint | undefined;
}

interface OpenRange {
  timeline: Timeline;
  first: SegmentNumber;
  /** The segment after its last one. */
  next: SegmentNumber;
  /** Where replay ends, where that is before the end of the last segment. */
  endLsn: Lsn | undefined;
  firstCommitTime: bigint | undefined;
  lastCommitTime: bigint | undefined;
}

/** Joins segments, which come in order, into ranges. */
export class RangeBuilder {
  readonly #segmentBytes: number;
  readonly #ranges: OpenRange[] = [];
  readonly #beginnings: { timeline: Timeline; number: SegmentNumber; endLsn: Lsn; times: Times }[] = [];

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes;
  }

  addSegments(of: Timeline, first: SegmentNumber, count: number, times: Times): void {
    const next = segmentNumber(first + BigInt(count));
    const last = this.#ranges.at(-1);
    if (last?.timeline === of && last.next === first && last.endLsn === undefined) {
      last.next = next;
      last.firstCommitTime ??= times.firstCommitTime;
      last.lastCommitTime = times.lastCommitTime ?? last.lastCommitTime;
    } else {
      this.#ranges.push({ timeline: of, first, next, endLsn: undefined, ...timesOf(times) });
    }
  }

  addSegment(of: Timeline, number: SegmentNumber, summary: SegmentSummary | undefined): void {
    this.addSegments(of, number, 1, summary ?? noTimes);
    const range = this.#ranges.at(-1);
    if (range && summary && endsEarly(summary)) range.endLsn = this.#position(number, summary.usedBytes);
  }

  addBeginning(of: Timeline, number: SegmentNumber, summary: SegmentSummary): void {
    this.#beginnings.push({ timeline: of, number, endLsn: this.#position(number, summary.usedBytes), times: summary });
  }

  #position(number: SegmentNumber, usedBytes: number): Lsn {
    return lsn(segmentStart(number, this.#segmentBytes) + BigInt(usedBytes));
  }

  finish(): WalRange[] {
    for (const { timeline, number, endLsn, times } of this.#beginnings) {
      const range = this.#ranges.find((candidate) => candidate.timeline === timeline && candidate.next === number);
      if (range?.endLsn === undefined && range) {
        range.endLsn = endLsn;
        range.firstCommitTime ??= times.firstCommitTime;
        range.lastCommitTime = times.lastCommitTime ?? range.lastCommitTime;
      } else if (!range) {
        this.#ranges.push({ timeline, first: number, next: number, endLsn, ...timesOf(times) });
      }
    }
    return this.#ranges
      .toSorted((a, b) => a.timeline - b.timeline || Number(a.first - b.first))
      .map(({ timeline, first, next, endLsn, firstCommitTime, lastCommitTime }) => ({
        timeline,
        startLsn: segmentStart(first, this.#segmentBytes),
        endLsn: endLsn ?? segmentStart(next, this.#segmentBytes),
        wholeEndLsn: segmentStart(next, this.#segmentBytes),
        firstCommitTime,
        lastCommitTime,
      }));
  }
}

const noTimes: Times = { firstCommitTime: undefined, lastCommitTime: undefined };

function timesOf({ firstCommitTime, lastCommitTime }: Times): Times {
  return { firstCommitTime, lastCommitTime };
}
