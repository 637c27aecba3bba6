import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * Where file systems are mounted, as /proc/self/mountinfo has it (proc_pid_mountinfo(5)): the fifth word of each line, in which
 * blank, tab, newline and backslash are octal numbers.
 */

export function parseMounts(text: string): readonly string[] {
  return text.split('\n').flatMap((line) => {
    const path = line.split(' ')[4];
    if (path === undefined) return [];
    return [path.replaceAll(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))];
  });
}

function readMounts(): readonly string[] {
  try {
    return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  } catch {
    return [];
  }
}

/** One of the same file system (bind) as well. */
export function isMountPoint(directory: string): boolean {
  return statSync(directory).dev !== statSync(dirname(directory)).dev || readMounts().includes(directory);
}

/**
 * What is mounted within a directory goes with it by its new name, and is mounted by the old one when the machine starts again: into what
 * is restored there, which an undo removes. Throws `keep-failed`.
 */
export function refuseMountsWithin(directories: readonly string[], mounts: readonly string[] = readMounts()): void {
  const found = mounts.find((mount) => directories.some((directory) => mount.startsWith(`${directory}/`)));
  if (found === undefined) return;
  throw new PgrecallError('keep-failed', `a file system is mounted at "${found}", within what has to be kept aside`, {
    hint: 'mount it elsewhere, and let a link lead there (pg_wal, a tablespace); nothing was stopped or moved',
    details: { mount: found },
  });
}
