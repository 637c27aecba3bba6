import { join } from 'node:path';
import { mkdirSync } from 'node:fs';
import { waitForRecovery } from '../restore/watch-recovery.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import { findPrograms } from '../server/programs.ts';
import { startServer } from '../server/start-server.ts';
import type { ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import { startProgress } from './progress.ts';
import { watchedServer } from './watched-server.ts';

export interface StartedReport {
  readonly state: string;
  readonly replayedLsn: string | null;
  readonly lastTransactionAt: string | null;
  readonly timeline: number | null;
  readonly port: number;
  readonly socketDirectory: string;
  readonly log: string;
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
  const { pgBin, stateDirectory } = access.config;
  const programs = await findPrograms({
    major: plan.backup.postgresMajor,
    env: context.env,
    ...(pgBin === undefined ? {} : { pgBin }),
  });
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const log = join(stateDirectory, `restored-${plan.backup.id}.log`);
  const server = await startServer({ programs, dataDirectory: directory, logFile: log, signal: context.signal });
  const until =
    plan.request.target.kind === 'latest'
      ? 'promoted'
      : ({ pause: 'paused', promote: 'promoted', shutdown: 'shut down' } as const)[plan.request.action];
  const progress = startProgress(context, 'recovery');
  try {
    const state = await waitForRecovery(watchedServer(directory, log), {
      until,
      timeoutMs: options.timeoutMs,
      now: context.now,
      signal: context.signal,
      onState: (at) => {
        if (context.terminal)
          progress.say(`replayed to ${at.replayedLsn ?? '?'}, ${at.lastTransactionAt ?? 'no transaction yet'}`);
      },
    });
    const where = state.replayedLsn === undefined ? '' : ` at ${state.replayedLsn}`;
    const last = state.lastTransactionAt === undefined ? '' : `; last transaction replayed: ${state.lastTransactionAt}`;
    const next = state.state === 'paused' ? `\nlook at it, then: pgrecall resume --directory ${directory}` : '';
    return {
      state: state.state,
      replayedLsn: state.replayedLsn ?? null,
      lastTransactionAt: state.lastTransactionAt ?? null,
      timeline: state.timeline ?? null,
      port: server.port,
      socketDirectory: server.socketDirectory,
      log,
      text: `recovery is ${state.state}${where}${last}\nconnect: host=${server.socketDirectory} port=${server.port}${next}`,
    };
  } finally {
    progress.end();
  }
}
