import { join } from 'node:path';
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { readServerFacts } from '../backup/backup-server.ts';
import { checkIncarnation } from '../backup/check-server.ts';
import { takeColdBackup, type ColdBackupOptions } from '../backup/cold-backup.ts';
import { copyInThreads } from '../backup/copying.ts';
import { readControlFile } from '../backup/read-control-file.ts';
import { SqlSession } from '../connection/sql-session.ts';
import type { ClusterConfig } from '../config/config.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { findDirectoryUse, requireAtRest } from '../server/directory-use.ts';
import { findConfiguration } from '../server/find-configuration.ts';
import { findHowStarted } from '../server/how-started.ts';
import { readPostmasterPid } from '../server/postmaster-pid.ts';
import { findPrograms } from '../server/programs.ts';
import { isServerRunning } from '../server/running.ts';
import { ServerKeeper } from '../server/server-keeper.ts';
import { exitStatusOf, reportBackup } from './backup-report.ts';
import { asRepositoryOwner, openCluster, repositoryForThreads } from './cluster-access.ts';
import type { CommandArguments } from './command.ts';
import type { CliContext } from './context.ts';
import { formatDuration } from './format.ts';
import { flagOption, numberOption, requiredPositional, secondsOption, textOption } from './options.ts';
import { actingAs, giveDirectoryTo, ownerOf } from './privileges.ts';
import { startProgress, type Progress } from './progress.ts';

const defaultStopTimeoutMs = 600_000;
const startTimeoutMs = 60_000;
/** Processes of a server that has ended may take a moment to end themselves. */
const restTimeoutMs = 30_000;
const restPollMs = 100;

/** As `--type` and `--independent` say. */
export type WantedType = Pick<ColdBackupOptions, 'type' | 'independent'>;

/** `pgrecall backup CLUSTER --cold [--stop]`: of a cluster that is stopped, or is stopped for it. */
export async function runColdBackup(
  arguments_: CommandArguments,
  type: WantedType,
  context: CliContext,
): Promise<number> {
  const { options } = arguments_;
  const name = requiredPositional(arguments_, 'cluster');
  const config = await context.cluster(name);
  const stop = flagOption(options, 'stop');
  const dataDirectory = config.dataDirectory ?? (await askDirectory(config));
  // What would refuse the backup does so before the server is touched.
  const { control } = readControlFile(dataDirectory);
  if (!stop) requireAtRest(dataDirectory);
  await asRepositoryOwner(context, name, async ({ cluster, incarnation }) => {
    checkIncarnation(cluster.name, incarnation, control, dataDirectory);
  });
  const stopTimeoutMs = secondsOption(options, 'timeout') ?? defaultStopTimeoutMs;
  // As root while this process still is.
  const keeper =
    stop && isServerRunning(dataDirectory)
      ? await keep(config, { dataDirectory, major: control.postgresMajor, stopTimeoutMs }, context)
      : undefined;
  let record: BackupRecord | undefined;
  let failure: unknown;
  try {
    record = await backUp(arguments_, { dataDirectory, keeper, type }, context);
  } catch (error) {
    failure = error;
  }
  await startAgain(keeper, { record, failure }, context);
  if (!record) throw failure;
  reportBackup(record, context);
  return exitStatusOf(record);
}

/** Of a server that still runs; one that is stopped cannot be asked. */
async function askDirectory({ name, connection }: ClusterConfig): Promise<string> {
  const hint = `set data_directory for "${name}" in the configuration`;
  try {
    await using session = await SqlSession.connect(connection, { applicationName: 'pgrecall backup' });
    const { dataDirectory } = await readServerFacts(session);
    if (dataDirectory !== undefined) return dataDirectory;
  } catch (error) {
    if (!hasCode(error, 'connection')) throw error;
    throw new PgrecallError(
      'data-directory',
      'the configuration has no data_directory, and no server answers to be asked',
      {
        hint,
        cause: error,
      },
    );
  }
  throw new PgrecallError('server-rights', 'this role may not see the server’s data_directory', { hint });
}

async function keep(
  config: ClusterConfig,
  server: { readonly dataDirectory: string; readonly major: number; readonly stopTimeoutMs: number },
  context: CliContext,
): Promise<ServerKeeper> {
  const { pgBin, stateDirectory } = config;
  const { dataDirectory, major, stopTimeoutMs } = server;
  const owner = ownerOf(dataDirectory);
  giveDirectoryTo(stateDirectory, owner);
  await actingAs(owner, async () => mkdirSync(stateDirectory, { recursive: true, mode: 0o700 }));
  const [programs, startedBy] = await Promise.all([
    findPrograms({ major, env: context.env, ...(pgBin === undefined ? {} : { pgBin }) }),
    findHowStarted({
      dataDirectory,
      pid: readPostmasterPid(dataDirectory)?.pid ?? 0,
      env: context.env,
      fallbackLog: join(stateDirectory, 'server.log'),
    }),
  ]);
  return ServerKeeper.begin({ dataDirectory, startedBy, programs, stopTimeoutMs, startTimeoutMs });
}

async function backUp(
  arguments_: CommandArguments,
  wanted: { readonly dataDirectory: string; readonly keeper: ServerKeeper | undefined; readonly type: WantedType },
  context: CliContext,
): Promise<BackupRecord> {
  const { options } = arguments_;
  const { dataDirectory, keeper, type } = wanted;
  const access = await openCluster(context, requiredPositional(arguments_, 'cluster'));
  await using lock = await access.cluster.lock('backup', {
    purpose: 'backup',
    now: context.now,
    randomBytes: context.randomBytes,
  });
  void lock;
  const progress = startProgress(context, `backup of ${access.config.name}`);
  try {
    if (keeper) await stopServer(keeper, dataDirectory, progress, context);
    const jobs = numberOption(options, 'jobs', 1) ?? access.config.jobs;
    return await takeColdBackup({
      cluster: access.cluster,
      incarnation: access.incarnation,
      store: access.store,
      dataDirectory,
      places: placesOf(dataDirectory, context),
      copying: (startLsn) => copyInThreads(repositoryForThreads(access), access.config.name, startLsn, jobs),
      ...type,
      note: textOption(options, 'note') ?? '',
      keep: flagOption(options, 'keep'),
      now: context.now,
      randomBytes: context.randomBytes,
      signal: context.signal,
      onProgress: progress.advance,
      say: progress.say,
    });
  } finally {
    progress.end();
  }
}

async function stopServer(
  keeper: ServerKeeper,
  dataDirectory: string,
  progress: Progress,
  context: CliContext,
): Promise<void> {
  context.signal.throwIfAborted();
  progress.say('stopping the server');
  await keeper.stop();
  const deadlineMs = context.now().getTime() + restTimeoutMs;
  while (findDirectoryUse(dataDirectory).kind === 'running' && context.now().getTime() < deadlineMs) {
    await sleep(restPollMs, undefined, { signal: context.signal });
  }
  progress.say('the server is stopped');
}

function placesOf(dataDirectory: string, { env }: CliContext): ColdBackupOptions['places'] {
  const found = findConfiguration(dataDirectory, env);
  return {
    dataDirectory: undefined,
    configurationFiles: found?.files ?? {},
    settingsFiles: found?.settingsFiles ?? [],
  };
}

/** Throws `server-start`, which is worse than a backup that failed: what became of that is said with it. */
async function startAgain(
  keeper: ServerKeeper | undefined,
  { record, failure }: { readonly record: BackupRecord | undefined; readonly failure: unknown },
  context: CliContext,
): Promise<void> {
  if (!keeper) return;
  const startedMs = context.now().getTime();
  if (keeper.wasStopped) context.stderr('starting the server again');
  try {
    await keeper.startAgain();
  } catch (error) {
    if (!(error instanceof PgrecallError)) throw error;
    const { code, message, hint, details } = error;
    const backup = record ? `backup ${record.id} is complete` : `the backup failed: ${wordsOf(failure)}`;
    throw new PgrecallError(code, `${message}\n${backup}`, {
      ...(hint === undefined ? {} : { hint }),
      details: { ...details, backup: record?.id ?? null },
      cause: error,
    });
  }
  if (keeper.wasStopped) {
    const seconds = (context.now().getTime() - startedMs) / 1000;
    context.stderr(`the server runs again (it took ${formatDuration(seconds)} to start)`);
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
