import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../errors/pgrecall-error.ts';

/*
 * postmaster.pid, the lock file of a data directory, after PostgreSQL's miscadmin.h (LOCK_FILE_LINE_*) and
 * https://www.postgresql.org/docs/18/storage-file-layout.html. One value a line, added as the server starts:
 *
 *   1  process id; negative for a single-user backend
 *   2  data directory
 *   3  start time, Unix seconds
 *   4  port
 *   5  first directory of Unix sockets; empty where there is none
 *   6  first address listened on; `*` for all, empty where there is none
 *   7  key and identifier of its shared memory (System V), which tells its processes from all others
 *   8  status: starting, stopping, ready, standby; padded with blanks
 */

export interface PostmasterPid {
  /** Negative where a single-user backend holds the directory. */
  readonly pid: number;
  readonly dataDirectory: string;
  /** Unix seconds. */
  readonly startedAt: number;
  readonly port: number;
  readonly socketDirectory: string | undefined;
  readonly listenAddress: string | undefined;
  readonly sharedMemory: { readonly key: number; readonly id: number } | undefined;
  /** Empty until the server has got as far as opening its sockets. */
  readonly status: string;
}

/**
 * Reads the lock file; `undefined` where there is none, or where its first line is not written yet. That a file
 * is there does not say that a server runs: after a crash it stays. See `isServerRunning`.
 */
export function readPostmasterPid(dataDirectory: string): PostmasterPid | undefined {
  try {
    return parsePostmasterPid(readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8'), dataDirectory);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

export function parsePostmasterPid(text: string, dataDirectory: string): PostmasterPid | undefined {
  const [pid = '', directory = '', started = '', port = '', socket = '', address = '', memory = '', status = ''] =
    text.split('\n');
  // Without its newline the first line may be the beginning of a number.
  if (!/^-?[1-9]\d{0,9}\n/.test(text)) return undefined;
  return {
    pid: Number(pid),
    dataDirectory: directory === '' ? dataDirectory : directory,
    startedAt: Number(started),
    port: Number(port),
    socketDirectory: socket === '' ? undefined : socket,
    listenAddress: address.trim() === '' ? undefined : address.trim(),
    sharedMemory: parseSharedMemory(memory),
    status: status.trim(),
  };
}

function parseSharedMemory(line: string): PostmasterPid['sharedMemory'] {
  const match = /^\s*(\d+)\s+(\d+)\s*$/.exec(line);
  return match ? { key: Number(match[1]), id: Number(match[2]) } : undefined;
}
