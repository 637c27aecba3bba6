import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { syncDirectory, writeDurably, type Owner } from './durable.ts';
import { writing } from './write-error.ts';

/*
 * While a restore writes, the directory has no global/pg_control, so that PostgreSQL does not start there; what was or will
 * be in it lies under another name, by which the directory is known for the cluster's when the restore is begun again.
 */

/** In the data directory. */
export const unfinishedName = 'pgrecall.unfinished';

export function controlPath(directory: string): string {
  return join(directory, 'global', 'pg_control');
}

/** The pg_control of a directory in which a restore did not come to its end; `undefined` where none began. */
export function readUnfinished(directory: string): Uint8Array | undefined {
  const path = join(directory, unfinishedName);
  return existsSync(path) && !existsSync(controlPath(directory)) ? readFileSync(path) : undefined;
}

/** Begins to write into a new directory. */
export function beginNew(directory: string, control: Uint8Array, owner: Owner | undefined): void {
  writeDurably(join(directory, unfinishedName), control, { owner });
}

/** Begins to write into one that holds a cluster: from now on PostgreSQL does not start there. Durable on return. */
export function beginOver(directory: string): void {
  const path = controlPath(directory);
  if (!existsSync(path)) return;
  writing(path, () => renameSync(path, join(directory, unfinishedName)));
  // In the other order a power cut could leave the directory without both.
  syncDirectory(directory);
  syncDirectory(join(directory, 'global'));
}

/** Takes back `beginOver`, as long as nothing was written. */
export function takeBackBegin(directory: string): void {
  const path = controlPath(directory);
  writing(path, () => renameSync(join(directory, unfinishedName), path));
  syncDirectory(join(directory, 'global'));
  syncDirectory(directory);
}

/** Once all is durable: from now on PostgreSQL starts here. */
export function endRestore(directory: string, control: Uint8Array, owner: Owner | undefined): void {
  const path = controlPath(directory);
  writeDurably(path, control, { owner });
  const aside = join(directory, unfinishedName);
  writing(aside, () => rmSync(aside, { force: true }));
}
