import { join } from 'node:path';
import { restoreCommandScript } from '../archive/restore-command.ts';
import type { ClusterConfig } from '../config/config.ts';
import { shellQuote, writeScript } from './archive-script.ts';

/**
 * The script that Patroni's restore_command calls. It does not lie in the data directory, as that of a restored copy
 * does: pg_rewind and a new replica take away what is there, and the script is wanted on every member, made by us or not.
 */
export function patroniRestoreScript(
  cluster: ClusterConfig,
  options: { readonly launcher: string; readonly dataDirectory: string },
): { readonly path: string; readonly text: string } {
  const text = restoreCommandScript({
    launcher: options.launcher,
    configFile: cluster.configFile,
    cluster: cluster.name,
    stateDirectory: cluster.stateDirectory,
    dataDirectory: options.dataDirectory,
  });
  return { path: join(cluster.stateDirectory, 'restore-command'), text };
}

/** The value of the server's `restore_command`. */
export function patroniRestoreCommandOf(cluster: ClusterConfig): string {
  return `${shellQuote(join(cluster.stateDirectory, 'restore-command'))} "%f" "%p"`;
}

/** Says whether it was not there as it should be; with `plan`, whether it is not. */
export function writePatroniRestoreScript(
  cluster: ClusterConfig,
  options: { readonly launcher: string; readonly dataDirectory: string; readonly plan: boolean },
): boolean {
  const { path, text } = patroniRestoreScript(cluster, options);
  return writeScript(path, text, options);
}
