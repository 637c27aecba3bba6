import { closeSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../errors/pgrecall-error.ts';

/**
 * A segment of pg_wal, or another file there; `undefined` where it is not there. The server renames old segments and
 * writes over them: only if the name still leads to what was read, it was not written over.
 */
export function readLocalWal(dataDirectory: string, name: string): Uint8Array | undefined {
  const path = join(dataDirectory, 'pg_wal', name);
  try {
    const descriptor = openSync(path, 'r');
    try {
      const bytes = readFileSync(descriptor);
      const read = fstatSync(descriptor);
      const now = statSync(path);
      return read.ino === now.ino && read.dev === now.dev ? bytes : undefined;
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EACCES')) return undefined;
    throw error;
  }
}
