import { readlinkSync, realpathSync } from 'node:fs';
import { isErrno } from '../errors/pgrecall-error.ts';
import { readPostmasterPid } from './postmaster-pid.ts';

/**
 * Whether a server, or a single-user backend, runs on the data directory. A lock file that a crash has left
 * behind does not count, even where its process id belongs to another process by now.
 */
export function isServerRunning(dataDirectory: string): boolean {
  const found = readPostmasterPid(dataDirectory);
  if (!found) return false;
  const pid = Math.abs(found.pid);
  return exists(pid) && worksIn(pid, dataDirectory);
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // A process of another user may not be signalled, but it is there.
    return isErrno(error, 'EPERM');
  }
}

/** Whether the process has the directory as its working directory, as PostgreSQL's have; true where that cannot be told. */
function worksIn(pid: number, dataDirectory: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(dataDirectory);
  } catch (error) {
    // ENOENT of a process that was there a moment ago: it has ended, but its parent has not asked for its status.
    return !(process.platform === 'linux' && isErrno(error, 'ENOENT', 'ESRCH'));
  }
}
