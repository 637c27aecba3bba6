import { lastingGaps } from '../archive/lasting-gaps.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { claimToRead } from '../repository/claim.ts';
import { isEmptyDirectory } from '../restore/delta-target.ts';
import { lockDirectory } from '../restore/directory-lock.ts';
import { executeRestore } from '../restore/execute-restore.ts';
import { planTargetIn } from '../restore/plan-target.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import { restoreInThreads } from '../restore/restoring.ts';
import type { RecoveryRequest } from '../restore/target.ts';
import {
  mapTablespaces,
  requireEmptyDirectory,
  requireEmptyTablespaces,
  requireUnusedReplayed,
} from '../restore/target-directory.ts';
import { asRepositoryOwner, findBackup, repositoryForThreads, type ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import { findOwner } from './file-owner.ts';
import { formatBytes, formatDuration } from './format.ts';
import { patroniRestoreCommandOf, patroniRestoreScript } from './patroni-scripts.ts';
import type { PatroniWords } from './patroni-words.ts';
import { becomeOwnerOf, giveDirectoryTo, ownerOf } from './privileges.ts';
import { startProgress } from './progress.ts';
import { describeDifference, planInPlace, type InPlace } from './restore-in-place.ts';

/** A directory that Patroni has ordered. */
export interface PatroniOrder {
  readonly words: PatroniWords;
  readonly mappings: readonly string[];
  /** Asked when the repository is open, before anything is planned. */
  readonly request: (access: ClusterAccess) => Promise<RecoveryRequest>;
  /** A member that follows another: Patroni writes how. Otherwise it recovers by itself, and opens for work. */
  readonly standby: boolean;
}

export interface PatroniRestore {
  readonly plan: RestorePlan;
  readonly directory: string;
}

/**
 * Makes the directory. The cluster's settings stay as they are: unlike a copy beside the original, a member of the
 * cluster archives. Nothing is in the way of a second try: what was begun is written over with `--delta`, and removed by
 * Patroni without.
 */
export async function restoreForPatroni(order: PatroniOrder, context: CliContext): Promise<PatroniRestore> {
  const { words, mappings } = order;
  const { directory } = words;
  const inPlace = words.delta && !isEmptyDirectory(directory);
  if (!inPlace) requireEmptyDirectory(directory, 'the directory');
  const planned = await asRepositoryOwner(context, words.cluster, async (access) => {
    const plan = await planFor(access, words, await order.request(access));
    if (order.standby) await refuseGap(access, plan, context.signal);
    const over = { ...words, plan, store: access.store, mappings, configured: directory, onlyPlan: false };
    return { access, plan, place: inPlace ? await planInPlace(over) : undefined };
  });
  const { access, plan, place } = planned;
  const tablespaces = place?.tablespaces ?? mapTablespaces(plan.backup, mappings);
  if (!place) {
    requireEmptyTablespaces(tablespaces, directory);
    requireUnusedReplayed(plan.replayedTablespaces);
  }
  for (const warning of [...plan.warnings, ...(place?.warnings ?? [])]) context.stderr(`warning: ${warning}`);
  // Patroni is not root; whoever tries it by hand may be.
  const { repositoryDirectory } = access.config;
  giveDirectoryTo(directory, ownerOf(repositoryDirectory));
  becomeOwnerOf(repositoryDirectory);
  await write({ order, access, plan, place, tablespaces }, context);
  return { plan, directory };
}

async function planFor(access: ClusterAccess, words: PatroniWords, request: RecoveryRequest): Promise<RestorePlan> {
  const backups = (await access.cluster.listBackups()).filter(
    (backup) => backup.incarnation === access.incarnation.number,
  );
  const named = words.backup === undefined ? undefined : findBackup(backups, words.backup);
  return planTargetIn(access.store, { backups, named, request });
}

/**
 * Throws `wal-gap`: a replica that meets a gap can go on only where the primary has kept all WAL since, and nobody would
 * make it in another way any more.
 */
async function refuseGap({ store }: ClusterAccess, plan: RestorePlan, signal: AbortSignal): Promise<void> {
  const { gaps } = await lastingGaps(store, [plan.backup], { signal });
  const gap = gaps.find(({ timeline, fromLsn }) => {
    const part = plan.path.find((on) => on.timeline === timeline);
    return part !== undefined && (part.endLsn === undefined || fromLsn < part.endLsn);
  });
  if (!gap) return;
  const [from, to] = [formatLsn(gap.fromLsn), formatLsn(gap.toLsn)];
  throw new PgrecallError(
    'wal-gap',
    `the archive lacks WAL from ${from} to ${to} on timeline ${gap.timeline}, which a replica made of ${plan.backup.id} would need`,
    { hint: 'take a backup now: replicas are made from it', details: { timeline: gap.timeline, from, to } },
  );
}

interface Writing {
  readonly order: PatroniOrder;
  readonly access: ClusterAccess;
  readonly plan: RestorePlan;
  readonly place: InPlace | undefined;
  readonly tablespaces: ReadonlyMap<number, string>;
}

async function write({ order, access, plan, place, tablespaces }: Writing, context: CliContext): Promise<void> {
  const { config } = access;
  const { directory, jobs } = order.words;
  const { now, randomBytes } = context;
  // An expiry leaves what is read.
  await using claim = await claimToRead(access.cluster, plan.backup.id, { purpose: 'patroni', now, randomBytes });
  void claim;
  await using stack = new AsyncDisposableStack();
  if (place) stack.use(await lockDirectory(directory, { purpose: 'patroni', ...context }));
  const progress = startProgress(context, `restore of ${plan.backup.id}`);
  progress.total(plan.backup.sizeBytes);
  const restoring = restoreInThreads(repositoryForThreads(access), config.name, jobs ?? config.jobs);
  const startedMs = now().getTime();
  try {
    const report = await executeRestore({
      cluster: access.cluster,
      store: access.store,
      plan,
      directory,
      tablespaces,
      over: place?.over,
      restoring,
      standby: order.standby,
      settings: { restoreCommand: patroniRestoreCommandOf(config), more: {} },
      script: patroniRestoreScript(config, { launcher: context.launcher, dataDirectory: directory }),
      owner: findOwner(directory),
      signal: context.signal,
      onProgress: progress.advance,
    });
    const seconds = Math.max((now().getTime() - startedMs) / 1000, 0.001);
    const written = place ? describeDifference(report) : formatBytes(plan.backup.sizeBytes);
    context.stderr(`${plan.backup.id}: ${written}; restored and durable in ${formatDuration(seconds)}`);
  } finally {
    progress.end();
    await restoring.close();
  }
}
