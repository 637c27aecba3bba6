import { execFile } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { isErrno } from '../errors/pgrecall-error.ts';
import { writeError } from './file-restorer.ts';

/** Writes a file, makes it durable, then gives it its name: it is whole or not there. */
export function writeDurably(path: string, bytes: Uint8Array | string, mode = 0o600): void {
  const temporary = `${path}.pgrecall-tmp`;
  try {
    const descriptor = openSync(temporary, 'w', mode);
    try {
      writeFileSync(descriptor, bytes);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
    syncDirectory(dirname(path));
  } catch (error) {
    throw writeError(error, path);
  }
}

export function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Makes everything below the directories durable: one syncfs(2) for each file system through coreutils'
 * `sync -f`, which costs far less than an fsync for every file; where that program is missing, the fsyncs.
 */
export async function syncTrees(directories: readonly string[]): Promise<void> {
  try {
    await promisify(execFile)('sync', ['-f', ...directories]);
  } catch (error) {
    // Anything but a missing program may be a write that failed: then each file has to tell.
    if (!isErrno(error, 'ENOENT')) throw writeError(error, directories.join(', '));
    for (const directory of directories) syncTree(directory);
  }
}

function syncTree(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) syncTree(path);
    else if (entry.isFile()) syncDirectory(path);
  }
  syncDirectory(directory);
}

/** Appends text to a file as it is being produced; durable only with `syncTrees`. */
export class TextFile {
  readonly #descriptor: number;
  #pending: string[] = [];
  #length = 0;

  constructor(path: string) {
    this.#descriptor = openSync(path, 'wx', 0o600);
  }

  write(text: string): void {
    this.#pending.push(text);
    this.#length += text.length;
    if (this.#length > 65_536) this.#flush();
  }

  #flush(): void {
    writeFileSync(this.#descriptor, this.#pending.join(''));
    this.#pending = [];
    this.#length = 0;
  }

  close(): void {
    this.#flush();
    closeSync(this.#descriptor);
  }
}
