import { basename, resolve } from 'node:path';
import { FilePusher } from '../archive/push-file.ts';
import { openCluster } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import { requiredPositional, textOption } from './options.ts';

/** `pgrecall wal push PATH --cluster C`: exit 0 when the file is in the repository, durably. */
export const runWalPush: RunCommand = async (arguments_, context) => {
  const path = resolve(context.cwd, requiredPositional(arguments_, 'path'));
  const name = basename(path);
  const { config, store } = await openCluster(context, textOption(arguments_.options, 'cluster'));
  const { stored } = await new FilePusher(store).push(name, path);
  if (context.json) context.stdout(JSON.stringify({ name, cluster: config.name, stored }, undefined, 2));
  return 0;
};
