import {
  formatHistoryName,
  isSegmentName,
  parseSegmentName,
  segmentNumber,
  type SegmentNumber,
} from '../postgres/segment-name.ts';
import { formatTimeline, type Timeline } from '../postgres/timeline.ts';
import { noteExpired, type SegmentRange } from './expired-wal.ts';
import { logOfFolder, logsPerGroup } from './wal-keys.ts';
import type { WalStore } from './wal-store.ts';

/*
 * Removes WAL that nobody needs any more, with what the index says of it. Nothing keeps the archiver from storing segments
 * meanwhile: what is kept has no end where WAL goes on, so that the two never touch the same.
 *
 *   1. what is to go is noted as expired (expired-wal.ts)
 *   2. log by log: the segments, their beginnings and notes about backups; their single indexes; of a log that goes as a
 *      whole its roll-up, too. One that goes in part keeps it: the rest of the log is read from it
 *   3. groups of the index of which no log is left; of a timeline of which nothing is left, the note of what was expired
 *   4. histories that nobody needs
 *
 * A crash leaves some of it, which the next expiry removes.
 */

/** Segments that stay, both ends included; `undefined`: whatever comes. */
export interface KeptRange {
  readonly first: SegmentNumber;
  readonly last: SegmentNumber | undefined;
}

/** In order, apart from each other. Of a timeline that is missing nothing stays. */
export type KeptWal = ReadonlyMap<Timeline, readonly KeptRange[]>;

export interface ExpiredCount {
  /** Whole ones, and beginnings. */
  readonly segments: number;
  readonly histories: number;
}

/** How many segments would go. */
export async function countExpirable(store: WalStore, kept: KeptWal): Promise<number> {
  let segments = 0;
  for (const timeline of await store.listTimelines()) {
    const ranges = kept.get(timeline) ?? [];
    for (const log of await store.listLogs(timeline)) {
      if (staysWhole(store, log, ranges)) continue;
      segments += (await listGoing(store, timeline, log, ranges)).filter(isSegment).length;
    }
  }
  return segments;
}

/** `forgotten`: timelines whose histories go. */
export async function expireWal(
  store: WalStore,
  kept: KeptWal,
  forgotten: readonly Timeline[],
  signal: AbortSignal,
): Promise<ExpiredCount> {
  let segments = 0;
  for (const timeline of await store.listTimelines()) {
    const ranges = kept.get(timeline) ?? [];
    const going = await rangesGoing(store, timeline, ranges);
    if (going.length > 0) await noteExpired(store, timeline, going);
    for (const log of await allLogs(store, timeline)) {
      signal.throwIfAborted();
      if (!staysWhole(store, log, ranges)) segments += await expireLog(store, timeline, log, ranges);
    }
    await forget(store, timeline);
  }
  for (const timeline of forgotten) {
    await store.cluster.deleteObject(store.keys.historyKey(formatHistoryName(timeline)));
  }
  return { segments, histories: forgotten.length };
}

/** Those of which there are segments, and those of which an expiry that died has left the index. */
async function allLogs(store: WalStore, timeline: Timeline): Promise<bigint[]> {
  const logs = new Set(await store.listLogs(timeline));
  for (const name of await store.index.listNames(timeline)) {
    const log = logOfFolder(name.replace(/\.log$/, ''));
    if (log !== undefined) logs.add(log);
  }
  return [...logs].toSorted((a, b) => Number(a - b));
}

function staysWhole(store: WalStore, log: bigint, kept: readonly KeptRange[]): boolean {
  const [first, last] = boundsOf(store, log);
  return kept.some((range) => range.first <= first && (range.last === undefined || range.last >= last));
}

function boundsOf(store: WalStore, log: bigint): readonly [SegmentNumber, SegmentNumber] {
  const first = store.keys.firstOfLog(log);
  return [first, segmentNumber(first + BigInt(store.keys.segmentsPerLog) - 1n)];
}

/** What there is and does not stay. */
async function rangesGoing(store: WalStore, timeline: Timeline, kept: readonly KeptRange[]): Promise<SegmentRange[]> {
  const logs = await store.listLogs(timeline);
  const numbers: SegmentNumber[] = [];
  for (const log of new Set([logs.at(0), logs.at(-1)])) {
    if (log === undefined) continue;
    for (const name of await store.cluster.listNames(store.keys.logFolder(timeline, log))) {
      const number = numberOf(store, name);
      if (number !== undefined) numbers.push(number);
    }
  }
  const [first, last] = [numbers.at(0), numbers.at(-1)];
  return first === undefined || last === undefined ? [] : without({ first, last }, kept);
}

function without({ first, last }: SegmentRange, kept: readonly KeptRange[]): SegmentRange[] {
  const going: SegmentRange[] = [];
  let next: SegmentNumber | undefined = first;
  for (const range of kept) {
    if (next === undefined || next > last) break;
    const before = segmentNumber(range.first - 1n);
    if (range.first > next) going.push({ first: next, last: before < last ? before : last });
    if (range.last === undefined) next = undefined;
    else if (range.last >= next) next = segmentNumber(range.last + 1n);
  }
  if (next !== undefined && next <= last) going.push({ first: next, last });
  return going;
}

/** The segment that an object in a log's folder belongs to; `undefined` where its name is none of ours. */
function numberOf(store: WalStore, name: string): SegmentNumber | undefined {
  const segment = name.slice(0, 24);
  return isSegmentName(segment) ? parseSegmentName(segment, store.segmentBytes).number : undefined;
}

function isSegment(name: string): boolean {
  return !name.endsWith('.backup');
}

async function listGoing(
  store: WalStore,
  timeline: Timeline,
  log: bigint,
  kept: readonly KeptRange[],
): Promise<string[]> {
  const names = await store.cluster.listNames(store.keys.logFolder(timeline, log));
  return names.filter((name) => goes(numberOf(store, name), kept));
}

function goes(number: SegmentNumber | undefined, kept: readonly KeptRange[]): boolean {
  if (number === undefined) return false;
  return !kept.some(({ first, last }) => first <= number && (last === undefined || last >= number));
}

/** How many segments went. */
async function expireLog(
  store: WalStore,
  timeline: Timeline,
  log: bigint,
  kept: readonly KeptRange[],
): Promise<number> {
  const { cluster, keys } = store;
  const names = await listGoing(store, timeline, log, kept);
  for (const name of names) await cluster.deleteObject(`${keys.logFolder(timeline, log)}/${name}`);
  const folder = keys.indexLogFolder(timeline, log);
  for (const name of await cluster.listNames(folder)) {
    if (goes(numberOf(store, name), kept)) await cluster.deleteObject(`${folder}/${name}`);
  }
  const [first, last] = boundsOf(store, log);
  const isKeptInPart = kept.some((range) => range.first <= last && (range.last === undefined || range.last >= first));
  if (!isKeptInPart) await cluster.deleteObject(keys.logIndexKey(timeline, log));
  return names.filter(isSegment).length;
}

/** Groups of the index without a log that is there; last, of a timeline without segments, the note of what was expired. */
async function forget(store: WalStore, timeline: Timeline): Promise<void> {
  const logs = await store.listLogs(timeline);
  const groups = new Set(logs.map((log) => store.keys.groupKey(timeline, log / logsPerGroup)));
  for (const name of await store.index.listNames(timeline)) {
    const key = `${store.keys.indexFolder}/${formatTimeline(timeline)}/${name}`;
    if (name.endsWith('.group') && !groups.has(key)) await store.cluster.deleteObject(key);
  }
  if (logs.length === 0) await store.cluster.deleteObject(store.keys.expiredKey(timeline));
}
