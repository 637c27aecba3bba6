import type { WalCatalogue, WalRange } from '../archive/wal-catalogue.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, parseLsn, type Lsn } from '../postgres/lsn.ts';
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
export type StopPoint =
  | { readonly kind: 'end' }
  | { readonly kind: 'consistent' }
  | { readonly kind: 'record'; readonly lsn: Lsn; readonly timeline: Timeline; readonly time: bigint | undefined };

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

export function noBackup(): PgrecallError {
  return new PgrecallError('target-unreachable', 'the repository has no backup of this cluster', {
    hint: 'run pgrecall backup; WAL alone cannot be recovered',
    details: { from: null, to: null },
  });
}

/** How far WAL can be replayed from `from` along the path without a gap. */
export function replayableUntil(
  path: readonly PathPart[],
  ranges: readonly WalRange[],
  from: { readonly timeline: Timeline; readonly lsn: Lsn },
): { readonly lsn: Lsn; readonly time: bigint | undefined; readonly complete: boolean } {
  let at = from.lsn;
  let time: bigint | undefined;
  const first = path.findIndex((part) => part.timeline === from.timeline);
  for (const part of path.slice(first)) {
    const range = ranges.find(
      (candidate) => candidate.timeline === part.timeline && candidate.startLsn <= at && candidate.endLsn > at,
    );
    if (range) time = range.lastCommitTime ?? time;
    if (part.endLsn === undefined)
      return { lsn: range?.endLsn ?? at, time, complete: !hasLater(part, ranges, at, range) };
    // The segment of the switch may be archived under the child's name only: the parent's stays partial.
    const child = path[path.indexOf(part) + 1];
    const inChild = ranges.some(
      (candidate) => candidate.timeline === child?.timeline && candidate.startLsn <= part.endLsn!,
    );
    const end = range?.endLsn ?? at;
    const childStart = ranges.find((candidate) => candidate.timeline === child?.timeline)?.startLsn;
    if (end < part.endLsn && !(inChild && childStart !== undefined && childStart <= end)) {
      return { lsn: end, time, complete: false };
    }
    at = part.endLsn;
  }
  return { lsn: at, time, complete: true };
}

function hasLater(part: PathPart, ranges: readonly WalRange[], at: Lsn, range: WalRange | undefined): boolean {
  const end = range?.endLsn ?? at;
  return ranges.some((candidate) => candidate.timeline === part.timeline && candidate.startLsn > end);
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

export type { WalCatalogue };
