import { hasCode } from '../errors/pgrecall-error.ts';
import { parseSegmentName, segmentNumber, type SegmentName, type SegmentNumber } from '../postgres/segment-name.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { indexSegment } from '../wal/index-segment.ts';
import type { SegmentIndex } from '../wal/segment-index.ts';
import { summarize, type SegmentSummary } from './segment-summary.ts';
import { formatLog, logsPerGroup, type WalObjectName } from './wal-keys.ts';
import { RangeBuilder, type WalRange } from './wal-range.ts';
import type { WalStore } from './wal-store.ts';

export type { WalRange } from './wal-range.ts';

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
  const spans = await absentIfDamaged(store.index.readGroup(of, group));
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
  const known = options.rolledUp ? await absentIfDamaged(store.index.readLogSummaries(of, log)) : undefined;
  if (known) {
    known.forEach((summary, i) => ranges.addSegment(of, segmentNumber(first + BigInt(i)), summary));
    return;
  }
  const { whole, begun } = sortOut(await store.listLog(of, log));
  for (const name of whole) {
    const { number } = parseSegmentName(name, store.segmentBytes);
    ranges.addSegment(of, number, await summaryOf(store, of, number, name));
  }
  for (const name of begun) {
    const index = await indexBeginning(store, name);
    if (index) ranges.addBeginning(of, parseSegmentName(name, store.segmentBytes).number, summarize(index));
  }
}

/**
 * What of a log can be replayed: names of whole segments and of those of which there is a beginning only. A segment
 * of which two contents are stored is neither: nobody can say which is right.
 */
function sortOut(contents: readonly WalObjectName[]): { readonly whole: string[]; readonly begun: string[] } {
  const times = new Map<string, number>();
  for (const { kind, segment } of contents) {
    times.set(segment, (times.get(segment) ?? 0) + (kind === 'segment' ? 1 : 0));
  }
  const named = (count: number): string[] => [...times.keys()].filter((segment) => times.get(segment) === count);
  return { whole: named(1), begun: named(0) };
}

/** From the index; where that is missing or damaged, from the segment itself. */
async function summaryOf(
  store: WalStore,
  of: Timeline,
  number: SegmentNumber,
  name: string,
): Promise<SegmentSummary | undefined> {
  const summary = await absentIfDamaged(store.index.readSummary({ timeline: of, number }));
  if (summary) return summary;
  // Rolled up since the log was listed, or stored by someone who died before writing the index.
  const index = await indexOf(store, { timeline: of, number }, name);
  return index && summarize(index);
}

async function indexOf(store: WalStore, of: SegmentName, name: string): Promise<SegmentIndex | undefined> {
  return (await absentIfDamaged(store.index.read(of))) ?? indexWhole(store, name);
}

/** What an index says, the segment says too: nothing is lost with it. `verify` tells of the damage. */
async function absentIfDamaged<T>(reading: Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

function isDamage(error: unknown): boolean {
  return hasCode(error, 'object-damaged', 'object-swapped', 'blob-damaged', 'decode');
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
    const end = segmentNumber(start + BigInt(store.keys.segmentsPerLog) - 1n);
    if (end < first || start > last) continue;
    const from = first > start ? first : start;
    const to = last < end ? last : end;
    if (rolledUp.has(`${formatLog(log)}.log`)) yield* readRolledUp(store, of, log, from, to);
    else yield* readOneByOne(store, of, log, from, to);
  }
}

async function* readRolledUp(
  store: WalStore,
  of: Timeline,
  log: bigint,
  from: SegmentNumber,
  to: SegmentNumber,
): AsyncGenerator<SegmentIndex> {
  const start = store.keys.firstOfLog(log);
  let next = from;
  try {
    for await (const index of store.index.readLog(of, log, Number(from - start), Number(to - start))) {
      yield index;
      next = segmentNumber(next + 1n);
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    yield* readOneByOne(store, of, log, next, to);
  }
}

async function* readOneByOne(
  store: WalStore,
  of: Timeline,
  log: bigint,
  from: SegmentNumber,
  to: SegmentNumber,
): AsyncGenerator<SegmentIndex> {
  const { whole, begun } = sortOut(await store.listLog(of, log));
  const beginnings = new Set(begun);
  for (const name of [...whole, ...begun].toSorted()) {
    const { number } = parseSegmentName(name, store.segmentBytes);
    if (number < from || number > to) continue;
    const index = beginnings.has(name)
      ? await indexBeginning(store, name)
      : await indexOf(store, { timeline: of, number }, name);
    if (index) yield index;
  }
}
