import { createHash } from 'node:crypto';
import { isErrno } from '../errors/pgrecall-error.ts';

/*
 * Temporary files of a local storage are called `tmp~<host>~<pid>~<random>`: `~` keeps them out of
 * every key, the host (8 hex digits of a hash of its name) and the process say whether their writer
 * can still be alive.
 */

export function temporaryName(host: string, pid: number, random: string): string {
  return `tmp~${hostMark(host)}~${pid}~${random}`;
}

const pattern = /^tmp~([0-9a-f]{8})~(\d{1,10})~[0-9a-f]+$/;

export function isTemporaryName(name: string): boolean {
  return pattern.test(name);
}

/** Whether its writer ran on this `host` and is gone. A process number used again keeps the file: the safe side. */
export function temporaryIsAbandoned(name: string, host: string): boolean {
  const match = pattern.exec(name);
  if (!match || match[1] !== hostMark(host)) return false;
  try {
    process.kill(Number(match[2]), 0);
    return false;
  } catch (error) {
    return isErrno(error, 'ESRCH');
  }
}

function hostMark(host: string): string {
  return createHash('sha256').update(host).digest('hex').slice(0, 8);
}
