import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { isBackupHistoryName, isHistoryName, isPartialName, isSegmentName } from '../postgres/segment-name.ts';

/*
 * pg_wal/archive_status, after postmaster/pgarch.c: <file>.ready waits to be archived, <file>.done has been. Histories
 * come before anything else, then the oldest: the order in which the server hands them over.
 */

export function archiveStatusDirectory(walDirectory: string): string {
  return join(walDirectory, 'archive_status');
}

/** Names of the files that wait, without `.ready`. Throws `data-directory` where the directory cannot be read. */
export function readReadyNames(walDirectory: string): string[] {
  const directory = archiveStatusDirectory(walDirectory);
  let found: string[];
  try {
    found = readdirSync(directory);
  } catch (error) {
    const hint = isErrno(error, 'ENOENT')
      ? 'set data_directory to the cluster’s data directory on this machine'
      : 'run pgrecall as the user that owns the data directory, or as root';
    throw new PgrecallError('data-directory', `cannot read "${directory}"`, { hint, cause: error });
  }
  return found
    .filter((name) => name.endsWith('.ready'))
    .map((name) => name.slice(0, -'.ready'.length))
    .filter(isWalFile)
    .toSorted(inServersOrder);
}

function isWalFile(name: string): boolean {
  return isSegmentName(name) || isHistoryName(name) || isPartialName(name) || isBackupHistoryName(name);
}

function inServersOrder(a: string, b: string): number {
  const [first, second] = [isHistoryName(a), isHistoryName(b)];
  if (first !== second) return first ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
