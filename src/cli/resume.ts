import { PgrecallError } from '../errors/pgrecall-error.ts';
import { resumeRecovery } from '../restore/watch-recovery.ts';
import { readPostmasterPid } from '../server/postmaster-pid.ts';
import type { RunCommand } from './command.ts';
import { secondsOption, textOption } from './options.ts';
import { watchedServer } from './watched-server.ts';

const defaultTimeoutMs = 300_000;

/** `pgrecall resume CLUSTER | --directory DIR`. */
export const runResume: RunCommand = async (arguments_, context) => {
  const directory = textOption(arguments_.options, 'directory');
  const cluster = arguments_.positional['cluster'];
  if (directory === undefined && cluster === undefined) {
    throw new PgrecallError('usage', 'say which server: a cluster, or --directory DIR');
  }
  const dataDirectory = directory ?? (await context.cluster(cluster)).dataDirectory;
  if (dataDirectory === undefined) {
    throw new PgrecallError('usage', `the configuration has no data_directory for "${cluster}"`, {
      hint: 'name it with --directory',
    });
  }
  if (!readPostmasterPid(dataDirectory)) {
    throw new PgrecallError('connection', `no server runs on "${dataDirectory}"`, {
      hint: 'start it with pg_ctl start; resume acts on a server that waits at its recovery target',
    });
  }
  const state = await resumeRecovery(watchedServer(dataDirectory), {
    timeoutMs: secondsOption(arguments_.options, 'timeout') ?? defaultTimeoutMs,
    now: context.now,
    signal: context.signal,
  });
  if (context.json) context.stdout(JSON.stringify({ directory: dataDirectory, ...state }, undefined, 2));
  else context.stdout(`the server in ${dataDirectory} is out of recovery, on timeline ${state.timeline ?? '?'}`);
  return 0;
};
