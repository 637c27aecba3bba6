import { basename, dirname, resolve } from 'node:path';
import { readReadyNames } from '../archive/archive-status.ts';
import { FilePusher } from '../archive/push-file.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { startInBackground } from './background.ts';
import { openCluster } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { flagOption, requiredPositional, textOption } from './options.ts';

/** `pgrecall wal push PATH --cluster C`: exit 0 when the file is in the repository, durably. */
export const runWalPush: RunCommand = async (arguments_, context) => {
  const path = resolve(context.cwd, requiredPositional(arguments_, 'path'));
  const name = basename(path);
  const config = await context.cluster(textOption(arguments_.options, 'cluster'));
  if (flagOption(arguments_.options, 'ahead')) startArchiverIfWanted(path, name, config, context);
  const { store } = await openCluster(context, config.name);
  const { stored } = await new FilePusher(store).push(name, path);
  if (context.json) context.stdout(JSON.stringify({ name, cluster: config.name, stored }, undefined, 2));
  return 0;
};

const idleExitSeconds = 60;

/** When more files wait than this one, someone works ahead from now on. */
function startArchiverIfWanted(
  path: string,
  name: string,
  config: { readonly name: string; readonly configFile: string },
  context: CliContext,
): void {
  const walDirectory = dirname(path);
  try {
    if (!readReadyNames(walDirectory).some((other) => other !== name)) return;
  } catch (error) {
    // Not pg_wal: a file that someone pushes by hand.
    if (hasCode(error, 'data-directory')) return;
    throw error;
  }
  startInBackground(
    context.launcher,
    [
      'wal',
      'archive',
      config.name,
      '--config',
      config.configFile,
      '--data-directory',
      dirname(walDirectory),
      '--idle-exit',
      String(idleExitSeconds),
      '--except',
      name,
    ],
    '/',
  );
}
