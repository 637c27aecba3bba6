import { openSync, readSync } from 'node:fs';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { fileSystemPath } from '../repository/path-text.ts';

/** `undefined` where the file is gone. */
export function openToRead(path: string): number | undefined {
  try {
    return openSync(fileSystemPath(path), 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    const hint = 'run pgrecall as the user that owns the data directory, or as root';
    throw new PgrecallError('data-directory', `cannot open "${path}"`, {
      ...(isErrno(error, 'EACCES', 'EPERM') ? { hint } : {}),
      cause: error,
    });
  }
}

/** Reads to `at` of `into`; gives fewer bytes than `lengthBytes` only where the file ends. */
export function readFully(
  descriptor: number,
  into: Uint8Array,
  at: number,
  lengthBytes: number,
  position: number,
  path: string,
): number {
  let done = 0;
  try {
    while (done < lengthBytes) {
      const length = readSync(descriptor, into, at + done, lengthBytes - done, position + done);
      if (length === 0) break;
      done += length;
    }
  } catch (error) {
    throw new PgrecallError('data-directory', `cannot read "${path}" at byte ${position + done}`, {
      hint: 'look for disk errors in the kernel’s log; a backup that leaves bytes out would not be one',
      cause: error,
    });
  }
  return done;
}
