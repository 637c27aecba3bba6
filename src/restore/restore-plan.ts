import type { WalRange } from '../archive/wal-catalogue.ts';
import { PgrecallError, assert } from '../errors/pgrecall-error.ts';
import { formatLsn, parseLsn, type Lsn } from '../postgres/lsn.ts';
import { segmentBefore, segmentNumber, segmentOf, type SegmentNumber } from '../postgres/segment-name.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import { timeline as toTimeline, type Timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import { describeTarget, type RecoveryRequest } from './target.ts';

/*
 * Chooses the backup and the timeline for a target, and refuses a target that recovery could not reach,
 * before anything is written. Pure: the moment at which PostgreSQL will stop has been looked up already.
 */

/** A stretch of WAL of one timeline on the way to the target timeline. */
export interface PathPart {
  readonly timeline: Timeline;
  readonly startLsn: Lsn;
  /** Where the next timeline begins; `undefined` on the last. */
  readonly endLsn: Lsn | undefined;
}

/** Where recovery will stop. */
export type StopPoint = { readonly kind: 'end' } | { readonly kind: 'consistent' } | RecordStop;

/** At a record: just before it, or just after. */
export interface RecordStop {
  readonly kind: 'record';
  /** What lies before this is replayed, nothing else. */
  readonly lsn: Lsn;
  readonly timeline: Timeline;
  /** Of the record, where it has one. */
  readonly time: bigint | undefined;
}

export interface ReplayedTablespace {
  readonly oid: number;
  readonly path: string;
}

export interface PlannedRecovery {
  readonly request: RecoveryRequest;
  /** Given to PostgreSQL as a number, so that a rival timeline in the archive cannot change the outcome. */
  readonly timeline: Timeline;
}

export interface RestorePlan extends PlannedRecovery {
  readonly backup: BackupRecord;
  readonly path: readonly PathPart[];
  readonly stop: StopPoint;
  /** The end of the WAL that can be replayed from this backup on this path. */
  readonly reachableLsn: Lsn;
  readonly reachableTime: bigint | undefined;
  /** Those that replay makes, at their old places: no mapping reaches them. */
  readonly replayedTablespaces: readonly ReplayedTablespace[];
  /** No recovery: it is started as the cluster was that it is a copy of; see cold-start-plan.ts. */
  readonly startsAsItWas?: true;
  readonly warnings: readonly string[];
}

/** The timelines from the first to `target`, with the stretch of each that counts. */
export function pathTo(target: Timeline, histories: ReadonlyMap<Timeline, TimelineHistory>): PathPart[] {
  const history = histories.get(target);
  if (!history && target !== 1) {
    throw new PgrecallError('target-unreachable', `timeline ${target} has no history file in the archive`, {
      hint: `archived timelines: ${[...histories.keys()].join(', ') || '1'}`,
      details: { timeline: target, timelines: [...histories.keys()] },
    });
  }
  const parts: PathPart[] = [];
  let startLsn = parseLsn('0/0');
  for (const parent of history?.parents ?? []) {
    parts.push({ timeline: parent.timeline, startLsn, endLsn: parent.switchLsn });
    startLsn = parent.switchLsn;
  }
  parts.push({ timeline: target, startLsn, endLsn: undefined });
  return parts;
}

/** Whether the whole backup, from its start to its end, lies on the path. */
export function backupIsOnPath(backup: BackupRecord, path: readonly PathPart[]): boolean {
  const part = path.find(({ timeline }) => timeline === backup.timeline);
  if (!part) return false;
  const end = parseLsn(backup.endLsn);
  return part.endLsn === undefined || end <= part.endLsn;
}

/**
 * The timeline that is meant: the newest that descends from one of the backups, that of a backup, or the
 * one that was named.
 */
export function chooseTimeline(
  request: RecoveryRequest,
  backups: readonly BackupRecord[],
  histories: ReadonlyMap<Timeline, TimelineHistory>,
  archived: readonly WalRange[],
): Timeline {
  const newest = backups.at(-1);
  if (!newest) throw noBackup();
  if (request.timeline === 'current') return toTimeline(newest.timeline);
  if (request.timeline !== 'latest') return request.timeline;
  const known = new Set<Timeline>([
    toTimeline(newest.timeline),
    ...histories.keys(),
    ...archived.map((range) => range.timeline),
  ]);
  const candidates = [...known]
    .filter((candidate) => candidate === 1 || histories.has(candidate))
    .filter((candidate) => backups.some((backup) => backupIsOnPath(backup, pathTo(candidate, histories))))
    .toSorted((a, b) => b - a);
  return candidates[0] ?? toTimeline(newest.timeline);
}

/**
 * A moment on a timeline that was left is not on the way to the newest: says where the target would be found there.
 * Whoever recovers twice from the same disaster meets this.
 */
export function forsakenBranch({ request, path, catalogue }: PlannedOn, stop: RecordStop): string | undefined {
  const { target } = request;
  if (target.kind !== 'time' || request.timeline !== 'latest') return undefined;
  for (const { timeline, endLsn } of path) {
    if (endLsn === undefined || stop.lsn < endLsn) continue;
    const left = catalogue.ranges.find((range) => range.timeline === timeline && range.endLsn > endLsn);
    if (left?.lastCommitTime === undefined || left.lastCommitTime <= target.time) continue;
    return `timeline ${timeline} went on after ${formatLsn(endLsn)}, where the newest one left it, and the target may lie there: --target-timeline ${timeline}`;
  }
  return undefined;
}

interface PlannedOn {
  readonly request: RecoveryRequest;
  readonly path: readonly PathPart[];
  readonly catalogue: { readonly ranges: readonly WalRange[] };
}

export function noBackup(): PgrecallError {
  return new PgrecallError('target-unreachable', 'the repository has no backup of this cluster', {
    hint: 'run pgrecall backup; WAL alone cannot be recovered',
    details: { from: null, to: null },
  });
}

/** How far replay gets from the start of a backup. */
export interface Reach {
  readonly lsn: Lsn;
  /** Of the last commit on the way, as far as the catalogue tells. */
  readonly time: bigint | undefined;
  /** Whether that is all there is on the path: no WAL lies behind a gap or a barrier. */
  readonly complete: boolean;
  /** Whether it ends before a record that PostgreSQL refuses to replay, instead of with the WAL. */
  readonly atBarrier?: true;
}

/**
 * How far WAL can be replayed from `from` along the path without a gap, and up to which barrier behind `consistentLsn`: one
 * within a backup is of a server that had crashed, and is replayed as that server would have. Where a timeline goes over into the next
 * one, PostgreSQL reads the segment of the switch under the new timeline's name, which begins with a copy of
 * what the old one had (XLogFileReadAnyTLI): the old one's own may never have been archived whole.
 */
export function replayableUntil(
  path: readonly PathPart[],
  ranges: readonly WalRange[],
  from: { readonly timeline: Timeline; readonly lsn: Lsn; readonly consistentLsn: Lsn },
): Reach {
  const parts = path.slice(path.findIndex((part) => part.timeline === from.timeline));
  let at = from.lsn;
  let time: bigint | undefined;
  for (const [i, part] of parts.entries()) {
    const range = ranges.find(({ timeline, startLsn, endLsn }) => {
      return timeline === part.timeline && startLsn <= at && endLsn > at;
    });
    const before = time;
    time = range?.lastCommitTime ?? time;
    const end = range?.endLsn ?? at;
    const later = parts.slice(i + 1).map(({ timeline }) => timeline);
    const isBehind = (lsn: Lsn): boolean => {
      return ranges.some((other) => other.startLsn > lsn && [part.timeline, ...later].includes(other.timeline));
    };
    // A later timeline begins with a copy of what its parent had of the segment.
    const barrier = ranges
      .filter(({ timeline }) => [part.timeline, ...later].includes(timeline))
      .flatMap(({ barriers = [] }) => barriers)
      .filter(({ lsn }) => lsn >= at && lsn >= from.consistentLsn)
      .toSorted((a, b) => Number(a.lsn - b.lsn))[0];
    const upTo = (reached: Lsn): Reach | undefined => {
      if (!barrier || barrier.lsn >= reached) return undefined;
      return { lsn: barrier.lsn, time: barrier.lastCommitTime ?? before, complete: false, atBarrier: true };
    };
    if (part.endLsn === undefined) return upTo(end) ?? { lsn: end, time, complete: !isBehind(end) };
    const switchLsn = part.endLsn;
    const goesOn = ranges.some(({ timeline, startLsn, endLsn }) => {
      return later.includes(timeline) && startLsn <= end && endLsn > startLsn && startLsn <= switchLsn;
    });
    if (!goesOn) {
      const reached = end < switchLsn ? end : switchLsn;
      return upTo(reached) ?? { lsn: reached, time, complete: !isBehind(reached) };
    }
    const stopped = upTo(switchLsn);
    if (stopped) return stopped;
    at = switchLsn;
  }
  return { lsn: at, time, complete: true };
}

/** WAL to read in turn: segments of one timeline after the other. */
export interface WalRun {
  readonly timeline: Timeline;
  readonly first: SegmentNumber;
  readonly last: SegmentNumber;
}

/** The segments that hold WAL from `from` until `until`, each under the timeline whose file PostgreSQL reads. */
export function runsOf(
  path: readonly PathPart[],
  from: { readonly timeline: Timeline; readonly lsn: Lsn },
  until: Lsn,
  segmentBytes: number,
): WalRun[] {
  const parts = path
    .slice(path.findIndex((part) => part.timeline === from.timeline))
    .filter(({ timeline, startLsn }) => timeline === from.timeline || startLsn < until);
  const runs: WalRun[] = [];
  for (const [i, { timeline }] of parts.entries()) {
    const next = parts[i + 1];
    const first = i === 0 ? segmentOf(from.lsn, segmentBytes) : segmentOf(parts[i]?.startLsn ?? from.lsn, segmentBytes);
    const last = next ? segmentNumber(segmentOf(next.startLsn, segmentBytes) - 1n) : segmentBefore(until, segmentBytes);
    if (first <= last) runs.push({ timeline, first, last });
  }
  return runs;
}

/** On which timeline of the path a record lies. */
export function timelineAt(path: readonly PathPart[], lsn: Lsn): Timeline {
  const part = path.find(({ endLsn }) => endLsn === undefined || lsn < endLsn) ?? path.at(-1);
  assert(part, 'a path without timelines');
  return part.timeline;
}

/** What an error about an unreachable target says can be reached. */
export function unreachable(
  request: RecoveryRequest,
  reason: string,
  nearest: {
    readonly from?: string | undefined;
    readonly to?: string | undefined;
    readonly suggestions?: readonly string[];
  },
): PgrecallError {
  const range =
    nearest.from !== undefined && nearest.to !== undefined
      ? `what can be reached: from ${nearest.from} to ${nearest.to}`
      : undefined;
  const hints = [range, ...(nearest.suggestions ?? [])].filter((text) => text !== undefined);
  return new PgrecallError('target-unreachable', `${describeTarget(request)} cannot be reached: ${reason}`, {
    ...(hints.length > 0 ? { hint: hints.join('; ') } : {}),
    details: {
      target: describeTarget(request),
      from: nearest.from ?? null,
      to: nearest.to ?? null,
      suggestions: nearest.suggestions ?? [],
    },
  });
}

/** For messages: an LSN with the time of the last commit before it, where known. */
export function describeMoment(lsn: Lsn, time: bigint | undefined): string {
  return time === undefined ? formatLsn(lsn) : `${formatTimestamp(time)} (${formatLsn(lsn)})`;
}
