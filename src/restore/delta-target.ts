import { lstatSync, readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { decodeControlFile, type ControlFile } from '../postgres/control-file.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { findDirectoryUse, type SystemFacts } from '../server/directory-use.ts';
import { controlPath, readUnfinished } from './unfinished-restore.ts';

/*
 * Whether a directory may be brought to a backup's state in place: another state of the same cluster, at rest. Everything
 * in it that the backup does not have will be gone, so that what is not certain is refused.
 */

export interface DeltaTarget {
  readonly control: ControlFile;
  /** A restore began there and did not come to its end. */
  readonly unfinished: boolean;
}

/** Whether there is nothing in the directory, or no directory: then there is nothing to compare. */
export function isEmptyDirectory(directory: string): boolean {
  try {
    return readdirSync(directory).every((name) => name === 'lost+found');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return true;
    throw error;
  }
}

/** Throws `delta-target`, `cluster-mismatch`, `postgres-version`, `server-running`. */
export function inspectDeltaTarget(directory: string, backup: BackupRecord, system?: SystemFacts): DeltaTarget {
  const unfinished = readUnfinished(directory);
  const control = decodeControl(directory, unfinished ?? readControl(directory));
  if (control.systemIdentifier !== backup.systemIdentifier) {
    throw new PgrecallError(
      'cluster-mismatch',
      `"${directory}" holds another cluster: its system identifier is ${control.systemIdentifier}, that of ${backup.id} is ${backup.systemIdentifier}`,
      {
        hint: 'name a directory of the cluster that was backed up, or restore to an empty one without --delta',
        details: { found: control.systemIdentifier, expected: backup.systemIdentifier },
      },
    );
  }
  if (control.postgresMajor !== backup.postgresMajor) {
    throw new PgrecallError(
      'postgres-version',
      `"${directory}" is of PostgreSQL ${control.postgresMajor}, ${backup.id} of PostgreSQL ${backup.postgresMajor}`,
      { hint: 'restore to an empty directory, without --delta' },
    );
  }
  requireNobodyThere(directory, system);
  return { control, unfinished: unfinished !== undefined };
}

function readControl(directory: string): Uint8Array {
  try {
    readFileSync(join(directory, 'PG_VERSION'));
    return readFileSync(controlPath(directory));
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
    throw new PgrecallError('delta-target', `"${directory}" is not empty, and is no data directory of PostgreSQL`, {
      details: { directory },
      cause: error,
    });
  }
}

function decodeControl(directory: string, bytes: Uint8Array): ControlFile {
  try {
    return decodeControlFile(bytes);
  } catch (error) {
    throw new PgrecallError('delta-target', `which cluster is in "${directory}" cannot be told`, {
      details: { directory },
      cause: error,
    });
  }
}

/** Throws `server-running`, also where it cannot be told. */
export function requireNobodyThere(directory: string, system?: SystemFacts): void {
  const use = findDirectoryUse(directory, system);
  if (use.kind === 'running') {
    throw new PgrecallError('server-running', `${use.what} runs on "${directory}" (process ${use.pid})`, {
      hint: `stop it first: pg_ctl stop -D ${directory}`,
      details: { directory, pid: use.pid },
    });
  }
  if (use.kind === 'unknown') {
    throw new PgrecallError(
      'server-running',
      `"${directory}/postmaster.pid" names process ${use.lock.pid}, and whether that server is gone cannot be told from here: ${use.why}`,
      {
        hint: 'where it is certain that no server uses the directory, on any host and in any container, remove that file and run this again',
        details: { directory, pid: use.lock.pid },
      },
    );
  }
}

/** Where the links in `pg_tblspc` lead, by their numbers; what is no link is left out. */
export function presentTablespaces(directory: string): Map<number, string> {
  const found = new Map<number, string>();
  const links = join(directory, 'pg_tblspc');
  if (!statSync(links, { throwIfNoEntry: false })?.isDirectory()) return found;
  for (const name of readdirSync(links)) {
    const path = join(links, name);
    if (!/^[1-9]\d{0,9}$/.test(name) || !lstatSync(path).isSymbolicLink()) continue;
    found.set(Number(name), readlinkSync(path));
  }
  return found;
}
