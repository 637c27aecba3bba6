import { dirname, resolve } from 'node:path';
import { readFileSync } from 'node:fs';
import { fetchFile } from '../archive/fetch-file.ts';
import { sayWanted } from '../archive/prefetcher.ts';
import { absentStatus, aheadDirectory } from '../archive/restore-command.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { isSegmentName } from '../postgres/segment-name.ts';
import { startInBackground } from './background.ts';
import { openCluster, type ClusterAccess } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { requiredPositional, textOption } from './options.ts';
import { reportError } from './report-error.ts';

/** For restore-command.ts; at this status PostgreSQL stops (xlogarchive.c, RestoreArchivedFile). */
const stopServerStatus = 126;

/**
 * `pgrecall wal get NAME PATH --cluster C`: exit 1 where the archive has no such file. With `--ahead`, as
 * restore-command.ts calls it, the status tells that from every other failure.
 */
export const runWalGet: RunCommand = async (arguments_, context) => {
  const name = requiredPositional(arguments_, 'name');
  const path = resolve(context.cwd, requiredPositional(arguments_, 'path'));
  const ahead = textOption(arguments_.options, 'ahead');
  if (ahead === undefined) {
    const access = await openCluster(context, textOption(arguments_.options, 'cluster'));
    if (await fetchFile(access.store, name, path)) return 0;
    throw new PgrecallError('wal-absent', `"${name}" is not in the archive of "${access.config.name}"`);
  }
  try {
    const access = await openCluster(context, textOption(arguments_.options, 'cluster'));
    if (isSegmentName(name)) prefetch(name, ahead, access, context);
    return (await fetchFile(access.store, name, path)) ? 0 : absentStatus;
  } catch (error) {
    context.stderr(reportError(error).text);
    return stopServerStatus;
  }
};

const idleExitSeconds = 60;

/** Has the segments that follow fetched while the server replays this one. */
function prefetch(name: string, dataDirectory: string, { config }: ClusterAccess, context: CliContext): void {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const directory = aheadDirectory(dataDirectory, boot);
  if (isRunning(directory)) {
    sayWanted(directory, name);
    return;
  }
  startInBackground(
    context.launcher,
    [
      'wal',
      'prefetch',
      name,
      directory,
      '--cluster',
      config.name,
      '--config',
      config.configFile,
      '--idle-exit',
      String(idleExitSeconds),
      '--while',
      dirname(dirname(dirname(directory))),
    ],
    '/',
  );
}

function isRunning(directory: string): boolean {
  try {
    process.kill(Number(readFileSync(`${directory}/pid`, 'utf8')), 0);
    return true;
  } catch {
    return false;
  }
}
