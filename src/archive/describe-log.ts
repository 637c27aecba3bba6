import { hash } from 'node:crypto';
import { parseSegmentName } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { runsOf, spanOfLog, type Group, type LogSpan, type PlacedSegment } from './log-span.ts';
import { absentIfDamaged, indexBeginning, sortOut, summaryOf } from './segment-facts.ts';
import { summarize } from './segment-summary.ts';
import { logsPerGroup, walObjectName, type WalObjectName } from './wal-keys.ts';
import type { WalStore } from './wal-store.ts';

/** A log, and what its group says of it. */
export interface LogSources {
  readonly timeline: Timeline;
  readonly log: bigint;
  readonly group: LogSpan | undefined;
}

/** Every log of a timeline of which there are segments, ascending. */
export async function* listLogSources(store: WalStore, timeline: Timeline): AsyncGenerator<LogSources> {
  let number = -1n;
  let group: Group | undefined;
  for (const log of await store.listLogs(timeline)) {
    if (log / logsPerGroup !== number) {
      number = log / logsPerGroup;
      group = await absentIfDamaged(store.index.readGroup(timeline, number));
    }
    yield { timeline, log, group: group?.[Number(log % logsPerGroup)] };
  }
}

/**
 * What a log has that can be replayed, from the cheapest source that tells: its group; its index, rolled up; the index of
 * each segment. A log that was whole stays so. What a group says of another counts as long as the same lies in its folder.
 */
export async function describeLog(store: WalStore, { timeline, log, group }: LogSources): Promise<LogSpan> {
  if (group && group.contents === undefined) return group;
  const there = group && (await store.listLog(timeline, log));
  if (there && group.contents === hashContents(there)) return group;
  const summaries = await absentIfDamaged(store.index.readLogSummaries(timeline, log));
  if (summaries) return spanOfLog(summaries);
  const contents = there ?? (await store.listLog(timeline, log));
  return { contents: hashContents(contents), runs: await readRuns(store, contents) };
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
