import type { SegmentSummary } from '../archive/segment-summary.ts';
import { absentIfDamaged } from '../archive/segment-facts.ts';
import { readIndexes } from '../archive/wal-catalogue.ts';
import type { WalStore } from '../archive/wal-store.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, parseSegmentName, segmentNumber, type SegmentNumber } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { readRecords } from '../wal/read-records.ts';
import type { SegmentIndex } from '../wal/segment-index.ts';

/*
 * The archived WAL as the search for a recovery target looks at it: summaries first, some tens of bytes a segment;
 * an index only where the summary cannot rule the segment out; a segment itself only for the end of a position.
 */

export interface SearchedWal {
  readonly segmentBytes: number;
  /** The segments from `first` to `last` that are archived, beginnings included, in order. */
  segments(of: Timeline, first: SegmentNumber, last: SegmentNumber): AsyncIterable<SearchedSegment>;
  /** The records that lie wholly in a segment, in order; none where it is not there. Throws `wal-damaged`. */
  records(of: Timeline, number: SegmentNumber): Promise<Iterable<{ readonly lsn: Lsn; readonly endLsn: Lsn }>>;
}

export interface SearchedSegment {
  readonly number: SegmentNumber;
  /** `undefined` where only the index can tell. */
  readonly summary: SegmentSummary | undefined;
  /** `undefined` where the segment cannot be read. */
  index(): Promise<SegmentIndex | undefined>;
}

export function searchedWal(store: WalStore): SearchedWal {
  return {
    segmentBytes: store.segmentBytes,
    segments: (of, first, last) => searchSegments(store, of, first, last),
    records: async (of, number) => {
      const name = formatSegmentName({ timeline: of, number }, store.segmentBytes);
      const whole = await store.getSegment(name);
      if (whole) return readRecords(whole);
      const beginning = await store.getPartial(name);
      return beginning ? readRecords(beginning, { partial: true }) : [];
    },
  };
}

async function* searchSegments(
  store: WalStore,
  of: Timeline,
  first: SegmentNumber,
  last: SegmentNumber,
): AsyncGenerator<SearchedSegment> {
  for (const log of await store.listLogs(of)) {
    const start = store.keys.firstOfLog(log);
    if (start > last || start + BigInt(store.keys.segmentsPerLog) <= first) continue;
    for await (const segment of segmentsOfLog(store, of, log)) {
      if (segment.number >= first && segment.number <= last) yield segment;
    }
  }
}

async function* segmentsOfLog(store: WalStore, of: Timeline, log: bigint): AsyncGenerator<SearchedSegment> {
  const summaries = await absentIfDamaged(store.index.readLogSummaries(of, log));
  if (summaries) {
    const start = store.keys.firstOfLog(log);
    // One by one: each keeps its index for as long as someone keeps it.
    for (const [i, summary] of summaries.entries())
      yield searched(store, of, segmentNumber(start + BigInt(i)), summary);
    return;
  }
  for (const name of new Set((await store.listLog(of, log)).map(({ segment }) => segment))) {
    const { number } = parseSegmentName(name, store.segmentBytes);
    const summary = await absentIfDamaged(store.index.readSummary({ timeline: of, number }));
    yield searched(store, of, number, summary);
  }
}

function searched(
  store: WalStore,
  of: Timeline,
  number: SegmentNumber,
  summary: SegmentSummary | undefined,
): SearchedSegment {
  let index: Promise<SegmentIndex | undefined> | undefined;
  return { number, summary, index: async () => (index ??= readIndex(store, of, number)) };
}

async function readIndex(store: WalStore, of: Timeline, number: SegmentNumber): Promise<SegmentIndex | undefined> {
  const stored = await absentIfDamaged(store.index.read({ timeline: of, number }));
  if (stored) return stored;
  for await (const index of readIndexes(store, of, number, number)) return index;
  return undefined;
}
