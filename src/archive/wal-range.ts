import { lsn, type Lsn } from '../postgres/lsn.ts';
import { segmentNumber, segmentStart, type SegmentNumber } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { Barrier } from './barriers.ts';
import type { LogRun } from './log-span.ts';

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
  /** In order; absent where there are none: replay passes through the whole of it. */
  readonly barriers?: readonly Barrier[];
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
  barriers: Barrier[];
}

/** Joins the runs of logs, which come in order, into ranges. */
export class RangeBuilder {
  readonly #segmentBytes: number;
  readonly #ranges: OpenRange[] = [];
  readonly #beginnings: OpenRange[] = [];

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes;
  }

  /** `firstOfLog`: the first segment of the log that the run is in. */
  add(of: Timeline, firstOfLog: SegmentNumber, run: LogRun): void {
    const { place, segments, usedBytes, firstCommitTime, lastCommitTime } = run;
    const first = segmentNumber(firstOfLog + BigInt(place));
    const next = segmentNumber(first + BigInt(segments));
    const endLsn = usedBytes === undefined ? undefined : this.#position(next, segments, usedBytes);
    const barriers = (run.barriers ?? []).map((barrier): Barrier => ({
      lsn: this.#position(segmentNumber(firstOfLog + BigInt(barrier.place)), 0, barrier.atBytes),
      lastCommitTime: barrier.lastCommitTime,
    }));
    const added: OpenRange = { timeline: of, first, next, endLsn, firstCommitTime, lastCommitTime, barriers };
    if (segments === 0) this.#beginnings.push(added);
    else if (!goOn(this.#ranges.at(-1), added)) this.#ranges.push(added);
  }

  /** Where replay ends: in the segment before `next`, or in the beginning of `next` itself. */
  #position(next: SegmentNumber, segments: number, usedBytes: number): Lsn {
    const last = segmentNumber(segments === 0 ? next : next - 1n);
    return lsn(segmentStart(last, this.#segmentBytes) + BigInt(usedBytes));
  }

  finish(): WalRange[] {
    for (const beginning of this.#beginnings) {
      const range = this.#ranges.find(
        ({ timeline, next }) => timeline === beginning.timeline && next === beginning.first,
      );
      if (!range) this.#ranges.push(beginning);
      else goOn(range, beginning);
    }
    return this.#ranges
      .toSorted((a, b) => a.timeline - b.timeline || Number(a.first - b.first))
      .map(({ timeline, first, next, endLsn, firstCommitTime, lastCommitTime, barriers }) => ({
        timeline,
        startLsn: segmentStart(first, this.#segmentBytes),
        endLsn: endLsn ?? segmentStart(next, this.#segmentBytes),
        wholeEndLsn: segmentStart(next, this.#segmentBytes),
        firstCommitTime,
        lastCommitTime,
        ...(barriers.length > 0 ? { barriers } : {}),
      }));
  }
}

/** Adds what follows a range to it; says whether it does follow, and replay gets there. */
function goOn(range: OpenRange | undefined, added: OpenRange): boolean {
  if (range?.timeline !== added.timeline || range.next !== added.first || range.endLsn !== undefined) return false;
  range.next = added.next;
  range.endLsn = added.endLsn;
  for (const { lsn: at, lastCommitTime } of added.barriers) {
    range.barriers.push({ lsn: at, lastCommitTime: lastCommitTime ?? range.lastCommitTime });
  }
  range.firstCommitTime ??= added.firstCommitTime;
  range.lastCommitTime = added.lastCommitTime ?? range.lastCommitTime;
  return true;
}
