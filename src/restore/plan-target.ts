import { readWalCatalogue, type WalCatalogue } from '../archive/wal-catalogue.ts';
import type { WalStore } from '../archive/wal-store.ts';
import { formatLsn, parseLsn, type Lsn } from '../postgres/lsn.ts';
import { timeline as toTimeline, type Timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import { findStop, type FoundStop } from './find-stop.ts';
import {
  backupIsOnPath,
  chooseTimeline,
  describeMoment,
  noBackup,
  pathTo,
  replayableUntil,
  unreachable,
  type PathPart,
  type RestorePlan,
  type StopPoint,
} from './restore-plan.ts';
import type { RecoveryRequest } from './target.ts';

export interface PlanTargetOptions {
  readonly store: WalStore;
  /** All of the cluster's incarnation, oldest first. */
  readonly backups: readonly BackupRecord[];
  /** The one to start from, where it was named. */
  readonly named: BackupRecord | undefined;
  readonly request: RecoveryRequest;
}

/**
 * Finds the backup from which the target is reached soonest, and proves from the WAL index that it will be
 * reached. Throws `target-unreachable` with what can be reached instead.
 */
export async function planTarget(options: PlanTargetOptions): Promise<RestorePlan> {
  const { request, named } = options;
  const physical = options.backups.filter((backup) => backup.kind === 'physical');
  const candidates = named ? [named] : physical;
  if (candidates.length === 0) throw noBackup();
  const catalogue = await readWalCatalogue(options.store);
  const timeline = chooseTimeline(request, candidates, catalogue.histories, catalogue.ranges);
  const path = pathTo(timeline, catalogue.histories);
  const usable = candidates.filter((backup) => backupIsOnPath(backup, path)).toSorted(byEnd);
  if (usable.length === 0) {
    throw unreachable(request, `no backup lies on the way to timeline ${timeline}`, {
      suggestions: [`backups: ${candidates.map((backup) => `${backup.id} on timeline ${backup.timeline}`).join(', ')}`],
    });
  }
  const planning: Planning = { ...options, catalogue, timeline, path, usable };
  switch (request.target.kind) {
    case 'latest':
      return planLatest(planning);
    case 'immediate':
      return planImmediate(planning);
    case 'time':
    case 'lsn':
    case 'xid':
    case 'name':
      return planRecord(planning);
  }
}

interface Planning extends PlanTargetOptions {
  readonly catalogue: WalCatalogue;
  readonly timeline: Timeline;
  readonly path: readonly PathPart[];
  /** By their end on the path, oldest first. */
  readonly usable: readonly BackupRecord[];
}

interface Reach {
  readonly lsn: Lsn;
  readonly time: bigint | undefined;
  readonly complete: boolean;
}

function byEnd(a: BackupRecord, b: BackupRecord): number {
  return a.timeline - b.timeline || Number(parseLsn(a.endLsn) - parseLsn(b.endLsn));
}

function reachOf(planning: Planning, backup: BackupRecord): Reach {
  return replayableUntil(planning.path, planning.catalogue.ranges, {
    timeline: toTimeline(backup.timeline),
    lsn: parseLsn(backup.startLsn),
  });
}

/** Whether the WAL that makes the backup consistent is there. */
function isConsistent(planning: Planning, backup: BackupRecord): boolean {
  return reachOf(planning, backup).lsn >= parseLsn(backup.endLsn);
}

function planLatest(planning: Planning): RestorePlan {
  const backup = planning.usable.findLast((candidate) => isConsistent(planning, candidate));
  if (!backup) throw noneConsistent(planning);
  const reach = reachOf(planning, backup);
  const warnings = reach.complete
    ? []
    : [`the archive has a gap after ${formatLsn(reach.lsn)}: what was committed later is not recovered`];
  return made(planning, backup, { kind: 'end' }, reach, warnings);
}

function planImmediate(planning: Planning): RestorePlan {
  const backup = planning.usable.findLast((candidate) => isConsistent(planning, candidate));
  if (!backup) throw noneConsistent(planning);
  return made(planning, backup, { kind: 'consistent' }, reachOf(planning, backup), []);
}

/**
 * From the newest backup to the oldest: the first whose replay meets the target after it has become
 * consistent. PostgreSQL stops at the first record that fits after the start of the backup, so each backup
 * is asked for itself.
 */
async function planRecord(planning: Planning): Promise<RestorePlan> {
  let before: { readonly backup: BackupRecord; readonly stop: Extract<FoundStop, { kind: 'record' }> } | undefined;
  let absent: Extract<FoundStop, { kind: 'absent' }> | undefined;
  for (const backup of planning.usable.toReversed()) {
    const reach = reachOf(planning, backup);
    if (reach.lsn < parseLsn(backup.endLsn)) continue;
    const stop = await findStop(planning.store, planning.catalogue, planning.path, {
      request: planning.request,
      from: { timeline: toTimeline(backup.timeline), lsn: parseLsn(backup.startLsn) },
      until: reach.lsn,
    });
    if (stop.kind === 'absent') {
      absent ??= stop;
      continue;
    }
    if (stop.lsn >= parseLsn(backup.endLsn)) return made(planning, backup, stop, reach, stop.warnings);
    before = { backup, stop };
  }
  const range = reachable(planning);
  if (before) {
    throw unreachable(
      planning.request,
      `it lies at ${describeMoment(before.stop.lsn, before.stop.time)}, before the first backup that could lead there is consistent (${before.backup.id}, ${before.backup.stoppedAt}, ${before.backup.endLsn})`,
      range,
    );
  }
  if (absent) throw unreachable(planning.request, absent.reason, { ...range, suggestions: absent.suggestions });
  throw noneConsistent(planning);
}

function made(
  planning: Planning,
  backup: BackupRecord,
  stop: StopPoint,
  reach: Reach,
  warnings: readonly string[],
): RestorePlan {
  const bad = backup.badPages.length > 0 ? [`${backup.id} has pages whose checksums were wrong when it was taken`] : [];
  return {
    request: planning.request,
    timeline: planning.timeline,
    backup,
    path: planning.path,
    stop,
    reachableLsn: reach.lsn,
    reachableTime: reach.time,
    warnings: [...warnings, ...bad],
  };
}

function reachable(planning: Planning): { from: string | undefined; to: string | undefined } {
  const first = planning.usable.find((backup) => isConsistent(planning, backup));
  const last = planning.usable.findLast((backup) => isConsistent(planning, backup));
  if (!first || !last) return { from: undefined, to: undefined };
  const reach = reachOf(planning, last);
  const byPosition = planning.request.target.kind === 'lsn';
  if (byPosition) return { from: first.endLsn, to: formatLsn(reach.lsn) };
  return {
    from: first.stoppedAt,
    to: reach.time === undefined ? formatLsn(reach.lsn) : formatTimestamp(reach.time),
  };
}

function noneConsistent(planning: Planning): ReturnType<typeof unreachable> {
  const missing = planning.usable
    .map(
      (backup) =>
        `${backup.id} needs ${backup.startLsn} to ${backup.endLsn}, archived until ${formatLsn(reachOf(planning, backup).lsn)}`,
    )
    .slice(-3);
  return unreachable(planning.request, 'the WAL that the backups themselves need is missing from the archive', {
    suggestions: missing,
  });
}
