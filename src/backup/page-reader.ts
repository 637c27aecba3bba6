import type { Lsn } from '../postgres/lsn.ts';
import type { PageKernel } from '../postgres/page-kernel.ts';
import { pageBytes } from '../postgres/page.ts';
import type { Extent } from '../repository/file-map.ts';
import { chunkBytes, type CopyItem } from './copy-items.ts';
import type { PieceSource } from './piece-source.ts';

/** Pages of a piece that follow each other; at most a chunk. */
export interface PageRun {
  /** Number in the piece. */
  readonly first: number;
  readonly count: number;
}

const chunkPages = chunkBytes / pageBytes;

/** Every page below `lengthBytes`, a chunk at a time. */
export function* chunksOf(lengthBytes: number): Generator<readonly PageRun[]> {
  for (let first = 0; first * pageBytes < lengthBytes; first += chunkPages) yield [{ first, count: chunkPages }];
}

/** Pages by number, ascending: runs of those that follow each other, as many as make a chunk. */
export function* runsOf(pages: Iterable<number>): Generator<readonly PageRun[]> {
  let runs: { first: number; count: number }[] = [];
  let gathered = 0;
  for (const page of pages) {
    const last = runs.at(-1);
    if (last && last.first + last.count === page) last.count += 1;
    else runs.push({ first: page, count: 1 });
    gathered += 1;
    if (gathered < chunkPages) continue;
    yield runs;
    runs = [];
    gathered = 0;
  }
  if (gathered > 0) yield runs;
}

/** The numbers of the pages that a map's extents lie in. */
export function* pagesOf(extents: readonly Extent[]): Generator<number> {
  let next = 0;
  for (const { fileOffset, lengthBytes } of extents) {
    const end = Math.ceil((fileOffset + lengthBytes) / pageBytes);
    for (let page = Math.max(next, Math.floor(fileOffset / pageBytes)); page < end; page += 1) yield page;
    next = end;
  }
}

/** Pages in the kernel's memory, one after the other. */
export interface ReadPages {
  readonly at: number;
  readonly lengthBytes: number;
  /** Their numbers in the piece. Only the last one can be shorter than a page. */
  readonly numbers: readonly number[];
  /** Those whose checksum is wrong even after a second read. */
  readonly bad: ReadonlySet<number>;
  /** Where the piece ends, where the file turned out to end before what was asked. */
  readonly endBytes: number | undefined;
}

/** Reads pages of one piece, and verifies their checksums. */
export class PageReader {
  readonly #kernel: PageKernel;
  readonly #startLsn: Lsn;
  readonly #item: CopyItem;
  readonly #source: PieceSource;
  bytesRead = 0;

  /** Pages at or after `startLsn` are not verified: they may be half written, and WAL replaces them. */
  constructor(kernel: PageKernel, startLsn: Lsn, item: CopyItem, source: PieceSource) {
    this.#kernel = kernel;
    this.#startLsn = startLsn;
    this.#item = item;
    this.#source = source;
  }

  /** Reads `runs` one behind the other to `at` of the kernel's memory. */
  read(runs: readonly PageRun[], at: number): ReadPages {
    const numbers: number[] = [];
    const bad = new Set<number>();
    let lengthBytes = 0;
    let endBytes: number | undefined;
    for (const run of runs) {
      const start = run.first * pageBytes;
      const limit = this.#item.toEnd ? Infinity : this.#item.lengthBytes;
      const wanted = Math.min(run.count * pageBytes, limit - start);
      const got = this.#readAt(at + lengthBytes, wanted, start);
      for (let i = 0; i * pageBytes < got; i += 1) numbers.push(run.first + i);
      for (const number of this.#verify(run, at + lengthBytes, got)) bad.add(number);
      lengthBytes += got;
      if (got === wanted) continue;
      endBytes = start + got;
      break;
    }
    return { at, lengthBytes, numbers, bad, endBytes };
  }

  #readAt(at: number, lengthBytes: number, position: number): number {
    const got = this.#source.read(this.#kernel.buffer, at, lengthBytes, position);
    this.bytesRead += got;
    return got;
  }

  /** Numbers of the pages that are wrong even after a second read; a page read better is put in place. */
  #verify({ first }: PageRun, at: number, lengthBytes: number): number[] {
    const { firstBlock } = this.#item;
    if (firstBlock === undefined) return [];
    const pages = Math.floor(lengthBytes / pageBytes);
    const suspects = this.#kernel.verifyPages(at, pages, firstBlock + first, this.#startLsn);
    const isBad = (page: number): boolean => {
      // Torn by a write going on right now, most likely; the second read finds it whole.
      const place = at + page * pageBytes;
      const length = this.#readAt(place, pageBytes, (first + page) * pageBytes);
      // Cut off meanwhile: WAL says so, too.
      if (length < pageBytes) return false;
      return this.#kernel.verifyPages(place, 1, firstBlock + first + page, this.#startLsn).length > 0;
    };
    return suspects.filter(isBad).map((page) => first + page);
  }
}
