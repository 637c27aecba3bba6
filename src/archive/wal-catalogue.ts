import type { Lsn } from '../postgres/lsn.ts';
import { lsn } from '../postgres/lsn.ts';
import { parseSegmentName, segmentNumber, segmentStart, type SegmentNumber } from '../postgres/segment-name.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { indexSegment } from '../wal/index-segment.ts';
import type { SegmentIndex } from '../wal/segment-index.ts';
import { endsEarly } from './log-span.ts';
import { summarize, type SegmentSummary } from './segment-summary.ts';
import { formatLog, logsPerGroup } from './wal-keys.ts';
import type { WalStore } from './wal-store.ts';

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

export interface WalCatalogue {
  /** By timeline and position. Between two of one timeline there is a gap. */
  readonly ranges: readonly WalRange[];
  /** By timeline; timeline 1 has none. */
  readonly histories: ReadonlyMap<Timeline, TimelineHistory>;
}

/**
 * What WAL is archived, and between which times, without touching the segments: some tens of objects are read,
 * however many segments there are.
 */
export async function readWalCatalogue(store: WalStore): Promise<WalCatalogue> {
  const ranges = new RangeBuilder(store.segmentBytes);
  for (const of of await store.listTimelines()) await addTimeline(store, of, ranges);
  return { ranges: ranges.finish(), histories: await store.readHistories() };
}

async function addTimeline(store: WalStore, of: Timeline, ranges: RangeBuilder): Promise<void> {
  const logs = await store.listLogs(of);
  const rolledUp = await store.index.listNames(of);
  for (let i = 0; i < logs.length; i += 1) {
    const log = logs[i] ?? 0n;
    if (log % logsPerGroup === 0n && logs[i + Number(logsPerGroup) - 1] === log + logsPerGroup - 1n) {
      if (await addGroup(store, of, log / logsPerGroup, ranges)) {
        i += Number(logsPerGroup) - 1;
        continue;
      }
    }
    await addLog(store, of, log, { rolledUp: rolledUp.has(`${formatLog(log)}.log`), ranges });
  }
}

async function addGroup(store: WalStore, of: Timeline, group: bigint, ranges: RangeBuilder): Promise<boolean> {
  const spans = await store.index.readGroup(of, group);
  if (!spans?.every((span) => span.unbroken)) return false;
  spans.forEach((span, i) => {
    const log = group * logsPerGroup + BigInt(i);
    ranges.addSegments(of, store.keys.firstOfLog(log), store.keys.segmentsPerLog, span);
  });
  return true;
}

async function addLog(
  store: WalStore,
  of: Timeline,
  log: bigint,
  options: { readonly rolledUp: boolean; readonly ranges: RangeBuilder },
): Promise<void> {
  const { ranges } = options;
  const first = store.keys.firstOfLog(log);
  const known = options.rolledUp ? await store.index.readLogSummaries(of, log) : undefined;
  if (known) {
    known.forEach((summary, i) => ranges.addSegment(of, segmentNumber(first + BigInt(i)), summary));
    return;
  }
  const contents = await store.listLog(of, log);
  const whole = new Set(contents.filter(({ kind }) => kind === 'segment').map(({ segment }) => segment));
  for (const name of whole) {
    const { number } = parseSegmentName(name, store.segmentBytes);
    ranges.addSegment(of, number, await summaryOf(store, of, number, name));
  }
  const beginnings = new Set(contents.filter(({ kind }) => kind === 'partial').map(({ segment }) => segment));
  for (const name of beginnings) {
    if (whole.has(name)) continue;
    const index = await indexBeginning(store, name);
    if (index) ranges.addBeginning(of, parseSegmentName(name, store.segmentBytes).number, summarize(index));
  }
}

/** From the index; where that is missing, from the segment itself. */
async function summaryOf(
  store: WalStore,
  of: Timeline,
  number: SegmentNumber,
  name: string,
): Promise<SegmentSummary | undefined> {
  const summary = await store.index.readSummary({ timeline: of, number });
  if (summary) return summary;
  // Rolled up since the log was listed, or stored by someone who died before writing the index.
  const index = (await store.index.read({ timeline: of, number })) ?? (await indexWhole(store, name));
  return index && summarize(index);
}

async function indexWhole(store: WalStore, name: string): Promise<SegmentIndex | undefined> {
  const bytes = await store.getSegment(name);
  return bytes && tryToIndex(bytes, false);
}

async function indexBeginning(store: WalStore, name: string): Promise<SegmentIndex | undefined> {
  const bytes = await store.getPartial(name);
  return bytes && tryToIndex(bytes, true);
}

function tryToIndex(bytes: Uint8Array, partial: boolean): SegmentIndex | undefined {
  try {
    return indexSegment(bytes, { partial });
  } catch {
    // Archived although it cannot be read; replay may know better.
    return undefined;
  }
}

/**
 * The indexes of the segments from `first` to `last` that are archived, in order; of one that is not whole, its
 * beginning's.
 */
export async function* readIndexes(
  store: WalStore,
  of: Timeline,
  first: SegmentNumber,
  last: SegmentNumber,
): AsyncGenerator<SegmentIndex> {
  const logs = await store.listLogs(of);
  const rolledUp = await store.index.listNames(of);
  for (const log of logs) {
    const start = store.keys.firstOfLog(log);
    const end = start + BigInt(store.keys.segmentsPerLog) - 1n;
    if (end < first || start > last) continue;
    const from = first > start ? first : start;
    const to = last < end ? last : end;
    if (rolledUp.has(`${formatLog(log)}.log`)) {
      yield* store.index.readLog(of, log, Number(from - start), Number(to - start));
      continue;
    }
    const names = new Set((await store.listLog(of, log)).map(({ segment }) => segment));
    for (const name of names) {
      const { number } = parseSegmentName(name, store.segmentBytes);
      if (number < from || number > to) continue;
      const index =
        (await store.index.read({ timeline: of, number })) ??
        (await indexWhole(store, name)) ??
        (await indexBeginning(store, name));
      if (index) yield index;
    }
  }
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
class RangeBuilder {
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
