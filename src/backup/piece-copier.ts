import { assert } from '../errors/pgrecall-error.ts';
import type { Lsn } from '../postgres/lsn.ts';
import type { PageKernel } from '../postgres/page-kernel.ts';
import { pageBytes } from '../postgres/page.ts';
import { crcOfSums, sumBytes, sumsLength } from '../repository/block-sums.ts';
import type { ExtentReader } from '../repository/extent-reader.ts';
import type { Extent } from '../repository/file-map.ts';
import { chunkBytes, type CopiedItem, type CopyItem, type PieceBefore } from './copy-items.ts';
import { planRewriting } from './fragmentation-plan.ts';
import { overlayExtents } from './overlay-extents.ts';
import { emptyMap, packMap, unpackMap } from './packed-map.ts';
import { PageGatherer } from './page-gatherer.ts';
import { chunksOf, PageReader, pagesOf, runsOf, type PageRun, type ReadPages } from './page-reader.ts';
import type { PackOutput } from './pack-output.ts';
import { openSource, openWithStored, type PieceSource } from './piece-source.ts';
import { PieceSums, type SumsBefore } from './piece-sums.ts';
import type { SumsPacker } from './sums-packer.ts';

/** What is read lies behind less than a chunk that is held. */
export const kernelBytes = 2 * chunkBytes;

export interface PieceCopierParts {
  readonly kernel: PageKernel;
  readonly startLsn: Lsn;
  readonly output: PackOutput;
  readonly sums: SumsPacker;
  /** Of the same cluster's packs: for the reference's sums. */
  readonly reader: ExtentReader;
}

/**
 * The hot path of a backup, in one thread: read into the kernel's memory, verify page checksums there, take the sums, and
 * store the pages of which the reference has another sum, or none.
 */
export class PieceCopier {
  readonly #parts: PieceCopierParts;

  constructor(parts: PieceCopierParts) {
    assert(parts.kernel.capacityBytes >= kernelBytes, 'a kernel without room for what is held and what is read');
    this.#parts = parts;
  }

  /** The result is whole when the sums have been flushed. */
  async copy(item: CopyItem): Promise<() => CopiedItem> {
    const before = item.before && (await this.#sumsBefore(item.before));
    const piece = new PieceCopy(this.#parts, item, before);
    const nothingToRead = item.look.kind === 'blocks' && item.look.blocks.length === 0;
    if (nothingToRead) return piece.finish();
    const source = openSource(item);
    if (!source) return () => vanished;
    try {
      await piece.read(source);
      return await piece.finish();
    } finally {
      source.close();
    }
  }

  async #sumsBefore({ lengthBytes, sums: packed }: PieceBefore): Promise<SumsBefore> {
    const length = sumsLength(lengthBytes);
    const map = unpackMap(packed, length);
    const sums = Buffer.alloc(length);
    // In the order of the blobs: sums that were stored as parts alternate between them.
    const order = new Map(map.map(({ pack }, i) => [pack, i]));
    const ordered = map.toSorted(
      (a, b) => (order.get(a.pack) ?? 0) - (order.get(b.pack) ?? 0) || a.blob.offset - b.blob.offset,
    );
    await this.#parts.reader.read(ordered, (bytes, { fileOffset }) => sums.set(bytes, fileOffset));
    return { lengthBytes, sums, map };
  }
}

const vanished: CopiedItem = {
  lengthBytes: 0,
  vanished: true,
  crc32c: 0,
  beforeCrc32c: undefined,
  content: emptyMap,
  sums: emptyMap,
  badBlocks: [],
  pagesRead: 0,
  pagesStored: 0,
  bytesRead: 0,
};

/** One piece under way. */
class PieceCopy {
  readonly #parts: PieceCopierParts;
  readonly #item: CopyItem;
  readonly #before: SumsBefore | undefined;
  readonly #sums: PieceSums;
  readonly #gatherer: PageGatherer;
  readonly #badBlocks = new Set<number>();
  #map: readonly Extent[];
  #lengthBytes: number;
  #pagesRead = 0;
  #pagesStored = 0;
  #bytesRead = 0;

  constructor(parts: PieceCopierParts, item: CopyItem, before: SumsBefore | undefined) {
    this.#parts = parts;
    this.#item = item;
    this.#before = before;
    this.#sums = new PieceSums(before, item.lengthBytes);
    this.#gatherer = new PageGatherer(parts.kernel, parts.output);
    const map = item.before ? unpackMap(item.before.content, item.before.lengthBytes) : [];
    this.#map = overlayExtents(map, [], item.toEnd ? Infinity : item.lengthBytes);
    this.#lengthBytes = item.lengthBytes;
  }

  async read(source: PieceSource): Promise<void> {
    const { look, lengthBytes, toEnd } = this.#item;
    const reader = this.#readerOf(source);
    await this.#take(
      reader,
      look.kind === 'blocks' ? runsOf(look.blocks) : chunksOf(toEnd ? Infinity : lengthBytes),
      false,
    );
    if (this.#before && this.#pagesStored > 0) await this.#rewrite(reader);
    this.#bytesRead += reader.bytesRead;
  }

  /** Stores once more what is scattered too widely. */
  async #rewrite(reader: PageReader): Promise<void> {
    const pages = [...pagesOf(planRewriting(this.#map, this.#lengthBytes))];
    if (pages.length === 0) return;
    const stored = this.#item.memory && (await openWithStored(this.#item, pages, this.#parts.reader));
    await this.#take(stored ? this.#readerOf(stored) : reader, runsOf(pages), true);
  }

  #readerOf(source: PieceSource): PageReader {
    return new PageReader(this.#parts.kernel, this.#parts.startLsn, this.#item, source);
  }

  /** `anyway`: stores what is read even where the reference has it. */
  async #take(reader: PageReader, runs: Iterable<readonly PageRun[]>, anyway: boolean): Promise<void> {
    for (const some of runs) {
      const read = reader.read(some, this.#gatherer.heldBytes);
      await this.#store(read, anyway);
      if (read.endBytes === undefined) continue;
      this.#lengthBytes = read.endBytes;
      break;
    }
    await this.#gatherer.storeRest();
    this.#map = overlayExtents(this.#map, this.#gatherer.takeExtents(), this.#lengthBytes);
  }

  async #store(read: ReadPages, anyway: boolean): Promise<void> {
    const { at, numbers, lengthBytes } = read;
    this.#pagesRead += numbers.length;
    for (const number of read.bad) this.#badBlocks.add((this.#item.firstBlock ?? 0) + number);
    if (numbers.length === 0) return;
    const lengthOf = (i: number): number => Math.min(pageBytes, lengthBytes - i * pageBytes);
    const sums = this.#parts.kernel.sums(at, lengthBytes);
    const stored: number[] = [];
    for (const [i, number] of numbers.entries()) {
      if (!anyway && this.#sums.isAsBefore(number, lengthOf(i), sums, i * sumBytes)) continue;
      this.#sums.set(number, lengthOf(i), sums, i * sumBytes);
      stored.push(i);
    }
    this.#pagesStored += stored.length;
    const first = numbers[0] ?? 0;
    const isOneChunk = stored.length * pageBytes === chunkBytes && numbers.at(-1) === first + stored.length - 1;
    if (isOneChunk && lengthBytes === chunkBytes) {
      await this.#gatherer.storeAlone(at, chunkBytes, first * pageBytes);
      return;
    }
    for (const i of stored) this.#gatherer.hold(at + i * pageBytes, lengthOf(i), (numbers[i] ?? 0) * pageBytes);
    await this.#gatherer.storeFull();
  }

  /** The result is whole when the sums have been flushed. */
  async finish(): Promise<() => CopiedItem> {
    const lengthBytes = this.#lengthBytes;
    const mapOfSums = await this.#sums.store(lengthBytes, this.#parts.sums);
    const result: Omit<CopiedItem, 'sums'> = {
      lengthBytes,
      vanished: false,
      crc32c: crcOfSums(this.#sums.bytes(lengthBytes), lengthBytes),
      beforeCrc32c: this.#before && crcOfSums(this.#before.sums, this.#before.lengthBytes),
      content: packMap(this.#map),
      badBlocks: [...this.#badBlocks].toSorted((a, b) => a - b),
      pagesRead: this.#pagesRead,
      pagesStored: this.#pagesStored,
      bytesRead: this.#bytesRead,
    };
    return () => ({ ...result, sums: packMap(mapOfSums()) });
  }
}
