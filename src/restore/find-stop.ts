import type { SegmentSummary } from '../archive/segment-summary.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { segmentOf, type SegmentNumber } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { commitAt } from '../wal/commit-columns.ts';
import { joinRecord } from '../wal/join-record.ts';
import type { Commit, RestorePoint, SegmentIndex } from '../wal/segment-index.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import { runsOf, timelineAt, type PathPart, type RecordStop } from './restore-plan.ts';
import type { SearchedSegment, SearchedWal } from './searched-wal.ts';
import type { RecoveryRequest, RecoveryTarget } from './target.ts';

/*
 * Where PostgreSQL will stop, looked up in the WAL index by the rules of xlogrecovery.c (recoveryStopsBefore,
 * recoveryStopsAfter), in the order of WAL from where replay begins:
 *
 *   time   inclusive   before the first commit or abort later than the target
 *          exclusive   before the first one at or after it
 *   xid    inclusive   after the commit or abort of the transaction, exclusive before it
 *   lsn    inclusive   after the first record that starts at or after the target, exclusive before it
 *   name               after the first restore point of that name
 */

export type FoundStop = FoundRecord | Absent;

export interface FoundRecord extends RecordStop {
  readonly warnings: readonly string[];
}

export interface Absent {
  readonly kind: 'absent';
  readonly reason: string;
  readonly suggestions: readonly string[];
}

/** Where to look. */
export interface SearchRange {
  readonly from: { readonly timeline: Timeline; readonly lsn: Lsn };
  /** Up to where WAL can be replayed. */
  readonly until: Lsn;
}

type RecordTarget = Extract<RecoveryTarget, { kind: 'time' | 'xid' | 'name' | 'lsn' }>;

export async function findStop(
  wal: SearchedWal,
  path: readonly PathPart[],
  search: SearchRange & { readonly request: RecoveryRequest & { readonly target: RecordTarget } },
): Promise<FoundStop> {
  const { request } = search;
  const { target, inclusive } = request;
  if (target.kind === 'lsn') return findPosition(wal, path, search, { lsn: target.lsn, inclusive });
  const seen = new Seen(target);
  let before: SearchedSegment | undefined;
  for (const run of runsOf(path, search.from, search.until, wal.segmentBytes)) {
    for await (const segment of wal.segments(run.timeline, run.first, run.last)) {
      const follows = before?.number === segment.number - 1n ? before : undefined;
      const found = await lookInto(segment, follows, { ...search, target, inclusive, seen });
      if (found) {
        const { recordLsn, ...stop } = found;
        return { ...stop, timeline: timelineAt(path, recordLsn), warnings: seen.warnings() };
      }
      seen.pass(segment.summary);
      before = segment;
    }
  }
  return seen.absent();
}

interface Looking extends SearchRange {
  readonly target: Exclude<RecordTarget, { kind: 'lsn' }>;
  readonly inclusive: boolean;
  readonly seen: Seen;
}

type Found = Pick<RecordStop, 'kind' | 'lsn' | 'time'> & { readonly recordLsn: Lsn };

/** Looks at the record that crosses into the segment, then at those in it. */
async function lookInto(
  segment: SearchedSegment,
  before: SearchedSegment | undefined,
  looking: Looking,
): Promise<Found | undefined> {
  const crosses = before !== undefined && before.summary?.tailMayTell !== false;
  if (!crosses && !mayHold(segment.summary, looking)) return undefined;
  const index = await segment.index();
  if (!index) {
    looking.seen.unreadable(`segment ${segment.number} has no index`);
    return undefined;
  }
  if (index.problem !== undefined) looking.seen.unreadable(index.problem);
  const previous = crosses ? await before.index() : undefined;
  const joined = previous ? joinRecord(previous, index) : undefined;
  if (joined?.problem !== undefined) looking.seen.unreadable(joined.problem);
  return stopIn(joined?.commits ?? [], joined?.restorePoints ?? [], looking) ?? stopInIndex(index, looking);
}

/** Whether a segment can hold the stop, from what its summary says. */
function mayHold(summary: SegmentSummary | undefined, { target, inclusive }: Looking): boolean {
  if (!summary?.readable) return true;
  switch (target.kind) {
    case 'time': {
      const latest = summary.latestEndTime;
      return latest !== undefined && (inclusive ? latest > target.time : latest >= target.time);
    }
    case 'xid':
      return summary.latestEndTime !== undefined;
    case 'name':
      return summary.restorePoints.includes(target.name);
  }
}

function stopInIndex(index: SegmentIndex, looking: Looking): Found | undefined {
  const columns = index.commitColumns;
  if (looking.target.kind === 'name' || !columns) return stopIn(index.commits, index.restorePoints, looking);
  for (let i = 0; i < columns.xids.length; i += 1) {
    if (!fits(columns.xids[i] ?? 0, columns.times[i] ?? 0, looking)) continue;
    const found = stopIn([commitAt(columns, i)], [], looking);
    if (found) return found;
  }
  return undefined;
}

/** The first look at a transaction's end, without making an object of it: times as numbers are exact. */
function fits(xid: number, time: number, { target, inclusive }: Looking): boolean {
  if (target.kind === 'xid') return xid === target.xid;
  if (target.kind !== 'time') return false;
  return inclusive ? BigInt(time) > target.time : BigInt(time) >= target.time;
}

function stopIn(
  commits: readonly Commit[],
  restorePoints: readonly RestorePoint[],
  { target, inclusive, from, until }: Looking,
): Found | undefined {
  const isWithin = ({ lsn }: { readonly lsn: Lsn }): boolean => lsn >= from.lsn && lsn < until;
  if (target.kind === 'name') {
    const point = restorePoints.find((candidate) => candidate.name === target.name && isWithin(candidate));
    return point && { kind: 'record', recordLsn: point.lsn, lsn: point.endLsn, time: point.time };
  }
  const commit = commits.find((candidate) => {
    if (!isWithin(candidate)) return false;
    if (target.kind === 'xid') return candidate.xid === target.xid;
    return inclusive ? candidate.time > target.time : candidate.time >= target.time;
  });
  if (!commit) return undefined;
  const { lsn, endLsn, time } = commit;
  return { kind: 'record', recordLsn: lsn, lsn: target.kind === 'xid' && inclusive ? endLsn : lsn, time };
}

/** The first record that starts at or after a position. It lies in the position's own segment or in the next one. */
async function findPosition(
  wal: SearchedWal,
  path: readonly PathPart[],
  search: SearchRange,
  target: { readonly lsn: Lsn; readonly inclusive: boolean },
): Promise<FoundStop> {
  const first = segmentOf(target.lsn > search.from.lsn ? target.lsn : search.from.lsn, wal.segmentBytes);
  try {
    for (const run of runsOf(path, search.from, search.until, wal.segmentBytes)) {
      for (let number: bigint = first > run.first ? first : run.first; number <= run.last; number += 1n) {
        for (const { lsn, endLsn } of await wal.records(run.timeline, number as SegmentNumber)) {
          if (lsn >= search.until) break;
          if (lsn < target.lsn || lsn < search.from.lsn) continue;
          const stop = target.inclusive ? endLsn : lsn;
          return { kind: 'record', lsn: stop, timeline: timelineAt(path, lsn), time: undefined, warnings: [] };
        }
      }
    }
  } catch (error) {
    if (!hasCode(error, 'wal-damaged') || target.lsn >= search.until) throw error;
    const warnings = [`the WAL at ${formatLsn(target.lsn)} could not be read: ${error.message}`];
    return { kind: 'record', lsn: target.lsn, timeline: timelineAt(path, target.lsn), time: undefined, warnings };
  }
  return {
    kind: 'absent',
    reason: `no record starts there or later in the archived WAL, which ends at ${formatLsn(search.until)}`,
    suggestions: [recoverAll],
  };
}

const recoverAll = 'leave the target out to recover everything that is archived';

/** Remembers what was met on the way, to name the nearest when the target itself is not found. */
class Seen {
  readonly #target: Exclude<RecordTarget, { kind: 'lsn' }>;
  readonly #names = new Set<string>();
  #lastEnd: bigint | undefined;
  #unreadable: string | undefined;

  constructor(target: Exclude<RecordTarget, { kind: 'lsn' }>) {
    this.#target = target;
  }

  pass(summary: SegmentSummary | undefined): void {
    for (const name of summary?.restorePoints ?? []) this.#names.add(name);
    this.#lastEnd = summary?.latestEndTime ?? this.#lastEnd;
  }

  unreadable(problem: string): void {
    this.#unreadable ??= problem;
  }

  warnings(): string[] {
    return this.#unreadable === undefined
      ? []
      : [`some WAL on the way could not be read for the index: ${this.#unreadable}`];
  }

  absent(): Absent {
    const target = this.#target;
    const end =
      this.#lastEnd === undefined
        ? 'no transaction is archived after the backup'
        : `the last transaction archived ended at ${formatTimestamp(this.#lastEnd)}`;
    const known = [...this.#names].slice(-5).map((name) => `"${name}"`);
    switch (target.kind) {
      case 'time':
        return { kind: 'absent', reason: end, suggestions: [recoverAll, ...this.warnings()] };
      case 'xid':
        return {
          kind: 'absent',
          reason: `no transaction ${target.xid} ended in the archived WAL after the backup`,
          suggestions: [end, ...this.warnings()],
        };
      case 'name':
        return {
          kind: 'absent',
          reason: 'no restore point of that name is archived',
          suggestions: [
            known.length === 0
              ? 'the archived WAL has no restore points at all'
              : `restore points there are: ${known.join(', ')}`,
            ...this.warnings(),
          ],
        };
    }
  }
}
