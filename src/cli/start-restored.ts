import { join } from 'node:path';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { dropLeftOut, findLeftOut, keptFilesInLog } from '../restore/left-out-databases.ts';
import { stoppedWhere, waitForRecovery } from '../restore/watch-recovery.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import { findPrograms } from '../server/programs.ts';
import { startServer } from '../server/start-server.ts';
import type { ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import { startRecoveryProgress } from './recovery-progress.ts';
import { watchedServer } from './watched-server.ts';

export interface StartedReport {
  readonly state: string;
  readonly replayedLsn: string | null;
  readonly lastTransactionAt: string | null;
  readonly timeline: number | null;
  readonly port: number;
  readonly socketDirectory: string;
  readonly log: string;
  /** The server's own words about where it stopped. */
  readonly stopped: string | null;
  /** Databases that had been left out of the restore. */
  readonly dropped: readonly string[];
  readonly text: string;
}

/** Starts a restored directory, waits until recovery has stopped, and says where. */
export async function startAndWait(
  options: {
    readonly access: ClusterAccess;
    readonly plan: RestorePlan;
    readonly directory: string;
    readonly timeoutMs: number | undefined;
  },
  context: CliContext,
): Promise<StartedReport> {
  const { access, plan, directory } = options;
  const { pgBin, stateDirectory, connection } = access.config;
  const programs = await findPrograms({
    major: plan.backup.postgresMajor,
    env: context.env,
    ...(pgBin === undefined ? {} : { pgBin }),
  });
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const log = join(stateDirectory, `restored-${plan.backup.id}.log`);
  const logStart = statSync(log, { throwIfNoEntry: false })?.size ?? 0;
  const leftOut = findLeftOut(directory);
  const server = await startServer({
    programs,
    dataDirectory: directory,
    logFile: log,
    signal: context.signal,
    // What it says of pages that are not there is looked for in this log.
    options: leftOut.length > 0 ? ['-c', 'logging_collector=off', '-c', 'log_destination=stderr'] : [],
  });
  const until =
    plan.request.target.kind === 'latest'
      ? 'promoted'
      : ({ pause: 'paused', promote: 'promoted', shutdown: 'shut down' } as const)[plan.request.action];
  const watched = watchedServer(
    { dataDirectory: directory, host: server.socketDirectory, port: server.port },
    { connection, logFile: log, env: context.env },
  );
  const progress = startRecoveryProgress(context);
  try {
    const state = await waitForRecovery(watched, {
      until,
      timeoutMs: options.timeoutMs,
      now: context.now,
      signal: context.signal,
      onState: progress.onState,
    });
    if (leftOut.length > 0) refuseMissingPages(log, logStart, leftOut);
    const dropped = state.state === 'promoted' ? await dropLeftOut(watched.uri, directory) : [];
    const stopped = plan.request.target.kind === 'latest' ? undefined : stoppedWhere(watched.logTail());
    const where = state.replayedLsn === undefined ? '' : ` at ${state.replayedLsn}`;
    const last = state.lastTransactionAt === undefined ? '' : `; last transaction replayed: ${state.lastTransactionAt}`;
    const says = stopped === undefined ? '' : `\nthe server says: ${stopped}`;
    const connect = state.state === 'shut down' ? '' : `\nconnect: host=${server.socketDirectory} port=${server.port}`;
    const next = state.state === 'paused' ? `\nlook at it, then: pgrecall resume --directory ${directory}` : '';
    return {
      state: state.state,
      replayedLsn: state.replayedLsn ?? null,
      lastTransactionAt: state.lastTransactionAt ?? null,
      timeline: state.timeline ?? null,
      port: server.port,
      socketDirectory: server.socketDirectory,
      log,
      stopped: stopped ?? null,
      dropped,
      text: `recovery is ${state.state}${where}${last}${says}${droppedText(dropped)}${connect}${next}`,
    };
  } finally {
    progress.end();
  }
}

/**
 * Recovery goes on where a page is missing when databases are left out; in one that is kept it would have stopped.
 * Throws `recovery-failed`.
 */
function refuseMissingPages(log: string, start: number, leftOut: readonly number[]): void {
  const files = keptFilesInLog(readFileSync(log).subarray(start).toString('utf8'), leftOut);
  if (files.length === 0) return;
  throw new PgrecallError(
    'recovery-failed',
    `the server’s log speaks of pages in files of databases that were kept: ${files.join(', ')}`,
    {
      hint: `look there: ${log}; a restore of the whole backup tells whether it is damaged. The server runs`,
      details: { files, log },
    },
  );
}

function droppedText(dropped: readonly string[]): string {
  return dropped.length === 0 ? '' : `\ndropped, as they were left out: ${dropped.join(', ')}`;
}
