import { closeSync, constants, fchmodSync, fchownSync, futimesSync, openSync, writeSync } from 'node:fs';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { ExtentReader } from './extent-reader.ts';
import type { RestoreItem } from './restore-items.ts';

/** The hot path of a restore, in one thread: read a run of blobs, check and open each, write by position. */
export class FileRestorer {
  readonly #reader: ExtentReader;

  constructor(cluster: ClusterRepository) {
    this.#reader = new ExtentReader(cluster);
  }

  /** Bytes written. Throws what `ExtentReader` throws, `disk-full`, `io`. */
  async restore(item: RestoreItem): Promise<number> {
    const descriptor = openToWrite(item);
    try {
      let written = 0;
      await this.#reader.read(item.extents, (bytes, extent) => {
        writeFully(descriptor, bytes, extent.fileOffset, item.absolutePath);
        written += bytes.length;
      });
      finishFile(item, descriptor);
      return written;
    } finally {
      closeSync(descriptor);
    }
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }
}

function openToWrite(item: RestoreItem): number {
  try {
    // Pieces of one file are written by several threads: whoever comes first creates it. A link in its place
    // is never followed.
    return openSync(item.absolutePath, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    throw writeError(error, item.absolutePath);
  }
}

function finishFile(item: RestoreItem, descriptor: number): void {
  if (item.owner) fchownSync(descriptor, item.owner.uid, item.owner.gid);
  if (item.mode !== 0o600) fchmodSync(descriptor, item.mode);
  if (item.modifiedMs !== undefined) futimesSync(descriptor, item.modifiedMs / 1000, item.modifiedMs / 1000);
}

function writeFully(descriptor: number, bytes: Uint8Array, position: number, path: string): void {
  let done = 0;
  try {
    while (done < bytes.length) {
      done += writeSync(descriptor, bytes, done, bytes.length - done, position + done);
    }
  } catch (error) {
    throw writeError(error, path);
  }
}

export function writeError(error: unknown, path: string): PgrecallError {
  if (isErrno(error, 'ENOSPC', 'EDQUOT')) {
    return new PgrecallError('disk-full', `no space left while writing "${path}"`, {
      hint: 'free space, or restore to a larger disk; the repository has not been touched',
      cause: error,
    });
  }
  return new PgrecallError('io', `cannot write "${path}"`, { cause: error });
}
