import { cpSync, lstatSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { syncDirectory, syncTrees } from '../restore/durable.ts';

/**
 * A pg_wal on a disk of its own stays there: what was restored to the data directory goes to `walPlace`, and a link leads to it. Done
 * again, it goes on: what is copied is durable before the original has another name, and that is removed when the link is durable.
 */
export async function leadWalTo(directory: string, walPlace: string): Promise<void> {
  const wal = join(directory, 'pg_wal');
  const copied = `${wal}.pgrecall-copied`;
  const found = lstatSync(wal, { throwIfNoEntry: false });
  if (found?.isDirectory() === true) {
    rmSync(copied, { recursive: true, force: true });
    cpSync(wal, walPlace, { recursive: true, preserveTimestamps: true });
    await syncTrees([walPlace]);
    renameSync(wal, copied);
  }
  if (found?.isSymbolicLink() !== true) symlinkSync(walPlace, wal);
  syncDirectory(directory);
  rmSync(copied, { recursive: true, force: true });
}
