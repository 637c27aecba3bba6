import { execFileSync } from 'node:child_process';
import { chownSync } from 'node:fs';

/** Who runs the servers of tests: as root the user `postgres`, since PostgreSQL refuses root; else whoever tests. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

let found: ServerUser | undefined;

function serverUser(): ServerUser {
  found ??= findUser();
  return found;
}

/** Gives a file or directory to the servers' user. */
export function giveToServer(path: string): void {
  const { uid, gid } = serverUser();
  if (process.getuid?.() === 0) chownSync(path, uid, gid);
}

/** Whom files have to be given to, where this process can. */
export function serverOwner(): ServerUser | undefined {
  return process.getuid?.() === 0 ? serverUser() : undefined;
}

function findUser(): ServerUser {
  if (process.getuid?.() !== 0) return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  try {
    const id = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
    return { uid: id('-u'), gid: id('-g') };
  } catch (error) {
    throw new Error('there is no user postgres to run servers as; sh scripts/setup.sh makes it', { cause: error });
  }
}
