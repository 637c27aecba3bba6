import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { findPrograms } from '../server/programs.ts';
import { startServer } from '../server/start-server.ts';
import { waitForStandby, type StandbyState } from '../standby/wait-streaming.ts';
import type { ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import { startProgress } from './progress.ts';
import { watchedServer } from './watched-server.ts';

export interface StartedStandby extends StandbyState {
  readonly port: number;
  readonly socketDirectory: string;
  readonly log: string;
}

/** Starts a standby, and waits until it can be read and, with `streams`, until it streams. */
export async function startStandby(
  options: {
    readonly access: ClusterAccess;
    readonly directory: string;
    readonly name: string;
    readonly major: number;
    readonly streams: boolean;
    readonly timeoutMs: number | undefined;
  },
  context: CliContext,
): Promise<StartedStandby> {
  const { directory, major } = options;
  const { pgBin, stateDirectory, connection } = options.access.config;
  const programs = await findPrograms({ major, env: context.env, ...(pgBin === undefined ? {} : { pgBin }) });
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const log = join(stateDirectory, `${options.name.replaceAll('/', '_')}.log`);
  const { port, socketDirectory } = await startServer({
    programs,
    dataDirectory: directory,
    logFile: log,
    signal: context.signal,
  });
  const at = { dataDirectory: directory, host: socketDirectory, port };
  const progress = startProgress(context, 'standby');
  const startedMs = context.now().getTime();
  let saidMs = startedMs;
  try {
    const state = await waitForStandby(watchedServer(at, { connection, logFile: log, env: context.env }), {
      ...options,
      now: context.now,
      signal: context.signal,
      onState: (seen) => {
        const nowMs = context.now().getTime();
        if (!context.terminal && nowMs - saidMs < 5000) return;
        saidMs = nowMs;
        progress.say(seen ? `replayed up to ${seen.replayedLsn ?? '?'}, does not stream yet` : 'it recovers');
      },
    });
    return { ...state, port, socketDirectory, log };
  } finally {
    progress.end();
  }
}
