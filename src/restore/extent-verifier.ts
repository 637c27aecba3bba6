import { crc32c } from '../bytes/crc32c.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { createPageKernel, type PageKernel } from '../postgres/page-kernel.ts';
import { crcOfSums, sumBytes, summedBytes, sumsLength } from '../repository/block-sums.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { ExtentReader } from '../repository/extent-reader.ts';
import type { Extent } from '../repository/file-map.ts';
import { maxChunkBytes } from '../repository/pack-id.ts';
import { inBlobOrder, partsWithin } from './extent-order.ts';
import type {
  BlockItem,
  DamagedBlob,
  Problem,
  StreamItem,
  VerifiedBatch,
  VerifiedItem,
  VerifyItem,
  WrongBlock,
} from './verify-items.ts';

/**
 * Reads what it is told to and compares it with what its backup says. Damage is an answer here, not a failure: the rest
 * goes on being read.
 */
export class ExtentVerifier {
  readonly #reader: ExtentReader;
  readonly #kernel: PageKernel;

  constructor(cluster: ClusterRepository) {
    this.#reader = new ExtentReader(cluster, { givesBack: true });
    this.#kernel = createPageKernel(maxChunkBytes, cluster.repository.sumKey());
  }

  async verify(items: readonly VerifyItem[]): Promise<VerifiedBatch> {
    const batch = new Batch(this.#reader, this.#kernel);
    return batch.verify(items);
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }
}

/** The sums of a piece, as far as they could be read. */
interface Expected {
  readonly item: BlockItem;
  readonly sums: Uint8Array;
  readonly beside: Uint8Array | undefined;
  isWhole: boolean;
}

class Batch {
  readonly #reader: ExtentReader;
  readonly #kernel: PageKernel;
  readonly #damaged = new Map<string, DamagedBlob>();
  readonly #wrong = new Map<string, WrongBlock>();
  readonly #read = new Set<string>();
  #storedBytes = 0;

  constructor(reader: ExtentReader, kernel: PageKernel) {
    this.#reader = reader;
    this.#kernel = kernel;
  }

  async verify(items: readonly VerifyItem[]): Promise<VerifiedBatch> {
    const expected = await this.#readSums(items.filter((item) => item.kind === 'blocks'));
    await this.#compareContent(expected, (item) => item.content);
    // Content that was compared with other sums before: only where these say something else it is read again.
    await this.#compareContent(expected, differingBlocks);
    const crcs = new Map(
      expected.map((of) => [of.item, of.isWhole ? crcOfSums(of.sums, of.item.lengthBytes) : undefined]),
    );
    const verified: VerifiedItem[] = [];
    for (const item of items) {
      if (item.kind === 'stream') verified.push(await this.#readStream(item));
      else verified.push({ lengthBytes: item.lengthBytes, crc32c: crcs.get(item) });
    }
    return {
      items: verified,
      damaged: [...this.#damaged.values()],
      wrong: [...this.#wrong.values()],
      storedBytes: this.#storedBytes,
    };
  }

  /** Of all items at once: those of small files lie in the same blobs. */
  async #readSums(items: readonly BlockItem[]): Promise<Expected[]> {
    const places = new Map<Extent, { readonly into: Uint8Array; readonly at: number; readonly of: Expected }>();
    const all = items.map((item): Expected => {
      const sums = new Uint8Array(sumsLength(item.lengthBytes));
      const beside = item.beside && new Uint8Array(sums.length);
      const expected: Expected = { item, sums, beside, isWhole: true };
      const base = sumsLength(item.start);
      for (const extent of item.sums) places.set(extent, { into: sums, at: extent.fileOffset - base, of: expected });
      for (const extent of item.beside?.sums ?? []) {
        if (beside) places.set(extent, { into: beside, at: extent.fileOffset - base, of: expected });
      }
      return expected;
    });
    const { unread } = await this.#readTolerant(inBlobOrder([...places.keys()]), (bytes, extent) => {
      const place = places.get(extent);
      place?.into.set(bytes, place.at);
    });
    for (const extent of unread) {
      const place = places.get(extent);
      if (place) place.of.isWhole = false;
    }
    return all;
  }

  async #compareContent(
    expected: readonly Expected[],
    choose: (item: BlockItem, of: Expected) => readonly Extent[],
  ): Promise<void> {
    const owners = new Map<Extent, Expected>();
    for (const of of expected) for (const extent of choose(of.item, of)) owners.set(extent, of);
    await this.#readTolerant(inBlobOrder([...owners.keys()]), (bytes, extent) => {
      const of = owners.get(extent);
      if (of?.isWhole) this.#compareBlocks(bytes, extent, of);
    });
  }

  #compareBlocks(bytes: Uint8Array, extent: Extent, { item, sums }: Expected): void {
    this.#kernel.buffer.set(bytes);
    const found = this.#kernel.sums(0, bytes.length);
    const at = ((extent.fileOffset - item.start) / summedBytes) * sumBytes;
    const right = sums.subarray(at, at + found.length);
    if (Buffer.compare(found, right) === 0) return;
    for (let i = 0; i < found.length; i += sumBytes) {
      const sum = right.subarray(i, i + sumBytes);
      if (Buffer.compare(found.subarray(i, i + sumBytes), sum) === 0) continue;
      const { pack, blob } = extent;
      const blobOffset = extent.blobOffset + (i / sumBytes) * summedBytes;
      const wrong = { pack, offset: blob.offset, blobOffset, sum: Buffer.from(sum).toString('hex') };
      this.#wrong.set(Object.values(wrong).join(' '), wrong);
    }
  }

  async #readStream({ content, also }: StreamItem): Promise<VerifiedItem> {
    const lengthBytes = content.reduce((sum, extent) => sum + extent.lengthBytes, 0);
    await this.#readTolerant(inBlobOrder(also), () => undefined);
    let crc = 0;
    const { unread, isAtOnce } = await this.#readTolerant(content, (bytes) => {
      crc = crc32c(bytes, crc);
    });
    if (unread.length > 0) return { lengthBytes, crc32c: undefined };
    // What could not be read at first, and then could, has confused the order of the bytes.
    return isAtOnce ? { lengthBytes, crc32c: crc } : this.#readStream({ kind: 'stream', content, also: [] });
  }

  /**
   * In the order given, as long as nothing is damaged; then once more one by one. `take` may be handed an extent twice.
   * `unread`: those of damaged blobs.
   */
  async #readTolerant(
    extents: readonly Extent[],
    take: (bytes: Uint8Array, extent: Extent) => void,
  ): Promise<{ readonly unread: readonly Extent[]; readonly isAtOnce: boolean }> {
    if (extents.length === 0) return { unread: [], isAtOnce: true };
    if (!(await this.#tryToRead(extents, take))) {
      for (const extent of extents) this.#count(extent);
      return { unread: [], isAtOnce: true };
    }
    const unread: Extent[] = [];
    for (const extent of extents) {
      const { pack, blob } = extent;
      const name = nameOf(extent);
      const problem = this.#damaged.has(name) ? undefined : await this.#tryToRead([extent], take);
      if (problem) this.#damaged.set(name, { ...problem, pack, offset: blob.offset });
      if (this.#damaged.has(name)) unread.push(extent);
      else this.#count(extent);
    }
    return { unread, isAtOnce: false };
  }

  async #tryToRead(
    extents: readonly Extent[],
    take: (bytes: Uint8Array, extent: Extent) => void,
  ): Promise<Problem | undefined> {
    try {
      await this.#reader.read(extents, take);
      return undefined;
    } catch (error) {
      // A disk that cannot read a sector says so by an error of its own.
      if (!(error instanceof PgrecallError) || !(error.exitStatus === 3 || hasCode(error, 'storage'))) throw error;
      return { code: error.code, message: error.message };
    }
  }

  #count(extent: Extent): void {
    const name = nameOf(extent);
    if (this.#read.has(name)) return;
    this.#read.add(name);
    this.#storedBytes += extent.blob.storedBytes;
  }
}

/** Blocks of which the two backups say different things although both have them at one place. */
function differingBlocks({ start, beside: other }: BlockItem, { sums, beside, isWhole }: Expected): readonly Extent[] {
  if (!beside || !other || !isWhole) return [];
  const ranges: { start: number; end: number }[] = [];
  for (let at = 0; at < sums.length; at += sumBytes) {
    if (Buffer.compare(sums.subarray(at, at + sumBytes), beside.subarray(at, at + sumBytes)) === 0) continue;
    const block = start + (at / sumBytes) * summedBytes;
    ranges.push({ start: block, end: block + summedBytes });
  }
  return partsWithin(other.same, ranges);
}

function nameOf({ pack, blob }: Extent): string {
  return `${pack} ${blob.offset}`;
}
