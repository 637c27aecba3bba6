import { closeSync, openSync, readSync } from 'node:fs';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import type { Lsn } from '../postgres/lsn.ts';
import type { PageKernel } from '../postgres/page-kernel.ts';
import { pageBytes } from '../postgres/page.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { BlobLocation, PackId } from '../repository/pack-id.ts';
import type { PackWriter } from '../repository/pack-writer.ts';
import { fileSystemPath } from '../repository/path-text.ts';
import { chunkBytes, type CopiedItem, type CopyItem, type CopyResult, type CopyTask } from './copy-items.ts';

/** A pack is finished when it has this much, so that a sweep can drop and repack in moderate pieces. */
const packBytes = 1_073_741_824;

interface GrowingRun {
  readonly pack: PackId;
  readonly offset: number;
  readonly storedBytes: number[];
  lengthBytes: number;
  endOffset: number;
}

/**
 * The hot path of a backup, in one thread: read into the kernel's memory, verify page checksums there,
 * take the CRC-32C that backup_manifest wants, seal, append to this thread's own pack.
 */
export class FileCopier {
  readonly #cluster: ClusterRepository;
  readonly #kernel: PageKernel;
  readonly #startLsn: Lsn;
  #pack: PackWriter | undefined;
  readonly #packs: { id: PackId; sizeBytes: number }[] = [];

  /** Pages at or after `startLsn` are not verified: they may be half written, and WAL replaces them. */
  constructor(cluster: ClusterRepository, kernel: PageKernel, startLsn: Lsn) {
    this.#cluster = cluster;
    this.#kernel = kernel;
    this.#startLsn = startLsn;
  }

  async handle(task: CopyTask): Promise<CopyResult> {
    if ('finish' in task) {
      await this.#finishPack();
      return { items: [], packs: this.#packs };
    }
    if ('discard' in task) {
      await this.#discard();
      return { items: [], packs: [] };
    }
    const items: CopiedItem[] = [];
    for (const item of task.items) items.push(await this.#copy(item));
    return { items, packs: [] };
  }

  /** A backup that failed for want of space must not keep the space. */
  async #discard(): Promise<void> {
    await this.abort();
    for (const { id } of this.#packs.splice(0)) await this.#cluster.deletePack(id);
  }

  /** Forgets the pack that is open. */
  async abort(): Promise<void> {
    await this.#pack?.abort();
    this.#pack = undefined;
  }

  async #finishPack(): Promise<void> {
    const pack = this.#pack;
    if (!pack) return;
    this.#pack = undefined;
    await pack.finish();
    this.#packs.push({ id: pack.id, sizeBytes: pack.sizeBytes });
  }

  async #copy(item: CopyItem): Promise<CopiedItem> {
    const descriptor = openToRead(item.absolutePath);
    if (descriptor === undefined) return { lengthBytes: 0, vanished: true, crc32c: 0, runs: [], badBlocks: [] };
    try {
      return await this.#copyOpen(item, descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  async #copyOpen(item: CopyItem, descriptor: number): Promise<CopiedItem> {
    const runs: GrowingRun[] = [];
    const badBlocks: number[] = [];
    let crc32c = 0;
    let done = 0;
    while (item.toEnd || done < item.lengthBytes) {
      const wanted = item.toEnd ? chunkBytes : Math.min(chunkBytes, item.lengthBytes - done);
      const length = readFully(descriptor, this.#kernel.buffer, wanted, item.offset + done, item.absolutePath);
      if (length === 0) break;
      if (item.firstBlock !== undefined) {
        badBlocks.push(...this.#verify(item, descriptor, done, length, item.firstBlock));
      }
      crc32c = this.#kernel.crc32c(0, length, crc32c);
      const pack = (this.#pack ??= await this.#cluster.createPack());
      const appended = pack.append(this.#kernel.buffer.subarray(0, length));
      noteBlob(runs, pack.id, appended instanceof Promise ? await appended : appended);
      if (pack.sizeBytes >= packBytes) await this.#finishPack();
      done += length;
      if (length < wanted) break;
    }
    return {
      lengthBytes: done,
      vanished: false,
      crc32c,
      runs: runs.map(({ pack, offset, storedBytes, lengthBytes }) => ({ pack, offset, storedBytes, lengthBytes })),
      badBlocks,
    };
  }

  /** Numbers of the blocks that are wrong even after a second read; a page read better is put in place. */
  #verify(item: CopyItem, descriptor: number, done: number, length: number, firstBlock: number): number[] {
    const pages = Math.floor(length / pageBytes);
    const first = firstBlock + done / pageBytes;
    const suspects = this.#kernel.verifyPages(0, pages, first, this.#startLsn);
    return suspects.filter((page) => this.#isBad(item, descriptor, done, page, first)).map((page) => first + page);
  }

  #isBad(item: CopyItem, descriptor: number, done: number, page: number, first: number): boolean {
    // Torn by a write going on right now, most likely; the second read finds it whole.
    const at = page * pageBytes;
    const again = this.#kernel.buffer.subarray(at, at + pageBytes);
    const length = readFully(descriptor, again, pageBytes, item.offset + done + at, item.absolutePath);
    // Cut off meanwhile: WAL says so, too.
    if (length < pageBytes) return false;
    return this.#kernel.verifyPages(at, 1, first + page, this.#startLsn).length > 0;
  }
}

function noteBlob(runs: GrowingRun[], pack: PackId, { offset, storedBytes, plainBytes }: BlobLocation): void {
  const run = runs.at(-1);
  // Between two blobs of a pack there may be one of its indexes.
  if (run?.pack === pack && run.endOffset === offset) {
    run.storedBytes.push(storedBytes);
    run.lengthBytes += plainBytes;
    run.endOffset += storedBytes;
    return;
  }
  runs.push({ pack, offset, storedBytes: [storedBytes], lengthBytes: plainBytes, endOffset: offset + storedBytes });
}

function openToRead(path: string): number | undefined {
  try {
    return openSync(fileSystemPath(path), 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    const hint = 'run pgrecall as the user that owns the data directory, or as root';
    throw new PgrecallError('data-directory', `cannot open "${path}"`, {
      ...(isErrno(error, 'EACCES', 'EPERM') ? { hint } : {}),
      cause: error,
    });
  }
}

function readFully(descriptor: number, into: Uint8Array, lengthBytes: number, position: number, path: string): number {
  let done = 0;
  try {
    while (done < lengthBytes) {
      const length = readSync(descriptor, into, done, lengthBytes - done, position + done);
      if (length === 0) break;
      done += length;
    }
  } catch (error) {
    throw new PgrecallError('data-directory', `cannot read "${path}" at byte ${position + done}`, {
      hint: 'look for disk errors in the kernel’s log; a backup that leaves bytes out would not be one',
      cause: error,
    });
  }
  return done;
}
