import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { Storage } from '../storage/storage.ts';
import { decodePlainDocument, encodePlainDocument } from './document.ts';
import { fields, matching, text, type Check } from './json-shape.ts';
import { checkLockHolder, systemProcesses, type LockHolder, type ProcessTable } from './lock-holder.ts';

/*
 * A lock is an object that is there. It is created exclusively; it says who holds it; only its holder
 * deletes it. Where the holder is dead on this host, it is taken over:
 *
 *   1. create <folder>/takeovers/<token of the dead lock> exclusively: one taker wins;
 *   2. read the lock again: a taker that comes late finds another token, and begins anew;
 *   3. replace the lock by one's own, delete the takeover object.
 *
 * Only who has the takeover object of a token replaces the lock of that token, so no two succeed. A taker
 * that dies between 1 and 3 leaves the takeover object, which is taken over in the same way.
 */

export interface LockOptions {
  /** What for, in an administrator's words: "backup". */
  readonly purpose: string;
  readonly now: () => Date;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly processes?: ProcessTable;
}

interface LockDocument {
  /** Tells this lock from every other. */
  readonly token: string;
  readonly purpose: string;
  /** ISO 8601, UTC. */
  readonly since: string;
  readonly holder: LockHolder;
}

const checkLock: Check = fields({
  token: matching(/^[0-9a-f]{32}$/),
  purpose: text(256),
  since: text(64),
  holder: checkLockHolder,
});

/** Takers of takers of takers …: each of them died within milliseconds. */
const maxDepth = 8;
const maxBytes = 65_536;

/** Held until it is released; `await using` does that. */
export class RepositoryLock {
  readonly key: string;
  readonly #storage: Storage;
  readonly #token: string;
  #released = false;

  constructor(storage: Storage, key: string, token: string) {
    this.key = key;
    this.#storage = storage;
    this.#token = token;
  }

  /** Deletes the lock, if it is still this one. */
  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    const lock = await readLock(this.#storage, this.key);
    if (lock !== 'absent' && lock.token === this.#token) await this.#storage.delete(this.key);
  }

  /** Never fails: what was done under the lock is done, or has failed; one that stays is that of a dead process soon. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release().catch(() => undefined);
  }
}

/** Takes the lock `<folder>/<name>`. Throws `locked` with who holds it. */
export async function acquireLock(
  storage: Storage,
  folder: string,
  name: string,
  options: LockOptions,
): Promise<RepositoryLock> {
  const key = `${folder}/${name}`;
  const token = await acquire(storage, folder, key, options, 0);
  return new RepositoryLock(storage, key, token);
}

async function acquire(
  storage: Storage,
  folder: string,
  key: string,
  options: LockOptions,
  depth: number,
): Promise<string> {
  const processes = options.processes ?? systemProcesses;
  const lock: LockDocument = {
    token: Buffer.from(options.randomBytes(16)).toString('hex'),
    purpose: options.purpose,
    since: options.now().toISOString(),
    holder: processes.self(),
  };
  const bytes = encodePlainDocument(key, lock);
  for (;;) {
    try {
      await storage.put(key, bytes);
      return lock.token;
    } catch (error) {
      if (!hasCode(error, 'object-exists')) throw error;
    }
    const found = await readLock(storage, key);
    if (found === 'absent') continue;
    const state = processes.stateOf(found.holder);
    if (state !== 'dead' || depth === maxDepth) throw busy(storage, key, found, state === 'elsewhere');
    if (await takeOver(storage, folder, key, found, bytes, options, depth)) return lock.token;
  }
}

async function takeOver(
  storage: Storage,
  folder: string,
  key: string,
  dead: LockDocument,
  own: Uint8Array,
  options: LockOptions,
  depth: number,
): Promise<boolean> {
  const takeoverKey = `${folder}/takeovers/${dead.token}`;
  const token = await acquire(storage, folder, takeoverKey, options, depth + 1);
  await using _takeover = new RepositoryLock(storage, takeoverKey, token);
  const found = await readLock(storage, key);
  if (found === 'absent' || found.token !== dead.token) return false;
  await storage.put(key, own, { replace: true });
  return true;
}

async function readLock(storage: Storage, key: string): Promise<LockDocument | 'absent'> {
  try {
    return decodePlainDocument(await storage.get(key, maxBytes), key, checkLock) as LockDocument;
  } catch (error) {
    if (hasCode(error, 'object-missing')) return 'absent';
    throw error;
  }
}

function busy(storage: Storage, key: string, lock: LockDocument, elsewhere: boolean): PgrecallError {
  const { host, pid } = lock.holder;
  const { purpose, since } = lock;
  const where = elsewhere ? ` on the host "${host}"` : '';
  const hint = `from here it cannot be seen whether that process lives; where it is certain that it does not, delete "${key}" from ${storage.description}`;
  return new PgrecallError('locked', `${purpose} is running${where} as process ${pid} since ${since}`, {
    ...(elsewhere ? { hint } : {}),
    details: { key, host, pid, since, purpose },
  });
}
