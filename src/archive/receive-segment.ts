import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  readdirSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { isErrno, PgrecallError } from '../errors/pgrecall-error.ts';
import { isPartialName, isSegmentName } from '../postgres/segment-name.ts';
import { usedBytes } from './partial-segment.ts';

/*
 * The WAL segments that are being received, as files of this host:
 *
 *   <directory>/<segment>.partial   being written; what it holds beyond the received WAL is zeros
 *   <directory>/<segment>           whole and durable; on its way into the repository
 *
 * What the server was told is flushed is in one of them, synced, or in the repository.
 */

/** File space is claimed in such steps, so that a sync has no file size to write but the bytes only. */
const allocationBytes = 16 * 1024 * 1024;

/** WAL that comes in such pieces comes faster than commits wait for it: claiming space would write everything twice. */
const largeBytes = 64 * 1024;

/** A segment in the middle of being received. Everything here is synchronous: each step must be over before the next. */
export class ReceivingSegment {
  readonly name: string;
  readonly path: string;
  readonly #directory: string;
  readonly #sizeBytes: number;
  readonly #descriptor: number;
  /** Up to where the file may hold bytes of an earlier run, which must be the same as what comes now. */
  readonly #inheritedBytes: number;
  /** How much of that is not zeros: what may have been acknowledged. */
  readonly #inheritedUsedBytes: number;
  #allocatedBytes: number;
  #receivedBytes = 0;
  #unsynced = false;

  /** Opens what an earlier run has left of it, or makes it. Throws `io`, `disk-full`. */
  constructor(directory: string, name: string, sizeBytes: number) {
    this.name = name;
    this.#directory = directory;
    this.#sizeBytes = sizeBytes;
    this.path = join(directory, `${name}.partial`);
    this.#descriptor = openSync(this.path, constants.O_RDWR | constants.O_CREAT, 0o600);
    this.#inheritedBytes = Math.min(fstatSync(this.#descriptor).size, sizeBytes);
    this.#inheritedUsedBytes = usedBytesOf(this.#descriptor, this.#inheritedBytes);
    this.#allocatedBytes = this.#inheritedBytes;
    syncDirectory(directory);
  }

  /** From the beginning of the segment; the server may be told of it after `sync` only. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** How much of the file is worth keeping: what was received, now or by an earlier run that got further. */
  get worthBytes(): number {
    return Math.max(this.#receivedBytes, this.#inheritedUsedBytes);
  }

  get whole(): boolean {
    return this.#receivedBytes === this.#sizeBytes;
  }

  /**
   * Appends as much of `bytes` as belongs to this segment and says how much that was. Throws
   * `wal-other-content` where an earlier run received something else at the same place.
   */
  append(bytes: Uint8Array): number {
    const taken = bytes.subarray(0, this.#sizeBytes - this.#receivedBytes);
    if (this.#receivedBytes < this.#inheritedBytes) this.#compare(taken);
    if (taken.length < largeBytes) this.#allocate(this.#receivedBytes + taken.length);
    writeAll(this.#descriptor, taken, this.#receivedBytes);
    this.#receivedBytes += taken.length;
    this.#allocatedBytes = Math.max(this.#allocatedBytes, this.#receivedBytes);
    if (taken.length > 0) this.#unsynced = true;
    return taken.length;
  }

  /** Returns when everything appended survives a power cut of this host. */
  sync(): void {
    if (!this.#unsynced) return;
    fdatasyncSync(this.#descriptor);
    this.#unsynced = false;
  }

  /** Ends a whole segment: from now on it is `<segment>`, waiting to be stored. Returns its path. */
  complete(): string {
    this.sync();
    closeSync(this.#descriptor);
    const path = join(this.#directory, this.name);
    renameSync(this.path, path);
    syncDirectory(this.#directory);
    return path;
  }

  /** Leaves it as it is, synced. */
  close(): void {
    try {
      this.sync();
    } finally {
      closeSync(this.#descriptor);
    }
  }

  #allocate(neededBytes: number): void {
    while (this.#allocatedBytes < neededBytes) {
      const step = Math.min(allocationBytes, this.#sizeBytes - this.#allocatedBytes);
      writeAll(this.#descriptor, new Uint8Array(step), this.#allocatedBytes);
      this.#allocatedBytes += step;
    }
  }

  /**
   * Bytes of an earlier run are the same or were never written. A server never sends WAL that it has not
   * flushed, so that not even its crash may change what it has once sent.
   */
  #compare(bytes: Uint8Array): void {
    const length = Math.min(bytes.length, this.#inheritedBytes - this.#receivedBytes);
    const before = Buffer.alloc(length);
    readSync(this.#descriptor, before, 0, length, this.#receivedBytes);
    if (before.equals(bytes.subarray(0, length))) return;
    for (const [index, byte] of before.entries()) {
      if (byte === 0 || byte === bytes[index]) continue;
      throw new PgrecallError(
        'wal-other-content',
        `the server sends other WAL for segment ${this.name} than it sent before, from byte ${this.#receivedBytes + index} on`,
        {
          hint: `what it sent before is kept as ${this.path}: find out which is right, and move the file away to go on`,
          details: { segment: this.name, offset: this.#receivedBytes + index, path: this.path },
        },
      );
    }
  }
}

/** What earlier runs have left behind. */
export interface LeftBehind {
  /** Names of whole segments, in order. */
  readonly whole: readonly string[];
  /** Names of segments begun, without `.partial`, in order. */
  readonly begun: readonly string[];
}

/** Reads the directory, and makes it where it is absent. */
export function readLeftBehind(directory: string): LeftBehind {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const names = readdirSync(directory).toSorted();
  return {
    whole: names.filter((name) => isSegmentName(name)),
    begun: names.filter((name) => isPartialName(name)).map((name) => name.slice(0, -'.partial'.length)),
  };
}

export function partialPath(directory: string, name: string): string {
  return join(directory, `${name}.partial`);
}

/** Forgets a file that is stored elsewhere; one that is not there is no error. Durable on return. */
export function removeReceived(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  syncDirectory(join(path, '..'));
}

/** Up to where the first `sizeBytes` of a file hold anything but zeros. */
function usedBytesOf(descriptor: number, sizeBytes: number): number {
  const window = new Uint8Array(1024 * 1024);
  for (let end = sizeBytes; end > 0;) {
    const start = Math.max(0, end - window.length);
    const length = readSync(descriptor, window, 0, end - start, start);
    const used = usedBytes(window.subarray(0, length));
    if (used > 0) return start + used;
    end = start;
  }
  return 0;
}

function writeAll(descriptor: number, bytes: Uint8Array, position: number): void {
  let written = 0;
  try {
    while (written < bytes.length) {
      written += writeSync(descriptor, bytes, written, bytes.length - written, position + written);
    }
  } catch (error) {
    if (isErrno(error, 'ENOSPC', 'EDQUOT')) {
      throw new PgrecallError('disk-full', 'no space left for the WAL being received', { cause: error });
    }
    throw error;
  }
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
