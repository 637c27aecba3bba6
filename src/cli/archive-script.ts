import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { archiveCommandScript } from '../archive/archive-command.ts';
import type { ClusterConfig } from '../config/config.ts';
import { isErrno } from '../errors/pgrecall-error.ts';

/** Where the script that PostgreSQL calls for each finished segment lies. */
export function archiveScriptPath(cluster: ClusterConfig): string {
  return join(cluster.stateDirectory, 'archive-command');
}

/** The value of the server's `archive_command`. */
export function archiveCommandOf(cluster: ClusterConfig): string {
  return `${shellQuote(archiveScriptPath(cluster))} "%p" "%f"`;
}

/**
 * Writes the script, whole or not at all: the server may call it at any moment. Says whether it was not there as it
 * should be; with `plan`, whether it is not.
 */
export function writeArchiveScript(
  cluster: ClusterConfig,
  options: { readonly launcher: string; readonly dataDirectory: string; readonly plan: boolean },
): boolean {
  const path = archiveScriptPath(cluster);
  const text = archiveCommandScript({
    launcher: options.launcher,
    configFile: cluster.configFile,
    cluster: cluster.name,
    stateDirectory: cluster.stateDirectory,
    dataDirectory: options.dataDirectory,
  });
  return writeScript(path, text, options);
}

/** The same for any script that a server calls, whose text is given. */
export function writeScript(path: string, text: string, options: { readonly plan: boolean }): boolean {
  if (isThere(path, text)) return false;
  if (options.plan) return true;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.tmp`;
  writeFileSync(temporary, text);
  chmodSync(temporary, 0o700);
  renameSync(temporary, path);
  return true;
}

function isThere(path: string, text: string): boolean {
  try {
    return readFileSync(path, 'utf8') === text && (statSync(path).mode & 0o777) === 0o700;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

/** For sh, and free of `%`, which PostgreSQL would replace. */
export function shellQuote(text: string): string {
  const quoted = /^[\w./:@+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
  return quoted.replaceAll('%', '%%');
}
