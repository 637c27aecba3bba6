import { existsSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { restoreCommandScript, restoreScriptPath } from '../archive/restore-command.ts';
import { WalStore } from '../archive/wal-store.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { executeRestore } from '../restore/execute-restore.ts';
import { planTargetIn } from '../restore/plan-target.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import { restoreInThreads } from '../restore/restoring.ts';
import { selectDatabases, type Database } from '../restore/selected-databases.ts';
import { parseTarget, type RecoveryRequest } from '../restore/target.ts';
import {
  mapTablespaces,
  requireEmptyDirectory,
  requireEmptyTablespaces,
  requireUnusedReplayed,
} from '../restore/target-directory.ts';
import { shellQuote } from './archive-script.ts';
import { asRepositoryOwner, findBackup, repositoryForThreads, type ClusterAccess } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { findOwner } from './file-owner.ts';
import { formatBytes, formatDuration } from './format.ts';
import { flagOption, listOption, numberOption, requiredPositional, secondsOption, textOption } from './options.ts';
import { becomeOwnerOf, giveDirectoryTo, ownerOf } from './privileges.ts';
import { startProgress } from './progress.ts';
import { answerRestore, describeRestore } from './restore-report.ts';
import { startAndWait } from './start-restored.ts';

/** `pgrecall restore CLUSTER --to DIR`: exit 4 where the target cannot be reached; nothing is written then. */
export const runRestore: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const to = textOption(options, 'to');
  if (to === undefined) throw new PgrecallError('usage', '--to is missing: the directory to restore to');
  const directory = resolve(context.cwd, to);
  const request = parseTarget(options);
  const cluster = requiredPositional(arguments_, 'cluster');
  const mappings = listOption(options, 'tablespace');
  const names = listOption(options, 'database');
  const numbers = {
    jobs: numberOption(options, 'jobs', 1),
    port: numberOption(options, 'port', 1),
    timeoutMs: secondsOption(options, 'timeout'),
  };
  requireEmptyDirectory(directory, 'the directory');
  const planned = await asRepositoryOwner(context, cluster, async (access) =>
    planIn(access, request, textOption(options, 'backup')),
  );
  const { access, plan } = planned;
  const tablespaces = mapTablespaces(plan.backup, mappings);
  requireEmptyTablespaces(tablespaces, directory);
  requireUnusedReplayed(plan.replayedTablespaces);
  const databases = names.length > 0 ? selectDatabases(plan.backup, names) : undefined;
  const steps = describeRestore({ plan, directory, tablespaces, databases });
  for (const warning of plan.warnings) context.stderr(`warning: ${warning}`);
  if (flagOption(options, 'plan')) {
    answerRestore(context, { plan, directory, steps, databases, planned: true });
    return 0;
  }
  for (const step of steps) context.stderr(step);
  makePlaces(access, [directory, ...mappedPlaces(mappings)]);
  await execute({ ...planned, ...numbers, directory, tablespaces, leftOut: databases?.leftOut ?? [] }, context);
  const started = flagOption(options, 'start')
    ? await startAndWait({ access, plan, directory, timeoutMs: numbers.timeoutMs }, context)
    : undefined;
  answerRestore(context, { plan, directory, steps, databases, planned: false, ...(started ? { started } : {}) });
  return 0;
};

interface Planned {
  readonly access: ClusterAccess;
  readonly store: WalStore;
  readonly plan: RestorePlan;
}

async function planIn(access: ClusterAccess, request: RecoveryRequest, wanted: string | undefined): Promise<Planned> {
  const backups = await access.cluster.listBackups();
  const named = wanted === undefined ? undefined : findBackup(backups, wanted);
  const incarnation = named?.incarnation ?? access.incarnation.number;
  const store = await storeOf(access, incarnation);
  const plan = await planTargetIn(store, {
    backups: backups.filter((backup) => backup.incarnation === incarnation),
    named,
    request,
  });
  return { access, store, plan };
}

/**
 * As root, makes the directories that the administrator named while it still can, and becomes the owner of the
 * repository, for good. Not before all is planned: what is refused must leave nothing, and that user may not be able to
 * remove what root has made. Other tablespaces' directories are named by the repository, which root does not obey.
 */
function makePlaces({ config }: ClusterAccess, places: readonly string[]): void {
  const owner = ownerOf(config.repositoryDirectory);
  for (const place of places) giveDirectoryTo(place, owner);
  becomeOwnerOf(config.repositoryDirectory);
}

function mappedPlaces(mappings: readonly string[]): string[] {
  return mappings.map((mapping) => resolve(mapping.slice(mapping.indexOf('=') + 1)));
}

async function storeOf(access: ClusterAccess, number: number): Promise<WalStore> {
  if (number === access.incarnation.number) return access.store;
  const document = await access.cluster.readCluster();
  const incarnation = document?.incarnations.find((candidate) => candidate.number === number);
  if (!incarnation) throw new PgrecallError('object-damaged', `cluster.json has no incarnation ${number}`);
  return new WalStore(access.cluster, incarnation);
}

/** A copy beside the cluster must not act as the cluster; see the guide on recovery. */
const besideTheCluster: Readonly<Record<string, string>> = {
  // Its WAL would go to the cluster's archive.
  archive_mode: 'off',
  // Its commits would wait for the cluster's standbys.
  synchronous_standby_names: '',
  // It would take the place of the cluster's own.
  external_pid_file: '',
};

interface Execution extends Planned {
  readonly directory: string;
  readonly tablespaces: ReadonlyMap<number, string>;
  readonly leftOut: readonly Database[];
  readonly jobs: number | undefined;
  readonly port: number | undefined;
}

async function execute(execution: Execution, context: CliContext): Promise<void> {
  const { access, plan, directory, port } = execution;
  const { config } = access;
  const progress = startProgress(context, `restore of ${plan.backup.id}`);
  progress.total(plan.backup.sizeBytes);
  const restoring = restoreInThreads(repositoryForThreads(access), config.name, execution.jobs ?? config.jobs);
  const startedMs = context.now().getTime();
  try {
    const script = restoreScriptPath(directory);
    const more: Record<string, string> = {};
    if (port !== undefined) more['port'] = String(port);
    if (!isClustersOwn(directory, config.dataDirectory)) Object.assign(more, besideTheCluster);
    if (plan.request.action === 'pause') more['hot_standby'] = 'on';
    await executeRestore({
      cluster: access.cluster,
      store: execution.store,
      plan,
      directory,
      tablespaces: execution.tablespaces,
      leftOut: execution.leftOut,
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
      onProgress: progress.advance,
    });
  } finally {
    progress.end();
    await restoring.close();
  }
  const seconds = Math.max((context.now().getTime() - startedMs) / 1000, 0.001);
  context.stderr(`${formatBytes(plan.backup.sizeBytes)} restored and durable in ${formatDuration(seconds)}`);
}

function isClustersOwn(directory: string, configured: string | undefined): boolean {
  if (configured === undefined) return false;
  const real = (path: string): string => (existsSync(path) ? realpathSync(path) : path);
  return real(directory) === real(configured);
}
