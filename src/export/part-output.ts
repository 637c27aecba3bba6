import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { PgrecallError, assert, isErrno } from '../errors/pgrecall-error.ts';
import type { ByteOutput } from './byte-output.ts';

/** Does one thing of the file system, as whoever the files are to belong to. */
export type Acting = <T>(act: () => T) => T;

export interface PartOutputOptions {
  readonly path: string;
  /** Parts of so many bytes, `path.000`, `path.001`, …, which `cat` joins; one file of the name itself without it. */
  readonly split?: { readonly partBytes: number; readonly digits: number } | undefined;
  readonly acting: Acting;
}

const smallestDigits = 3;

/** Digits for the numbers of the parts: as many for the first as for the last, so that names sort as numbers do. */
export function digitsFor(mostBytes: number, partBytes: number): number {
  // What cannot be compressed grows a little.
  const parts = Math.ceil((mostBytes * 1.01 + 65_536) / partBytes);
  return Math.max(smallestDigits, String(parts).length);
}

interface Part {
  readonly path: string;
  readonly partial: string;
}

/**
 * A file, or numbered parts of one, under names of their own until all is written and durable. The first part gets its name
 * last: parts without it are not complete.
 */
export class PartOutput implements ByteOutput {
  readonly #options: PartOutputOptions;
  readonly #parts: Part[] = [];
  #descriptor: number | undefined;
  /** Of the part that is open. */
  #left = 0;
  #named = 0;
  sizeBytes = 0;

  /** Throws `target-not-empty` where such a file is there, `disk-full`, `io`. */
  constructor(options: PartOutputOptions) {
    this.#options = options;
    this.#open();
  }

  /** By their names. */
  get paths(): readonly string[] {
    return this.#parts.map(({ path }) => path);
  }

  #open(): void {
    const { path: whole, split, acting } = this.#options;
    const path = split ? `${whole}.${String(this.#parts.length).padStart(split.digits, '0')}` : whole;
    const partial = `${path}.partial`;
    if (acting(() => existsSync(path))) throw inTheWay(path);
    this.#descriptor = writingExport(path, () => {
      try {
        return acting(() => openSync(partial, 'wx', 0o600));
      } catch (error) {
        if (isErrno(error, 'EEXIST')) throw inTheWay(partial, 'an export that was interrupted has left it: remove it');
        throw error;
      }
    });
    this.#parts.push({ path, partial });
    this.#left = split?.partBytes ?? Number.POSITIVE_INFINITY;
  }

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#left === 0) {
        this.#close();
        this.#open();
      }
      const part = bytes.subarray(at, at + this.#left);
      this.#writeAll(part);
      this.#left -= part.length;
      at += part.length;
    }
    this.sizeBytes += bytes.length;
  }

  #writeAll(bytes: Uint8Array): void {
    const descriptor = this.#descriptor;
    assert(descriptor !== undefined, `"${this.#options.path}" is closed`);
    writingExport(this.#options.path, () => {
      for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done);
    });
  }

  /** Makes the open part durable. */
  #close(): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) return;
    writingExport(this.#options.path, () => fsyncSync(descriptor));
    this.#descriptor = undefined;
    closeSync(descriptor);
  }

  /** The directory is for the caller to make durable. */
  async finish(): Promise<void> {
    this.#close();
    for (const { path, partial } of this.#parts.toReversed()) {
      writingExport(path, () => this.#options.acting(() => renameSync(partial, path)));
      this.#named += 1;
    }
  }

  async abort(): Promise<void> {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
    for (const [i, { path, partial }] of this.#parts.toReversed().entries()) {
      this.#options.acting(() => rmSync(i < this.#named ? path : partial, { force: true }));
    }
    this.#parts.length = 0;
  }
}

/** Does one thing of the file system. Throws `disk-full`, `io`; an error of ours stays as it is. */
export function writingExport<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof PgrecallError) throw error;
    if (!isErrno(error, 'ENOSPC', 'EDQUOT')) {
      throw new PgrecallError('io', `cannot write "${path}"`, { details: { path }, cause: error });
    }
    throw new PgrecallError('disk-full', `no space left while writing "${path}"`, {
      hint: 'free space, or name another place; what was written is removed, and the dump in the repository is as it was',
      details: { path },
      cause: error,
    });
  }
}

function inTheWay(path: string, hint = 'name another one, or remove it'): PgrecallError {
  return new PgrecallError('target-not-empty', `"${path}" is there already`, { hint, details: { path } });
}
