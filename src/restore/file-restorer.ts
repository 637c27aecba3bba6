import { closeSync, constants, fchmodSync, fchownSync, ftruncateSync, futimesSync, openSync, writeSync } from 'node:fs';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { ExtentReader } from '../repository/extent-reader.ts';
import { fileSystemPath } from '../repository/path-text.ts';
import { inBlobOrder } from './extent-order.ts';
import type { FileAttributes, RestoreBatch, RestoredBatch, RestoreItem } from './restore-items.ts';
import { writing } from './write-error.ts';

/** The hot path of a restore, in one thread: read a run of blobs, check and open each, write by position. */
export class FileRestorer {
  readonly #reader: ExtentReader;

  constructor(cluster: ClusterRepository) {
    this.#reader = new ExtentReader(cluster);
  }

  /** Throws what `ExtentReader` throws, `disk-full`, `io`. */
  async handle({ items }: RestoreBatch): Promise<RestoredBatch> {
    let writtenBytes = 0;
    for (const item of items) writtenBytes += await this.#restore(item);
    return { writtenBytes };
  }

  async #restore({ absolutePath, attributes, extents, emptyBytes }: RestoreItem): Promise<number> {
    const descriptor = openToWrite(absolutePath);
    try {
      let written = 0;
      await this.#reader.read(inBlobOrder(extents), (bytes, extent) => {
        writeFully(descriptor, bytes, extent.fileOffset, absolutePath);
        written += bytes.length;
      });
      if (emptyBytes !== undefined) writing(absolutePath, () => ftruncateSync(descriptor, emptyBytes));
      if (attributes) setAttributes(descriptor, attributes, absolutePath);
      return written;
    } finally {
      closeSync(descriptor);
    }
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }
}

/** Sets owner, mode and time of a file whose pieces are all written. */
export function finishFile(absolutePath: string, attributes: FileAttributes): void {
  const descriptor = openToWrite(absolutePath);
  try {
    setAttributes(descriptor, attributes, absolutePath);
  } finally {
    closeSync(descriptor);
  }
}

function openToWrite(path: string): number {
  // Pieces of one file are written by several threads: whoever comes first creates it. A link in its place
  // is never followed.
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW;
  return writing(path, () => openSync(fileSystemPath(path), flags, 0o600));
}

function setAttributes(descriptor: number, { mode, modifiedMs, owner }: FileAttributes, path: string): void {
  writing(path, () => {
    if (owner) fchownSync(descriptor, owner.uid, owner.gid);
    // No file of PostgreSQL's runs as someone else; one that a manifest says does must not come to be.
    if (mode !== 0o600) fchmodSync(descriptor, mode & 0o777);
    futimesSync(descriptor, modifiedMs / 1000, modifiedMs / 1000);
  });
}

function writeFully(descriptor: number, bytes: Uint8Array, position: number, path: string): void {
  writing(path, () => {
    for (let done = 0; done < bytes.length;) {
      done += writeSync(descriptor, bytes, done, bytes.length - done, position + done);
    }
  });
}
