import { rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { acquireLock, type LockOptions } from '../repository/lock.ts';
import { openStorage } from '../storage/open-storage.ts';

/** Directly below a data directory that is being restored in place. */
export const lockFolder = 'pgrecall.lock';

/** Only one restore at a time writes over a directory. Throws `locked`; a lock whose process died is taken over. */
export async function lockDirectory(directory: string, options: LockOptions): Promise<AsyncDisposable> {
  const lock = await acquireLock(openStorage({ kind: 'local', directory }), lockFolder, 'restore', options);
  return {
    [Symbol.asyncDispose]: async () => {
      await lock.release();
      for (const folder of [join(lockFolder, 'takeovers'), lockFolder]) removeEmpty(join(directory, folder));
    },
  };
}

function removeEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // It is not there, or somebody else's lock is in it by now.
  }
}
