import { hash } from 'node:crypto';
import { parseSegmentName } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { runsOf, spanOfLog, type Group, type LogSpan, type PlacedSegment } from './log-span.ts';
import { absentIfDamaged, indexBeginning, sortOut, summaryOf } from './segment-facts.ts';
import { summarize } from './segment-summary.ts';
import { formatGroup, formatLog, logsPerGroup, walObjectName, type WalObjectName } from './wal-keys.ts';
import type { WalStore } from './wal-store.ts';

/** A log, and what there is that tells of it. */
export interface LogSources {
  readonly timeline: Timeline;
  readonly log: bigint;
  /** What the group says that the log is in. */
  readonly group: LogSpan | undefined;
  /** Whether its index is rolled up: then it is whole, and stays so. */
  readonly rolledUp: boolean;
}

/** Every log of a timeline of which there are segments, ascending, with what is rolled up of it. */
export async function* listLogSources(store: WalStore, timeline: Timeline): AsyncGenerator<LogSources> {
  const names = await store.index.listNames(timeline);
  let number = -1n;
  let group: Group | undefined;
  for (const log of await store.listLogs(timeline)) {
    if (log / logsPerGroup !== number) {
      number = log / logsPerGroup;
      const there = names.has(`${formatGroup(number)}.group`);
      group = there ? await absentIfDamaged(store.index.readGroup(timeline, number)) : undefined;
    }
    yield { timeline, log, group: group?.[Number(log % logsPerGroup)], rolledUp: names.has(`${formatLog(log)}.log`) };
  }
}

/**
 * What a log has that can be replayed, from the cheapest source that tells: its group; its index, rolled up; the index of
 * each segment. What a group says of a log that is not whole counts as long as the same lies in its folder.
 */
export async function describeLog(store: WalStore, sources: LogSources): Promise<LogSpan> {
  const { timeline, log, group, rolledUp } = sources;
  if (rolledUp && group?.contents === undefined && group) return group;
  const summaries = rolledUp ? await absentIfDamaged(store.index.readLogSummaries(timeline, log)) : undefined;
  if (summaries) return spanOfLog(summaries);
  const there = await store.listLog(timeline, log);
  const contents = hashContents(there);
  return group?.contents === contents ? group : { contents, runs: await readRuns(store, there) };
}

async function readRuns(store: WalStore, contents: readonly WalObjectName[]): Promise<LogSpan['runs']> {
  const { whole, begun } = sortOut(contents);
  const placed = async (names: readonly string[], read: typeof summaryOf): Promise<PlacedSegment[]> => {
    const segments: PlacedSegment[] = [];
    for (const name of names) {
      const of = parseSegmentName(name, store.segmentBytes);
      const place = Number(of.number - store.keys.firstOfLog(store.keys.logOf(of.number)));
      segments.push({ place, summary: await read(store, of, name) });
    }
    return segments;
  };
  const summaryOfBeginning: typeof summaryOf = async (from, _of, name) => {
    const index = await indexBeginning(from, name);
    return index && summarize(index);
  };
  return runsOf(await placed(whole, summaryOf), await placed(begun, summaryOfBeginning));
}

/** The names hold the hash of each content: where they are the same, what lies in the folder is. */
function hashContents(contents: readonly WalObjectName[]): string {
  return hash('sha256', contents.map(walObjectName).join('\n')).slice(0, 32);
}
