import { constants } from 'node:fs';
import { dirname } from 'node:path';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import type { LocalFileSystem } from './local-file-system.ts';
import { LocalReader } from './local-reader.ts';
import { fromErrno, objectExists } from './storage-errors.ts';
import type { ObjectReader, ObjectWriter, PutOptions } from './storage.ts';

/** A temporary file that was just made, and what is to become of it. */
export interface Beginning extends PutOptions {
  readonly key: string;
  readonly path: string;
  readonly temporary: string;
  readonly descriptor: number;
}

/** Writes a temporary file, and gives it its name. */
export class LocalWriter implements ObjectWriter {
  readonly #fs: LocalFileSystem;
  readonly #key: string;
  readonly #path: string;
  readonly #temporary: string;
  readonly #replace: boolean;
  readonly #durable: boolean;
  #descriptor: number | undefined;
  #done = false;

  constructor(fs: LocalFileSystem, beginning: Beginning) {
    this.#fs = fs;
    this.#key = beginning.key;
    this.#path = beginning.path;
    this.#temporary = beginning.temporary;
    this.#descriptor = beginning.descriptor;
    this.#replace = beginning.replace === true;
    this.#durable = beginning.durable !== false;
  }

  write(bytes: Uint8Array): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) throw new PgrecallError('bug', `"${this.#key}" was written to after its end`);
    try {
      for (let done = 0; done < bytes.length;) done += this.#fs.writeSync(descriptor, bytes, done, bytes.length - done);
    } catch (error) {
      throw fromErrno(error, 'write', this.#path);
    }
  }

  async readBack(): Promise<ObjectReader> {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) throw new PgrecallError('bug', `"${this.#key}" was read back after its end`);
    const { size } = this.#fs.fstatSync(descriptor);
    return new LocalReader(this.#fs, this.#key, this.#path, descriptor, size, false);
  }

  async commit(): Promise<void> {
    this.commitNow();
  }

  commitNow(): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) throw new PgrecallError('bug', `"${this.#key}" was committed twice`);
    try {
      if (this.#durable) this.#fs.fdatasyncSync(descriptor);
      this.#descriptor = undefined;
      this.#fs.closeSync(descriptor);
      if (this.#replace) this.#fs.renameSync(this.#temporary, this.#path);
      else this.#link();
      this.#done = true;
      if (this.#durable) syncDirectory(this.#fs, dirname(this.#path));
    } catch (error) {
      throw fromErrno(error, 'write', this.#path);
    } finally {
      this.abandon();
    }
  }

  #link(): void {
    try {
      this.#fs.linkSync(this.#temporary, this.#path);
    } catch (error) {
      if (isErrno(error, 'EEXIST')) throw objectExists(this.#key);
      if (!isErrno(error, 'EPERM', 'ENOSYS', 'EOPNOTSUPP', 'ENOTSUP', 'EMLINK')) throw error;
      // A file system without hard links (SMB, FAT): look, then rename. Two writers of one key within
      // the same millisecond could both succeed there; keys of packs and WAL are unique by themselves.
      if (this.#fs.statSync(this.#path, { throwIfNoEntry: false })) throw objectExists(this.#key);
      this.#fs.renameSync(this.#temporary, this.#path);
      return;
    }
    this.#fs.unlinkSync(this.#temporary);
  }

  async abort(): Promise<void> {
    this.abandon();
  }

  /** Never throws: what it cannot remove is invisible, and `sweepTemporaries` comes for it. */
  abandon(): void {
    try {
      if (this.#descriptor !== undefined) this.#fs.closeSync(this.#descriptor);
    } catch {
      // Closing reports write errors that no longer matter.
    }
    this.#descriptor = undefined;
    if (this.#done) return;
    this.#done = true;
    try {
      this.#fs.unlinkSync(this.#temporary);
    } catch {
      // Invisible all the same.
    }
  }
}

/** Makes the names in a directory durable. */
export function syncDirectory(fs: LocalFileSystem, directory: string): void {
  const descriptor = fs.openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}
