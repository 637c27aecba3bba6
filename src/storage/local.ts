import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { isErrno } from '../errors/pgrecall-error.ts';
import { nodeFileSystem, type LocalFileSystem } from './local-file-system.ts';
import { LocalRoot } from './local-root.ts';
import { LocalReader } from './local-reader.ts';
import { LocalWriter, syncDirectory } from './local-writer.ts';
import { fromErrno, objectMissing, objectTooLarge } from './storage-errors.ts';
import { checkKey, checkPrefix, isKeySegment } from './storage-key.ts';
import type { ObjectReader, ObjectWriter, PutOptions, Storage, StorageEntry } from './storage.ts';
import { isTemporaryName, temporaryName, temporaryIsAbandoned } from './temporary-name.ts';

/**
 * Objects as files below one directory, a key being the path of its file.
 *
 * An object is written under a temporary name in its own directory, made durable (fdatasync), then
 * given its name by link(2), which never overwrites, or by rename(2) where it is to replace; then the
 * directory is made durable, so that the name survives a power cut as well. The temporary name holds
 * a `~`, which no key can: `list` cannot mistake one for an object. Directories are made durable from
 * the root down before anything is put into them, and removed when their last object is deleted.
 *
 * Every call of the file system is synchronous. A worker thread does one thing at a time, and
 * synchronous calls cost less there than the trip through the thread pool (docs/architecture.md).
 * Directories are 0700, files 0600: a backup holds everything that the database holds.
 */
export class LocalStorage implements Storage {
  readonly description: string;
  readonly #root: string;
  readonly #fs: LocalFileSystem;
  readonly #rootDirectory: LocalRoot;
  /** Directories whose names are known to be durable. */
  readonly #durable = new Set<string>();

  constructor(directory: string, fileSystem: LocalFileSystem = nodeFileSystem) {
    this.#root = directory;
    this.#fs = fileSystem;
    this.#rootDirectory = new LocalRoot(directory, fileSystem);
    this.description = `the directory ${directory}`;
  }

  async create(key: string, options: PutOptions = {}): Promise<ObjectWriter> {
    return this.#begin(key, options);
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    const writer = this.#begin(key, options);
    try {
      writer.write(bytes);
      writer.commitNow();
    } finally {
      writer.abandon();
    }
  }

  async get(key: string, limitBytes: number = Number.MAX_SAFE_INTEGER): Promise<Uint8Array> {
    const reader = this.#openReader(key);
    try {
      if (reader.sizeBytes > limitBytes) throw objectTooLarge(key, reader.sizeBytes, limitBytes);
      return reader.read(0, reader.sizeBytes);
    } finally {
      reader.closeNow();
    }
  }

  async open(key: string): Promise<ObjectReader> {
    return this.#openReader(key);
  }

  async stat(key: string): Promise<{ readonly sizeBytes: number } | undefined> {
    checkKey(key);
    const path = this.#path(key);
    try {
      const stat = this.#fs.statSync(path);
      return stat.isFile() ? { sizeBytes: stat.size } : undefined;
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw fromErrno(error, 'look at', path);
    }
  }

  async settle(key: string): Promise<void> {
    checkKey(key);
    const path = this.#path(key);
    try {
      // Its content was durable before it had a name; the name, and those of its directories, may not be.
      for (let directory = dirname(path); ; directory = dirname(directory)) {
        this.#syncDirectory(directory);
        if (directory === this.#root || this.#durable.has(directory)) break;
      }
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return;
      throw fromErrno(error, 'make durable', path);
    }
  }

  async *list(prefix: string): AsyncIterable<StorageEntry> {
    checkPrefix(prefix);
    this.#rootDirectory.note();
    // Not yield*, which takes each entry for a promise.
    for (const entry of this.#entries(this.#path(prefix))) yield entry;
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    const path = this.#path(key);
    try {
      this.#fs.unlinkSync(path);
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return;
      throw fromErrno(error, 'delete', path);
    }
    this.#removeEmptyDirectories(dirname(path));
  }

  /**
   * Removes what writers that died on this host left behind below `prefix`, with directories in which there is nothing else;
   * says how many files that were. Temporaries of writers that live, and those of other hosts, stay.
   */
  async sweepTemporaries(prefix = ''): Promise<number> {
    checkPrefix(prefix);
    return this.#sweep(this.#path(prefix));
  }

  #sweep(directory: string): number {
    let [removed, left] = [0, 0];
    for (const dirent of this.#readDirectory(directory)) {
      const path = join(directory, dirent.name);
      if (dirent.isDirectory()) {
        removed += this.#sweep(path);
      } else if (isTemporaryName(dirent.name) && temporaryIsAbandoned(dirent.name, hostname())) {
        this.#fs.unlinkSync(path);
        removed += 1;
      } else {
        left += 1;
      }
    }
    // It was made for what never came.
    if (left === 0) this.#removeEmptyDirectories(directory);
    return removed;
  }

  #path(key: string): string {
    return key === '' ? this.#root : join(this.#root, key);
  }

  #begin(key: string, options: PutOptions): LocalWriter {
    checkKey(key);
    const path = this.#path(key);
    const directory = dirname(path);
    const temporary = join(directory, temporaryName(hostname(), process.pid, randomBytes(8).toString('hex')));
    // Readable as well, for `readBack`.
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;
    try {
      this.#rootDirectory.check();
      for (let attempt = 1; ; attempt += 1) {
        try {
          this.#ensureDirectory(directory);
          const descriptor = this.#fs.openSync(temporary, flags, 0o600);
          return new LocalWriter(this.#fs, { key, path, temporary, descriptor, ...options });
        } catch (error) {
          // Someone deleted the last object of the directory, and the directory with it, just now.
          if (!isErrno(error, 'ENOENT') || attempt === 5) throw error;
          this.#durable.clear();
        }
      }
    } catch (error) {
      throw fromErrno(error, 'write', temporary);
    }
  }

  /** Makes the directory and those above it, each durable in its parent before the next is made. */
  #ensureDirectory(directory: string): void {
    if (this.#durable.has(directory)) return;
    if (directory === this.#root) {
      const made = this.#fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
      // `made` is the topmost directory that was missing: it and all below it are new names.
      if (made !== undefined) {
        for (let path = directory; ; path = dirname(path)) {
          this.#syncDirectory(dirname(path));
          if (path === made || path === dirname(path)) break;
        }
      }
    } else {
      const parent = dirname(directory);
      this.#ensureDirectory(parent);
      try {
        this.#fs.mkdirSync(directory, { mode: 0o700 });
      } catch (error) {
        if (!isErrno(error, 'EEXIST')) throw error;
      }
      // Even when another process made it: that one may not have come as far as this call.
      this.#syncDirectory(parent);
    }
    this.#durable.add(directory);
  }

  #syncDirectory(directory: string): void {
    syncDirectory(this.#fs, directory);
  }

  #removeEmptyDirectories(from: string): void {
    let directory = from;
    try {
      while (directory !== this.#root) {
        this.#fs.rmdirSync(directory);
        this.#durable.delete(directory);
        directory = dirname(directory);
      }
    } catch (error) {
      if (!isErrno(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT', 'ENOTDIR', 'EBUSY', 'EACCES', 'EPERM')) {
        throw fromErrno(error, 'delete', directory);
      }
    }
    try {
      this.#syncDirectory(directory);
    } catch (error) {
      // Gone already: whoever removed it takes the durability of that upon himself.
      if (!isErrno(error, 'ENOENT')) throw fromErrno(error, 'make durable', directory);
    }
  }

  #openReader(key: string): LocalReader {
    checkKey(key);
    const path = this.#path(key);
    let descriptor: number | undefined;
    try {
      this.#rootDirectory.note();
      descriptor = this.#fs.openSync(path, constants.O_RDONLY);
      const stat = this.#fs.fstatSync(descriptor);
      if (stat.isFile()) return new LocalReader(this.#fs, key, path, descriptor, stat.size);
    } catch (error) {
      if (descriptor !== undefined) this.#fs.closeSync(descriptor);
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) throw objectMissing(key, error);
      throw fromErrno(error, 'open', path);
    }
    this.#fs.closeSync(descriptor);
    throw objectMissing(key);
  }

  #entries(directory: string): StorageEntry[] {
    const entries: StorageEntry[] = [];
    for (const dirent of this.#readDirectory(directory)) {
      const { name } = dirent;
      if (!isKeySegment(name)) continue;
      let isDirectory = dirent.isDirectory();
      if (dirent.isSymbolicLink()) {
        // An administrator may have moved a folder to another disk.
        const stat = this.#fs.statSync(join(directory, name), { throwIfNoEntry: false });
        if (!stat) continue;
        isDirectory = stat.isDirectory();
      }
      entries.push({ name, kind: isDirectory ? 'folder' : 'object' });
    }
    return entries.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  #readDirectory(directory: string): ReturnType<typeof readEntries> {
    try {
      return readEntries(this.#fs, directory);
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
      throw fromErrno(error, 'list', directory);
    }
  }
}

function readEntries(fs: LocalFileSystem, directory: string) {
  return fs.readdirSync(directory, { withFileTypes: true });
}
