import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { dropLeftOut } from '../restore/left-out-databases.ts';
import { resumeRecovery, type RecoveryState } from '../restore/watch-recovery.ts';
import type { RunCommand } from './command.ts';
import { secondsOption, textOption } from './options.ts';
import { becomeOwnerOf } from './privileges.ts';
import { startRecoveryProgress } from './recovery-progress.ts';
import { findServer } from './watched-server.ts';

const defaultTimeoutMs = 300_000;

/** `pgrecall resume CLUSTER | --directory DIR`: a server that still recovers is waited for. */
export const runResume: RunCommand = async (arguments_, context) => {
  const directory = textOption(arguments_.options, 'directory');
  const cluster = arguments_.positional['cluster'];
  if (directory === undefined && cluster === undefined) {
    throw new PgrecallError('usage', 'say which server: a cluster, or --directory DIR');
  }
  const config = cluster === undefined ? undefined : await context.cluster(cluster);
  const dataDirectory = directory === undefined ? config?.dataDirectory : resolve(context.cwd, directory);
  if (dataDirectory === undefined) {
    throw new PgrecallError('usage', `the configuration has no data_directory for "${cluster}"`, {
      hint: 'name it with --directory',
    });
  }
  // A local server takes the word of its own user (peer authentication), root's it does not.
  if (existsSync(dataDirectory)) becomeOwnerOf(dataDirectory);
  const server = findServer(dataDirectory, { connection: config?.connection, env: context.env });
  const progress = startRecoveryProgress(context);
  let state: RecoveryState;
  try {
    state = await resumeRecovery(server, {
      timeoutMs: secondsOption(arguments_.options, 'timeout') ?? defaultTimeoutMs,
      now: context.now,
      signal: context.signal,
      onState: progress.onState,
    });
  } finally {
    progress.end();
  }
  const dropped = await dropLeftOut(server.uri, dataDirectory);
  if (context.json) context.stdout(JSON.stringify({ directory: dataDirectory, ...state, dropped }, undefined, 2));
  else context.stdout(`the server in ${dataDirectory} is out of recovery, on timeline ${state.timeline ?? '?'}`);
  if (!context.json && dropped.length > 0) context.stdout(`dropped, as they were left out: ${dropped.join(', ')}`);
  return 0;
};
