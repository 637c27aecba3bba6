import { restoreCommandScript, restoreScriptPath } from '../archive/restore-command.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { claimToRead } from '../repository/claim.ts';
import { lockDirectory } from '../restore/directory-lock.ts';
import { executeRestore } from '../restore/execute-restore.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import { restoreInThreads } from '../restore/restoring.ts';
import { shellQuote } from './archive-script.ts';
import { repositoryForThreads, type ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import { findOwner } from './file-owner.ts';
import { formatBytes, formatDuration } from './format.ts';
import { startProgress } from './progress.ts';
import { describeDifference, type InPlace } from './restore-in-place.ts';

/** The value of the standby's `restore_command`. */
export function standbyRestoreCommand(directory: string): string {
  return `${shellQuote(restoreScriptPath(directory))} "%f" "%p"`;
}

/** The script that it calls. */
export function standbyRestoreScript(
  { config }: ClusterAccess,
  directory: string,
  context: CliContext,
): { readonly path: string; readonly text: string } {
  const text = restoreCommandScript({
    launcher: context.launcher,
    configFile: config.configFile,
    cluster: config.name,
    stateDirectory: config.stateDirectory,
    dataDirectory: directory,
  });
  return { path: restoreScriptPath(directory), text };
}

/** Writes a backup as the data directory of a standby. */
export async function restoreStandby(
  options: {
    readonly access: ClusterAccess;
    readonly plan: RestorePlan;
    readonly directory: string;
    readonly place: InPlace | undefined;
    readonly tablespaces: ReadonlyMap<number, string>;
    readonly settings: Readonly<Record<string, string>>;
    readonly jobs: number | undefined;
  },
  context: CliContext,
): Promise<void> {
  const { access, plan, place, directory, tablespaces, settings } = options;
  const { config } = access;
  const { now, randomBytes } = context;
  // An expiry leaves what is read.
  await using claim = await claimToRead(access.cluster, plan.backup.id, { purpose: 'standby', now, randomBytes });
  void claim;
  await using stack = new AsyncDisposableStack();
  if (place) stack.use(await lockDirectory(directory, { purpose: 'standby', ...context }));
  const progress = startProgress(context, `restore of ${plan.backup.id}`);
  progress.total(plan.backup.sizeBytes);
  const restoring = restoreInThreads(repositoryForThreads(access), config.name, options.jobs ?? config.jobs);
  const startedMs = now().getTime();
  const { restore_command: restoreCommand } = settings;
  if (restoreCommand === undefined) throw new PgrecallError('bug', 'a standby without restore_command');
  try {
    const report = await executeRestore({
      cluster: access.cluster,
      store: access.store,
      plan,
      directory,
      tablespaces,
      over: place?.over,
      restoring,
      standby: true,
      settings: { restoreCommand, more: settings },
      script: standbyRestoreScript(access, directory, context),
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
