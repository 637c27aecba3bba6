import { closeSync, constants, fchmodSync, fchownSync, ftruncateSync, futimesSync, openSync, writeSync } from 'node:fs';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { ExtentReader } from '../repository/extent-reader.ts';
import type { Extent } from '../repository/file-map.ts';
import { fileSystemPath } from '../repository/path-text.ts';
import { inBlobOrder, partsWithin } from './extent-order.ts';
import { FileComparer } from './file-comparer.ts';
import type { ComparedPart, FileAttributes, RestoreBatch, RestoredBatch, RestoreItem } from './restore-items.ts';
import { writeError, writing } from './write-error.ts';

/**
 * The hot path of a restore, in one thread: read a run of blobs, check and open each, write by position. Of a file that
 * is there, only what differs.
 */
export class FileRestorer {
  readonly #cluster: ClusterRepository;
  readonly #reader: ExtentReader;
  #comparer: FileComparer | undefined;

  constructor(cluster: ClusterRepository) {
    this.#cluster = cluster;
    this.#reader = new ExtentReader(cluster);
  }

  /** Throws what `ExtentReader` throws, `disk-full`, `io`. */
  async handle({ items }: RestoreBatch): Promise<RestoredBatch> {
    let [newBytes, comparedBytes, changedBytes] = [0, 0, 0];
    const sums = items.some(({ compared }) => compared) ? await this.#compare().expectedSums(items) : undefined;
    for (const item of items) {
      if (item.compared) {
        comparedBytes += item.compared.range.end - item.compared.range.start;
        changedBytes += await this.#bring(item, item.compared, sums?.get(item));
      } else {
        newBytes += await this.#restore(item);
      }
    }
    return { newBytes, comparedBytes, changedBytes };
  }

  #compare(): FileComparer {
    return (this.#comparer ??= new FileComparer(this.#cluster, this.#reader));
  }

  async #restore(item: RestoreItem): Promise<number> {
    // Pieces of one file are written by several threads: whoever comes first creates it.
    const descriptor = openFile(item.absolutePath, constants.O_WRONLY | constants.O_CREAT);
    try {
      const written = await this.#write(descriptor, item.extents, item.absolutePath);
      finish(descriptor, item, true);
      return written;
    } finally {
      closeSync(descriptor);
    }
  }

  async #bring(item: RestoreItem, compared: ComparedPart, expected: Uint8Array | undefined): Promise<number> {
    const { absolutePath } = item;
    const descriptor = openFile(absolutePath, compared.only ? constants.O_RDONLY : constants.O_RDWR);
    try {
      const ranges = this.#compare().differing(descriptor, compared, expected, absolutePath);
      const parts = partsWithin(item.extents, ranges);
      if (compared.only) return parts.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
      const written = await this.#write(descriptor, parts, absolutePath);
      const changed = written > 0 || item.lengthBytes !== undefined;
      finish(descriptor, item, changed || !compared.hasAttributes);
      return written;
    } finally {
      closeSync(descriptor);
    }
  }

  async #write(descriptor: number, extents: readonly Extent[], path: string): Promise<number> {
    let written = 0;
    try {
      await this.#reader.read(inBlobOrder(extents), (bytes, { fileOffset }) => {
        writeFully(descriptor, bytes, fileOffset);
        written += bytes.length;
      });
    } catch (error) {
      throw writeError(error, path);
    }
    return written;
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }
}

/** Cuts a file whose pieces are all written, and sets its owner, mode and time. */
export function finishFile(item: Omit<RestoreItem, 'extents'>): void {
  const descriptor = openFile(item.absolutePath, constants.O_WRONLY);
  try {
    finish(descriptor, item, true);
  } finally {
    closeSync(descriptor);
  }
}

/** A link in the place of a file is never followed. */
function openFile(path: string, flags: number): number {
  return writing(path, () => openSync(fileSystemPath(path), flags | constants.O_NOFOLLOW, 0o600));
}

function finish(descriptor: number, item: Omit<RestoreItem, 'extents'>, withAttributes: boolean): void {
  const { absolutePath, attributes, lengthBytes } = item;
  if (lengthBytes !== undefined) writing(absolutePath, () => ftruncateSync(descriptor, lengthBytes));
  if (attributes && withAttributes) setAttributes(descriptor, attributes, absolutePath);
}

function setAttributes(descriptor: number, { mode, modifiedMs, owner }: FileAttributes, path: string): void {
  writing(path, () => {
    if (owner) fchownSync(descriptor, owner.uid, owner.gid);
    // No file of PostgreSQL's runs as someone else; one that a manifest says does must not come to be.
    fchmodSync(descriptor, mode & 0o777);
    futimesSync(descriptor, modifiedMs / 1000, modifiedMs / 1000);
  });
}

/** Called a hundred thousand times for each gigabyte of an increment. */
function writeFully(descriptor: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(descriptor, bytes, done, bytes.length - done, position + done);
  }
}
