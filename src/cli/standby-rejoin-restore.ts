import { lockDirectory } from '../restore/directory-lock.ts';
import { claimToRead } from '../repository/claim.ts';
import { executeRestore } from '../restore/execute-restore.ts';
import { planTargetIn } from '../restore/plan-target.ts';
import { restoreInThreads } from '../restore/restoring.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import { repositoryForThreads, type ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import { findOwner } from './file-owner.ts';
import { startProgress } from './progress.ts';
import { describeDifference, planInPlace, type InPlace } from './restore-in-place.ts';
import { standbyRestoreCommand, standbyRestoreScript } from './standby-restore.ts';
import type { Timeline } from '../postgres/timeline.ts';

export interface RestoreBack {
  readonly plan: RestorePlan;
  readonly place: InPlace;
}

/** Whether the repository leads to the timeline of the new primary. Throws `target-unreachable`, and what stands in the way of the directory. */
export async function planRestoreBack(
  access: ClusterAccess,
  options: { readonly directory: string; readonly timeline: Timeline },
): Promise<RestoreBack> {
  const { cluster, incarnation, store } = access;
  const backups = (await cluster.listBackups()).filter((backup) => backup.incarnation === incarnation.number);
  const isKnown = options.timeline === 1 || (await store.readHistories()).has(options.timeline);
  const plan = await planTargetIn(store, {
    backups,
    named: undefined,
    request: {
      target: { kind: 'latest' },
      inclusive: true,
      timeline: isKnown ? options.timeline : 'latest',
      action: 'pause',
    },
  });
  const place = await planInPlace({
    directory: options.directory,
    plan,
    store,
    mappings: [],
    // It was the cluster's own until now.
    configured: options.directory,
    // It went into the repository before.
    discardWal: true,
    onlyPlan: false,
  });
  return { plan, place };
}

/** Brings the directory to the state of the backup, by what differs. */
export async function restoreBack(
  { plan, place }: RestoreBack,
  access: ClusterAccess,
  options: {
    readonly directory: string;
    readonly settings: Readonly<Record<string, string>>;
    readonly jobs: number | undefined;
  },
  context: CliContext,
): Promise<void> {
  const { config, cluster, store } = access;
  const { directory } = options;
  const { now, randomBytes } = context;
  await using claim = await claimToRead(cluster, plan.backup.id, { purpose: 'standby', now, randomBytes });
  void claim;
  await using lock = await lockDirectory(directory, { purpose: 'standby rejoin', ...context });
  void lock;
  const progress = startProgress(context, `restore of ${plan.backup.id}`);
  progress.total(plan.backup.sizeBytes);
  const restoring = restoreInThreads(repositoryForThreads(access), config.name, options.jobs ?? config.jobs);
  try {
    const report = await executeRestore({
      ...{ cluster, store, plan, directory, restoring },
      tablespaces: place.tablespaces,
      over: place.over,
      standby: true,
      settings: { restoreCommand: standbyRestoreCommand(directory), more: options.settings },
      script: standbyRestoreScript(access, directory, context),
      owner: findOwner(directory),
      signal: context.signal,
      onProgress: progress.advance,
    });
    context.stderr(`${plan.backup.id}: ${describeDifference(report)}; put right`);
  } finally {
    progress.end();
    await restoring.close();
  }
}
