import type { ClusterRepository } from './cluster-repository.ts';
import { release } from './compression.ts';
import type { Extent } from './file-map.ts';
import type { BlobLocation, PackId } from './pack-id.ts';
import type { PackReader } from './pack-reader.ts';
import { isCompressed } from './sealed-format.ts';

/** How much of a pack is read at once where the blobs of a file follow each other. */
const readAheadBytes = 4_194_304;
/** Stored bytes between two blobs that are read along, which costs less than another read. */
const skippedBytes = 65_536;
/** Packs held open: a file of a full backup lies in one, of an incremental one in several. */
const openPacks = 64;

/**
 * Reads the plaintext of extents, in order, with as few reads of the storage as their packs allow. A blob that several
 * extents in a row are parts of is opened once.
 */
export class ExtentReader {
  readonly #cluster: ClusterRepository;
  readonly #givesBack: boolean;
  readonly #packs = new Map<PackId, PackReader>();

  /** `givesBack`: the memory of what was handed over is used again at once, instead of when it is collected. */
  constructor(cluster: ClusterRepository, options: { readonly givesBack?: boolean } = {}) {
    this.#cluster = cluster;
    this.#givesBack = options.givesBack === true;
  }

  /**
   * Hands each extent's bytes to `take`, which must not keep them.
   * Throws `blob-damaged`, `object-damaged`, `object-swapped`, `object-missing`.
   */
  async read(extents: readonly Extent[], take: (bytes: Uint8Array, extent: Extent) => void): Promise<void> {
    for (let i = 0; i < extents.length;) {
      const run = runFrom(extents, i);
      await this.#readRun(run, take);
      i += run.length;
    }
  }

  /**
   * The bytes of `atOnce` extents at a time, one piece after the other, all in the same memory: each is good until the next is
   * asked for. Throws as `read` does.
   */
  async *pieces(extents: readonly Extent[], atOnce: number): AsyncGenerator<Uint8Array> {
    // Pieces of their own would gather, until they are collected, where nothing slows the reading down.
    let held = Buffer.alloc(0);
    for (let i = 0; i < extents.length; i += atOnce) {
      const some = extents.slice(i, i + atOnce);
      const length = some.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
      if (held.length < length) held = Buffer.allocUnsafeSlow(length);
      let at = 0;
      await this.read(some, (bytes) => {
        held.set(bytes, at);
        at += bytes.length;
      });
      yield held.subarray(0, at);
    }
  }

  async close(): Promise<void> {
    for (const pack of this.#packs.values()) await pack.close();
    this.#packs.clear();
  }

  async #readRun(run: readonly Extent[], take: (bytes: Uint8Array, extent: Extent) => void): Promise<void> {
    const first = run[0];
    const last = run.at(-1);
    if (!first || !last) return;
    const pack = await this.#open(first.pack);
    await pack.prefetch(first.blob.offset, last.blob.offset + last.blob.storedBytes - first.blob.offset);
    let opened: { readonly blob: BlobLocation; readonly plain: Uint8Array } | undefined;
    for (const extent of run) {
      if (opened?.blob.offset !== extent.blob.offset) {
        this.#giveBack(opened);
        const read = pack.read(extent.blob);
        opened = { blob: extent.blob, plain: read instanceof Promise ? await read : read };
      }
      const { plain } = opened;
      take(plain.subarray(extent.blobOffset, extent.blobOffset + extent.lengthBytes), extent);
    }
    this.#giveBack(opened);
    // Sixty packs would keep as many runs otherwise.
    await pack.prefetch(0, 0);
  }

  /** One that was not compressed may be a view of what was read along with others. */
  #giveBack(opened: { readonly blob: BlobLocation; readonly plain: Uint8Array } | undefined): void {
    if (this.#givesBack && opened && isCompressed(opened.blob)) release(opened.plain);
  }

  async #open(id: PackId): Promise<PackReader> {
    const there = this.#packs.get(id);
    if (there) return there;
    const [oldest] = this.#packs;
    if (oldest && this.#packs.size >= openPacks) {
      this.#packs.delete(oldest[0]);
      await oldest[1].close();
    }
    const pack = await this.#cluster.openPack(id);
    this.#packs.set(id, pack);
    return pack;
  }
}

/** The extents from `start` whose blobs follow each other closely in one pack, up to the read-ahead. */
function runFrom(extents: readonly Extent[], start: number): readonly Extent[] {
  const first = extents[start];
  if (!first) return [];
  let end = start + 1;
  let previous = first;
  for (let next = extents[end]; next; next = extents[end]) {
    if (next.pack !== first.pack) break;
    if (next.blob.offset !== previous.blob.offset) {
      const gap = next.blob.offset - previous.blob.offset - previous.blob.storedBytes;
      if (gap < 0 || gap > skippedBytes) break;
      if (next.blob.offset + next.blob.storedBytes - first.blob.offset > readAheadBytes) break;
    }
    previous = next;
    end += 1;
  }
  return extents.slice(start, end);
}
