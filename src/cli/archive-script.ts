import { chmodSync, mkdirSync, writeFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { archiveCommandScript } from '../archive/archive-command.ts';
import type { ClusterConfig } from '../config/config.ts';

/** Where the script that PostgreSQL calls for each finished segment lies. */
export function archiveScriptPath(cluster: ClusterConfig): string {
  return join(cluster.stateDirectory, 'archive-command');
}

/** The value of the server's `archive_command`. */
export function archiveCommandOf(cluster: ClusterConfig): string {
  return `${shellQuote(archiveScriptPath(cluster))} "%p" "%f"`;
}

/** Writes the script, whole or not at all: the server may call it at any moment. */
export function writeArchiveScript(cluster: ClusterConfig, launcher: string, dataDirectory: string): string {
  const path = archiveScriptPath(cluster);
  mkdirSync(cluster.stateDirectory, { recursive: true, mode: 0o700 });
  const temporary = `${path}.tmp`;
  writeFileSync(
    temporary,
    archiveCommandScript({
      launcher,
      configFile: cluster.configFile,
      cluster: cluster.name,
      stateDirectory: cluster.stateDirectory,
      dataDirectory,
    }),
  );
  chmodSync(temporary, 0o700);
  renameSync(temporary, path);
  return path;
}

/** For sh, and free of `%`, which PostgreSQL would replace. */
export function shellQuote(text: string): string {
  const quoted = /^[\w./:@+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
  return quoted.replaceAll('%', '%%');
}
