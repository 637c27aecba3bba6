import { hash } from 'node:crypto';
import { parseSegmentName, type SegmentName } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { touches, type ExpiredWal } from './expired-wal.ts';
import { runsOf, spanOfLog, type Group, type LogSpan, type PlacedSegment } from './log-span.ts';
import { absentIfDamaged, indexBeginning, sortOut, summaryOf } from './segment-facts.ts';
import { summarize, type SegmentSummary } from './segment-summary.ts';
import { logsPerGroup, walObjectName, type WalObjectName } from './wal-keys.ts';
import type { WalStore } from './wal-store.ts';

/** A log, and what its group says of it. */
export interface LogSources {
  readonly timeline: Timeline;
  readonly log: bigint;
  /** Without what it says of a log that was whole once and may not be now. */
  readonly group: LogSpan | undefined;
  /** Whether segments of it were expired. */
  readonly isCut: boolean;
}

/** Every log of a timeline of which there are segments, ascending; `expired`: what of the timeline was. */
export async function* listLogSources(
  store: WalStore,
  timeline: Timeline,
  expired: ExpiredWal,
): AsyncGenerator<LogSources> {
  let number = -1n;
  let group: Group | undefined;
  for (const log of await store.listLogs(timeline)) {
    if (log / logsPerGroup !== number) {
      number = log / logsPerGroup;
      group = await absentIfDamaged(store.index.readGroup(timeline, number));
    }
    const first = store.keys.firstOfLog(log);
    const isCut = touches(expired, first, first + BigInt(store.keys.segmentsPerLog) - 1n);
    const span = group?.[Number(log % logsPerGroup)];
    yield { timeline, log, isCut, group: isCut && span?.contents === undefined ? undefined : span };
  }
}

/**
 * What a log has that can be replayed, from the cheapest source that tells: its group; its index, rolled up; the index of
 * each segment. A log that was whole stays so until it is expired. What a group says of another counts as long as the same
 * lies in its folder.
 */
export async function describeLog(store: WalStore, { timeline, log, group, isCut }: LogSources): Promise<LogSpan> {
  if (group && group.contents === undefined) return group;
  const there = group && (await store.listLog(timeline, log));
  if (there && group.contents === hashContents(there)) return group;
  const summaries = await absentIfDamaged(store.index.readLogSummaries(timeline, log));
  if (summaries && !isCut) return spanOfLog(summaries);
  const contents = there ?? (await store.listLog(timeline, log));
  return { contents: hashContents(contents), runs: await readRuns(store, contents, summaries) };
}

/** `summaries`: of every segment that the log had, where they are rolled up. */
async function readRuns(
  store: WalStore,
  contents: readonly WalObjectName[],
  summaries: readonly SegmentSummary[] | undefined,
): Promise<LogSpan['runs']> {
  const { whole, begun } = sortOut(contents);
  const placed = async (names: readonly string[], read: typeof summaryOf): Promise<PlacedSegment[]> => {
    const segments: PlacedSegment[] = [];
    for (const name of names) {
      const of = parseSegmentName(name, store.segmentBytes);
      const place = placeOf(store, of);
      segments.push({ place, summary: await read(store, of, name) });
    }
    return segments;
  };
  const summaryOfWhole: typeof summaryOf = async (from, of, name) =>
    summaries?.[placeOf(store, of)] ?? summaryOf(from, of, name);
  const summaryOfBeginning: typeof summaryOf = async (from, _of, name) => {
    const index = await indexBeginning(from, name);
    return index && summarize(index);
  };
  return runsOf(await placed(whole, summaryOfWhole), await placed(begun, summaryOfBeginning));
}

/** Counted in its log from 0. */
function placeOf({ keys }: WalStore, { number }: SegmentName): number {
  return Number(number - keys.firstOfLog(keys.logOf(number)));
}

/** The names hold the hash of each content: where they are the same, what lies in the folder is. */
function hashContents(contents: readonly WalObjectName[]): string {
  return hash('sha256', contents.map(walObjectName).join('\n')).slice(0, 32);
}
