import { readControlFile } from '../backup/read-control-file.ts';
import { claimToRead } from '../repository/claim.ts';
import { closedSettings } from '../recover/closed-doors.ts';
import { keptDirectory } from '../recover/keep-aside.ts';
import { isMade, planMade, removeMade } from '../recover/made-tablespaces.ts';
import { presentTablespaces } from '../restore/delta-target.ts';
import { executeRestore } from '../restore/execute-restore.ts';
import { restoreInThreads } from '../restore/restoring.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import { mapTablespaces, requireEmptyTablespaces, requireUnusedReplayed } from '../restore/target-directory.ts';
import { asRepositoryOwner, repositoryForThreads, type ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import { findOwner } from './file-owner.ts';
import { formatBytes, formatDuration } from './format.ts';
import { startProgress } from './progress.ts';
import { planRecoverTarget } from './recover-look.ts';
import { requestOf, type RecoverPlace, type Recording } from './recover-place.ts';
import { describeDifference, planOver, type InPlace } from './restore-in-place.ts';
import { standbyRestoreCommand, standbyRestoreScript } from './standby-restore.ts';

export interface RecoverRestore {
  readonly place: RecoverPlace;
  readonly recording: Recording;
  readonly context: CliContext;
  readonly jobs: number | undefined;
  /** What differs is written over what is there. */
  readonly isOver: boolean;
}

/** The backup, in the directory that the old one had. */
export async function restoreForRecovery(options: RecoverRestore): Promise<void> {
  const { recording, context } = options;
  await asRepositoryOwner(context, recording.journal.cluster, async (access) => {
    const { backup } = recording.journal;
    const plan = await planRecoverTarget(access, requestOf(recording), backup ?? undefined);
    for (const warning of plan.warnings) context.stderr(`warning: ${warning}`);
    await recording.write({ backup: plan.backup.id, timeline: plan.timeline });
    await carryOut(access, plan, options);
  });
}

async function carryOut(access: ClusterAccess, plan: RestorePlan, options: RecoverRestore): Promise<void> {
  const { recording, context, jobs, isOver } = options;
  const { directory, port } = recording.journal;
  const { config, cluster, store } = access;
  const { now, randomBytes } = context;
  await using claim = await claimToRead(cluster, plan.backup.id, { purpose: 'recover', now, randomBytes });
  void claim;
  const place = isOver ? await placeOver(access, plan, directory) : undefined;
  const tablespaces = place?.tablespaces ?? (await freshTablespaces(plan, recording));
  const progress = startProgress(context, `restore of ${plan.backup.id}`);
  progress.total(plan.backup.sizeBytes);
  const restoring = restoreInThreads(repositoryForThreads(access), config.name, jobs ?? config.jobs);
  const startedMs = now().getTime();
  try {
    const report = await executeRestore({
      ...{ cluster, store, plan, directory, restoring, tablespaces },
      over: place?.over,
      settings: { restoreCommand: standbyRestoreCommand(directory), more: closedSettings(directory, port) },
      script: standbyRestoreScript(access, directory, context),
      owner: findOwner(directory),
      signal: context.signal,
      onProgress: progress.advance,
    });
    const seconds = Math.max((now().getTime() - startedMs) / 1000, 0.001);
    const what = place ? describeDifference(report) : `${formatBytes(plan.backup.sizeBytes)} restored`;
    context.stderr(`${plan.backup.id}: ${what}; durable in ${formatDuration(seconds)}`);
  } finally {
    progress.end();
    await restoring.close();
  }
}

async function placeOver({ store }: ClusterAccess, plan: RestorePlan, directory: string): Promise<InPlace> {
  return planOver({
    ...{ directory, plan, store },
    mappings: [],
    configured: directory,
    // It went into the repository before.
    discardWal: true,
    onlyPlan: false,
  });
}

/** Where each was; one that the old directory had not goes where the backup, or its WAL, has it, if that is free. */
async function freshTablespaces(plan: RestorePlan, recording: Recording): Promise<ReadonlyMap<number, string>> {
  const { directory, moves, made } = recording.journal;
  const kept = keptDirectory(directory, moves);
  const present = presentTablespaces(kept);
  const { control } = readControlFile(kept);
  const version = `PG_${control.postgresMajor}_${control.catalogVersion}`;
  const places = mapTablespaces(plan.backup, [], present);
  // A restore that did not come to its end may have left something there.
  removeMade(made);
  const known = new Set(present.values());
  const isAnew = (path: string): boolean => !known.has(path) && !isMade(made, path, version);
  const anew = new Map([...places].filter(([, path]) => isAnew(path)));
  requireEmptyTablespaces(anew, directory);
  const replayed = plan.replayedTablespaces.filter(({ path }) => isAnew(path));
  requireUnusedReplayed(replayed);
  const all = [...new Set([...anew.values(), ...replayed.map(({ path }) => path)])];
  if (all.length > 0) await recording.write({ made: [...made, ...planMade(all, version)] });
  return places;
}
