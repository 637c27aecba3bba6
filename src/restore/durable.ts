import { execFile } from 'node:child_process';
import { chownSync, closeSync, fchownSync, fsyncSync, openSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { writeError, writing } from './write-error.ts';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Writes a file, makes it durable, then gives it its name: it is whole or not there. Throws `disk-full`, `io`. */
export function writeDurably(
  path: string,
  bytes: Uint8Array | string,
  options: { readonly mode?: number; readonly owner?: Owner | undefined } = {},
): void {
  const temporary = `${path}.pgrecall-tmp`;
  writing(path, () => {
    const descriptor = openSync(temporary, 'w', options.mode ?? 0o600);
    try {
      writeFileSync(descriptor, bytes);
      if (options.owner) fchownSync(descriptor, options.owner.uid, options.owner.gid);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  });
  syncDirectory(dirname(path));
}

export function syncDirectory(path: string): void {
  writing(path, () => {
    const descriptor = openSync(path, 'r');
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  });
}

/** As root, to whoever owns the rest. */
export function giveTo(owner: Owner | undefined, paths: readonly string[]): void {
  if (!owner) return;
  for (const path of paths) writing(path, () => chownSync(path, owner.uid, owner.gid));
}

/**
 * Makes everything below the directories durable, and their own names: one syncfs(2) for each file system through
 * coreutils' `sync -f`, which costs far less than an fsync for every file; where that program is missing, the fsyncs.
 * Throws `disk-full` (some file systems find out only now), `io`.
 */
export async function syncTrees(directories: readonly string[]): Promise<void> {
  try {
    await promisify(execFile)('sync', ['-f', ...directories], { env: { ...process.env, LC_ALL: 'C' } });
  } catch (error) {
    // Anything but a missing program may be a write that failed: then each file has to tell.
    if (!isErrno(error, 'ENOENT')) throw syncError(error, directories.join(', '));
    for (const directory of directories) {
      syncTree(Buffer.from(directory));
      syncParent(directory);
    }
  }
}

function syncError(error: unknown, path: string): PgrecallError {
  const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
  if (!/No space left|quota exceeded/i.test(stderr)) return writeError(error, path);
  return new PgrecallError('disk-full', `no space left while making "${path}" durable`, { cause: error });
}

/** Names as bytes: a data directory may have some that are no text. */
function syncTree(directory: Buffer): void {
  for (const entry of readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })) {
    const path = Buffer.concat([directory, Buffer.from('/'), entry.name]);
    if (entry.isDirectory()) syncTree(path);
    else if (entry.isFile()) syncOne(path);
  }
  syncOne(directory);
}

/** Of someone else it may be closed to us; its file system then decides when the name is durable. */
function syncParent(directory: string): void {
  try {
    syncDirectory(dirname(directory));
  } catch (error) {
    if (!(error instanceof PgrecallError && isErrno(error.cause, 'EACCES', 'EPERM'))) throw error;
  }
}

function syncOne(path: Buffer): void {
  writing(path.toString(), () => {
    const descriptor = openSync(path, 'r');
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  });
}

/** Appends text to a file as it is being produced; durable only with `syncTrees`. Throws `disk-full`, `io`. */
export class TextFile {
  readonly #path: string;
  #descriptor: number | undefined;
  #pending: string[] = [];
  #length = 0;

  constructor(path: string) {
    this.#path = path;
    this.#descriptor = writing(path, () => openSync(path, 'wx', 0o600));
  }

  write(text: string): void {
    this.#pending.push(text);
    this.#length += text.length;
    if (this.#length > 65_536) this.#flush();
  }

  #flush(): void {
    const descriptor = this.#descriptor;
    if (descriptor !== undefined) writing(this.#path, () => writeFileSync(descriptor, this.#pending.join('')));
    this.#pending = [];
    this.#length = 0;
  }

  finish(): void {
    this.#flush();
    this.#close();
  }

  #close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  /** After a failure, too. */
  [Symbol.dispose](): void {
    this.#close();
  }
}
