import { existsSync, realpathSync } from 'node:fs';
import { restoreCommandScript, restoreScriptPath } from '../archive/restore-command.ts';
import type { WalStore } from '../archive/wal-store.ts';
import { lockDirectory } from '../restore/directory-lock.ts';
import { executeRestore } from '../restore/execute-restore.ts';
import type { Restoring } from '../restore/restore-items.ts';
import { compareDirectory, type RestoreReport } from '../restore/restore-over.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import { restoreInThreads } from '../restore/restoring.ts';
import type { Database } from '../restore/selected-databases.ts';
import { shellQuote } from './archive-script.ts';
import { repositoryForThreads, type ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import { findOwner } from './file-owner.ts';
import { formatBytes, formatDuration } from './format.ts';
import { becomeOwnerOf } from './privileges.ts';
import { startProgress, type Progress } from './progress.ts';
import { describeDifference, type InPlace } from './restore-in-place.ts';

/** A copy beside the cluster must not act as the cluster; see the guide on recovery. */
const besideTheCluster: Readonly<Record<string, string>> = {
  // Its WAL would go to the cluster's archive.
  archive_mode: 'off',
  // Its commits would wait for the cluster's standbys.
  synchronous_standby_names: '',
  // It would take the place of the cluster's own.
  external_pid_file: '',
};

/** A restore of which all is planned. */
export interface Execution {
  readonly access: ClusterAccess;
  readonly store: WalStore;
  readonly plan: RestorePlan;
  readonly place: InPlace | undefined;
  readonly directory: string;
  readonly tablespaces: ReadonlyMap<number, string>;
  readonly leftOut: readonly Database[];
  readonly jobs: number | undefined;
  readonly port: number | undefined;
}

/** Threads that restore, and a line that says how far they are. */
function begin(
  { access, plan, jobs }: Execution,
  what: string,
  context: CliContext,
): Restoring & { progress: Progress } {
  const { config } = access;
  const progress = startProgress(context, `${what} of ${plan.backup.id}`);
  progress.total(plan.backup.sizeBytes);
  return { ...restoreInThreads(repositoryForThreads(access), config.name, jobs ?? config.jobs), progress };
}

/** Reads the directory, and says what a restore in place would do. */
export async function compareInPlace(
  execution: Execution,
  { over }: InPlace,
  context: CliContext,
): Promise<RestoreReport> {
  const { access, plan, directory } = execution;
  becomeOwnerOf(access.config.repositoryDirectory);
  const restoring = begin(execution, 'comparison', context);
  try {
    return await compareDirectory({
      ...execution,
      cluster: access.cluster,
      backup: plan.backup,
      over,
      restoring,
      owner: findOwner(directory),
      signal: context.signal,
      onProgress: restoring.progress.advance,
    });
  } finally {
    restoring.progress.end();
    await restoring.close();
  }
}

export async function carryOutRestore(execution: Execution, context: CliContext): Promise<RestoreReport> {
  const { access, plan, directory, port, place } = execution;
  const { config } = access;
  await using stack = new AsyncDisposableStack();
  if (place) stack.use(await lockDirectory(directory, { purpose: 'restore', ...context }));
  const restoring = begin(execution, 'restore', context);
  const startedMs = context.now().getTime();
  let report: RestoreReport;
  try {
    const script = restoreScriptPath(directory);
    const more: Record<string, string> = {};
    if (port !== undefined) more['port'] = String(port);
    if (!isClustersOwn(directory, config.dataDirectory)) Object.assign(more, besideTheCluster);
    if (plan.request.action === 'pause') more['hot_standby'] = 'on';
    report = await executeRestore({
      ...execution,
      cluster: access.cluster,
      over: place?.over,
      restoring,
      settings: { restoreCommand: `${shellQuote(script)} "%f" "%p"`, more },
      script: {
        path: script,
        text: restoreCommandScript({
          launcher: context.launcher,
          configFile: config.configFile,
          cluster: config.name,
          stateDirectory: config.stateDirectory,
          dataDirectory: directory,
        }),
      },
      owner: findOwner(directory),
      signal: context.signal,
      onProgress: restoring.progress.advance,
    });
  } finally {
    restoring.progress.end();
    await restoring.close();
  }
  const seconds = Math.max((context.now().getTime() - startedMs) / 1000, 0.001);
  const written = place
    ? `${describeDifference(report)}; put right and`
    : `${formatBytes(plan.backup.sizeBytes)} restored and`;
  context.stderr(`${written} durable in ${formatDuration(seconds)}`);
  return report;
}

function isClustersOwn(directory: string, configured: string | undefined): boolean {
  if (configured === undefined) return false;
  const real = (path: string): string => (existsSync(path) ? realpathSync(path) : path);
  return real(directory) === real(configured);
}
