import { readWalCatalogue, type WalCatalogue } from '../archive/wal-catalogue.ts';
import type { WalStore } from '../archive/wal-store.ts';
import { formatLsn, parseLsn, type Lsn } from '../postgres/lsn.ts';
import { timeline as toTimeline, type Timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import { cannotRecover, liesInCopy, startsAsItWas } from './cold-start-plan.ts';
import { findStop, type Absent, type FoundRecord, type FoundStop } from './find-stop.ts';
import {
  backupIsOnPath,
  chooseTimeline,
  describeMoment,
  forsakenBranch,
  noBackup,
  pathTo,
  replayableUntil,
  timelineAt,
  unreachable,
  type PathPart,
  type Reach,
  type RestorePlan,
  type StopPoint,
} from './restore-plan.ts';
import { parseTime } from './parse-time.ts';
import { replayedTablespaces } from './replayed-tablespaces.ts';
import { searchedWal, type SearchedWal } from './searched-wal.ts';
import type { RecoveryRequest } from './target.ts';

export interface PlanTargetOptions {
  readonly wal: SearchedWal;
  readonly catalogue: WalCatalogue;
  /** All of the cluster's incarnation, oldest first. */
  readonly backups: readonly BackupRecord[];
  /** The one to start from, where it was named. */
  readonly named: BackupRecord | undefined;
  readonly request: RecoveryRequest;
}

/** `planTarget` over the archive of a cluster. */
export async function planTargetIn(
  store: WalStore,
  options: Omit<PlanTargetOptions, 'wal' | 'catalogue'>,
): Promise<RestorePlan> {
  return planTarget({ ...options, wal: searchedWal(store), catalogue: await readWalCatalogue(store) });
}

/**
 * Finds the backup from which the target is reached soonest, and proves from the WAL index that it will be
 * reached. Throws `target-unreachable` with what can be reached instead.
 */
async function planTarget(options: PlanTargetOptions): Promise<RestorePlan> {
  const { request, named, catalogue } = options;
  const physical = options.backups.filter((backup) => backup.kind === 'physical');
  const candidates = named ? [named] : physical;
  if (candidates.length === 0) throw noBackup();
  const timeline = chooseTimeline(request, candidates, catalogue.histories, catalogue.ranges);
  const path = pathTo(timeline, catalogue.histories);
  const usable = candidates
    .filter((backup) => backupIsOnPath(backup, path))
    .toSorted(byEnd)
    .map((backup): Candidate => ({ backup, ...positionsOf(backup), reach: reachOf(path, catalogue, backup) }));
  if (usable.length === 0) {
    throw unreachable(request, `no backup lies on the way to timeline ${timeline}`, {
      suggestions: [`backups: ${candidates.map((backup) => `${backup.id} on timeline ${backup.timeline}`).join(', ')}`],
    });
  }
  const planning: Planning = { ...options, timeline, path, usable };
  const { target } = request;
  switch (target.kind) {
    case 'latest':
      return planLatest(planning);
    case 'immediate':
      return planImmediate(planning);
    case 'time':
    case 'lsn':
    case 'xid':
    case 'name':
      return planRecord(planning, { ...request, target });
  }
}

/** A backup on the path, and how far replay gets from it. */
interface Candidate {
  readonly backup: BackupRecord;
  readonly timeline: Timeline;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
  readonly reach: Reach;
}

interface Planning extends PlanTargetOptions {
  readonly timeline: Timeline;
  readonly path: readonly PathPart[];
  /** By their end on the path, oldest first. */
  readonly usable: readonly Candidate[];
}

function byEnd(a: BackupRecord, b: BackupRecord): number {
  return a.timeline - b.timeline || Number(parseLsn(a.endLsn) - parseLsn(b.endLsn));
}

function positionsOf(backup: BackupRecord): Pick<Candidate, 'timeline' | 'startLsn' | 'endLsn'> {
  return {
    timeline: toTimeline(backup.timeline),
    startLsn: parseLsn(backup.startLsn),
    endLsn: parseLsn(backup.endLsn),
  };
}

function reachOf(path: readonly PathPart[], catalogue: WalCatalogue, backup: BackupRecord): Reach {
  const { timeline, startLsn, endLsn } = positionsOf(backup);
  return replayableUntil(path, catalogue.ranges, { timeline, lsn: startLsn, consistentLsn: endLsn });
}

/** Whether the WAL that makes the backup consistent is there. */
function isConsistent({ reach, endLsn }: Candidate): boolean {
  return reach.lsn >= endLsn;
}

async function planLatest(planning: Planning): Promise<RestorePlan> {
  const candidate = planning.usable.findLast(isConsistent);
  if (!candidate) throw noneConsistent(planning);
  const { backup, reach } = candidate;
  if (reach.atBarrier && !cannotRecover(backup)) {
    throw unreachable(planning.request, beyondBarrier(candidate), {
      ...reachable(planning),
      suggestions: besideBarrier(planning, candidate),
    });
  }
  if (startsAsItWas(backup, reach)) return madeAsItWas(planning, candidate);
  const gap = `the archive has a gap after ${formatLsn(reach.lsn)}: what was committed later is not recovered`;
  return made(planning, candidate, { kind: 'end' }, reach.complete ? [] : [gap]);
}

async function planImmediate(planning: Planning): Promise<RestorePlan> {
  const candidate = planning.usable.findLast(isConsistent);
  if (!candidate) throw noneConsistent(planning);
  const { backup, reach, endLsn } = candidate;
  if (startsAsItWas(backup, reach)) return madeAsItWas(planning, candidate);
  // PostgreSQL wants a record behind the target, even this one (PerformWalRecovery).
  if (backup.temperature === 'cold' && reach.lsn === endLsn)
    return made(withoutTarget(planning), candidate, { kind: 'end' }, []);
  return made(planning, candidate, { kind: 'consistent' }, []);
}

async function madeAsItWas(planning: Planning, candidate: Candidate): Promise<RestorePlan> {
  const { backup, reach, endLsn } = candidate;
  const notReplayed =
    reach.lsn === endLsn
      ? []
      : [`${backup.id} was taken with wal_level = minimal: WAL that is archived behind it cannot be replayed from it`];
  const stop = { kind: 'end' } as const;
  return { ...(await made(withoutTarget(planning), candidate, stop, notReplayed)), startsAsItWas: true };
}

function withoutTarget(planning: Planning): Planning {
  return { ...planning, request: { ...planning.request, target: { kind: 'latest' } } };
}

type RecordRequest = Parameters<typeof findStop>[2]['request'];

/** A backup from which replay meets the target, but not where it should. */
interface TooEarly {
  readonly candidate: Candidate;
  readonly stop: FoundRecord;
}

/**
 * From the newest backup to the oldest: the first whose replay meets the target after it has become consistent.
 * PostgreSQL stops at the first record that fits after the start of the backup, so each backup is asked for itself;
 * but what lies behind the start of a newer one was searched already.
 */
async function planRecord(planning: Planning, request: RecordRequest): Promise<RestorePlan> {
  let tooEarly: TooEarly | undefined;
  let absent: Absent | undefined;
  let barred: Candidate | undefined;
  let newer: { readonly candidate: Candidate; readonly stop: FoundStop } | undefined;
  for (const candidate of planning.usable.toReversed()) {
    if (!isConsistent(candidate) || cannotRecover(candidate.backup)) continue;
    const stop = await stopFrom(planning, request, candidate, newer);
    newer = { candidate, stop };
    if (stop.kind === 'absent') {
      absent ??= stop;
      if (candidate.reach.atBarrier) barred ??= candidate;
    } else if (liesInCopy(candidate.backup, stop, request) || holdsLater(candidate.backup, request)) {
      tooEarly = { candidate, stop };
    } else {
      const branch = forsakenBranch(planning, stop);
      return made(planning, candidate, stop, [...stop.warnings, ...(branch === undefined ? [] : [branch])]);
    }
  }
  if (!tooEarly && !absent) throw noneConsistent(planning, request);
  const reasons = [barred ? beyondBarrier(barred) : absent?.reason, tooEarly && whyTooEarly(tooEarly, request)];
  const suggestions = tooEarly ? [] : (absent?.suggestions ?? []);
  throw unreachable(request, reasons.filter((reason) => reason !== undefined).join('; '), {
    ...reachable(planning),
    suggestions: barred ? besideBarrier(planning, barred) : suggestions,
  });
}

function beyondBarrier({ backup, reach }: Candidate): string {
  return `wal_level was minimal from ${formatLsn(reach.lsn)} on, and PostgreSQL refuses to replay WAL from there in a recovery from ${backup.id}`;
}

/** The nearest moments before a barrier and after it. */
function besideBarrier({ usable }: Planning, { reach }: Candidate): string[] {
  const next = usable.find((candidate) => candidate.startLsn >= reach.lsn && isConsistent(candidate));
  return [
    `just before it, ${describeMoment(reach.lsn, reach.time)}: --target-lsn ${formatLsn(reach.lsn)} --target-exclusive`,
    ...(next ? [`behind it from ${next.backup.stoppedAt} (${next.backup.endLsn}) on: ${next.backup.id}`] : []),
  ];
}

/**
 * Whether a backup may hold what was committed after the target time: PostgreSQL compares only what it replays, and
 * would not notice.
 */
function holdsLater(backup: BackupRecord, { target }: RecordRequest): boolean {
  return target.kind === 'time' && parseTime(backup.checkpointedAt ?? backup.stoppedAt) > target.time;
}

function whyTooEarly({ candidate, stop }: TooEarly, request: RecordRequest): string {
  const { id, stoppedAt, endLsn, checkpointedAt } = candidate.backup;
  if (holdsLater(candidate.backup, request)) return `it lies before ${id} began (${checkpointedAt ?? stoppedAt})`;
  return `it lies at ${describeMoment(stop.lsn, stop.time)}, before ${id} is consistent (${endLsn}, ${stoppedAt})`;
}

async function stopFrom(
  { wal, path }: Planning,
  request: RecordRequest,
  { timeline, startLsn, reach }: Candidate,
  newer: { readonly candidate: Candidate; readonly stop: FoundStop } | undefined,
): Promise<FoundStop> {
  // Positions are found in one step; and a gap between the two backups would make the newer one's answer another.
  const isSearched = newer && request.target.kind !== 'lsn' && newer.candidate.startLsn <= reach.lsn;
  const until = isSearched ? newer.candidate.startLsn : reach.lsn;
  const stop = await findStop(wal, path, { request, from: { timeline, lsn: startLsn }, until });
  // The record of the barrier is not replayed, but recovery may stop before it.
  const { target } = request;
  if (stop.kind === 'absent' && reach.atBarrier && target.kind === 'lsn' && !request.inclusive && target.lsn <= until) {
    return { kind: 'record', lsn: until, timeline: timelineAt(path, until), time: undefined, warnings: [] };
  }
  return stop.kind === 'absent' && isSearched ? newer.stop : stop;
}

async function made(
  planning: Planning,
  { backup, reach, timeline, startLsn, endLsn }: Candidate,
  stop: StopPoint,
  warnings: readonly string[],
): Promise<RestorePlan> {
  const until = stop.kind === 'record' ? stop.lsn : stop.kind === 'consistent' ? endLsn : reach.lsn;
  const bad = backup.badPages.length > 0 ? [`${backup.id} has pages whose checksums were wrong when it was taken`] : [];
  return {
    request: planning.request,
    timeline: planning.timeline,
    backup,
    path: planning.path,
    stop,
    reachableLsn: reach.lsn,
    reachableTime: reach.time,
    replayedTablespaces: await replayedTablespaces(planning.wal, planning.path, {
      from: { timeline, lsn: startLsn },
      until,
    }),
    warnings: [...warnings, ...bad],
  };
}

function reachable(planning: Planning): { from: string | undefined; to: string | undefined } {
  const first = planning.usable.find(isConsistent);
  const last = planning.usable.findLast(isConsistent);
  if (!first || !last) return { from: undefined, to: undefined };
  const { reach } = last;
  if (planning.request.target.kind === 'lsn') return { from: first.backup.endLsn, to: formatLsn(reach.lsn) };
  return {
    from: first.backup.stoppedAt,
    to: reach.time === undefined ? formatLsn(reach.lsn) : formatTimestamp(reach.time),
  };
}

function noneConsistent(planning: Planning, request?: RecordRequest): ReturnType<typeof unreachable> {
  const unable = planning.usable.findLast(({ backup }) => cannotRecover(backup));
  if (request && unable) {
    const { id } = unable.backup;
    return unreachable(request, `${id} was taken with wal_level = minimal: PostgreSQL replays no WAL behind it`, {
      suggestions: [`leave the target out to bring ${id} back as it was`],
    });
  }
  const missing = planning.usable
    .map(({ backup, reach }) => {
      return `${backup.id} needs ${backup.startLsn} to ${backup.endLsn}, archived until ${formatLsn(reach.lsn)}`;
    })
    .slice(-3);
  return unreachable(planning.request, 'the WAL that the backups themselves need is missing from the archive', {
    suggestions: missing,
  });
}
