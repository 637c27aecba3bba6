import { segmentNumber, parseSegmentName, type SegmentNumber } from '../postgres/segment-name.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { SegmentIndex } from '../wal/segment-index.ts';
import { describeLog, listLogSources } from './describe-log.ts';
import { readExpired, touches, type SegmentRange } from './expired-wal.ts';
import { indexBeginning, indexOf, isDamage, sortOut } from './segment-facts.ts';
import { formatLog } from './wal-keys.ts';
import { RangeBuilder, type WalRange } from './wal-range.ts';
import type { WalStore } from './wal-store.ts';

export type { WalRange } from './wal-range.ts';

export interface WalCatalogue {
  /** By timeline and position. Between two of one timeline there is a gap. */
  readonly ranges: readonly WalRange[];
  /** By timeline; timeline 1 has none. */
  readonly histories: ReadonlyMap<Timeline, TimelineHistory>;
  /** What was expired of a timeline is missing on purpose. */
  readonly expired?: ReadonlyMap<Timeline, readonly SegmentRange[]>;
}

/**
 * What WAL is archived, and between which times, without touching the segments: some tens of objects are read,
 * however many segments there are, and the index of the segments that came last.
 */
export async function readWalCatalogue(store: WalStore): Promise<WalCatalogue> {
  const ranges = new RangeBuilder(store.segmentBytes);
  const expired = new Map<Timeline, readonly SegmentRange[]>();
  for (const timeline of await store.listTimelines()) {
    const gone = await readExpired(store, timeline);
    expired.set(timeline, gone.ranges);
    for await (const sources of listLogSources(store, timeline, gone)) {
      const first = store.keys.firstOfLog(sources.log);
      const { runs } = await describeLog(store, sources);
      for (const run of runs) ranges.add(timeline, first, run);
    }
  }
  return { ranges: ranges.finish(), histories: await store.readHistories(), expired };
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
  const expired = await readExpired(store, of);
  for (const log of logs) {
    const start = store.keys.firstOfLog(log);
    const end = segmentNumber(start + BigInt(store.keys.segmentsPerLog) - 1n);
    if (end < first || start > last) continue;
    const from = first > start ? first : start;
    const to = last < end ? last : end;
    // A roll-up tells of segments that were expired, too.
    if (rolledUp.has(`${formatLog(log)}.log`) && !touches(expired, from, to))
      yield* readRolledUp(store, of, log, from, to);
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
    // A beginning goes as soon as the whole segment is there.
    const beginning = beginnings.has(name) ? await indexBeginning(store, name) : undefined;
    const index = beginning ?? (await indexOf(store, { timeline: of, number }, name));
    if (index) yield index;
  }
}
