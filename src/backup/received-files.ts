import { crc32c } from '../bytes/crc32c.ts';
import { PgrecallError, assert } from '../errors/pgrecall-error.ts';
import {
  decodeIncrementalHeader,
  incrementalHeaderBytes,
  type IncrementalHeader,
} from '../postgres/incremental-file.ts';
import { pageBytes } from '../postgres/page.ts';
import { parseRelationPath } from '../postgres/relation-file.ts';
import { entryFlags, type StoredEntry } from '../repository/manifest.ts';
import type { CopiedFiles } from './copy-files.ts';
import type { Copying } from './copy-items.ts';
import { divide, placeOf, type Pending, type Piece } from './copy-order.ts';
import type { WalkedEntry } from './data-directory-walk.ts';
import type { EntryShelf } from './entry-shelf.ts';
import { joinPieces } from './join-pieces.ts';
import type { Look } from './look-at-file.ts';
import { PieceBatches, receivedPieceBytes, type Filling } from './piece-batches.ts';
import type { ReferenceIndex } from './reference-index.ts';

/** A file as an archive announces it. */
export interface ReceivedFile {
  readonly entry: WalkedEntry;
  readonly owner: string;
  readonly group: string;
  /** What comes is an increment to what the reference has. */
  readonly incremental: boolean;
  /** As it comes. */
  readonly sizeBytes: number;
}

export interface ReceivedFilesOptions {
  readonly copying: Copying;
  readonly shelf: EntryShelf;
  readonly reference: ReferenceIndex | undefined;
  /** The reference's pages with wrong checksums: by path, numbers of blocks in the relation. */
  readonly badPages: ReadonlyMap<string, readonly number[]>;
  readonly dataChecksums: boolean;
  readonly relationSegmentBlocks: number;
  readonly onProgress: (bytes: number) => void;
}

/** A file whose bytes are coming, or are being copied. */
interface OpenFile extends Pick<ReceivedFile, 'owner' | 'group' | 'incremental' | 'sizeBytes'> {
  readonly pending: Pending;
  readonly pieces: Piece[];
  /** Of an increment: the blocks that it has. */
  readonly sent: Uint32Array | undefined;
  readonly stillBad: readonly number[];
  /** Of an increment as it came. */
  crc32c: number;
  nextPiece: number;
  /** Pieces that are not copied yet, and one for as long as bytes may still come. */
  waiting: number;
}

/**
 * Takes files in the order in which they come, has them copied by threads, and puts them onto the shelf. Of an increment what the
 * server did not send is what the reference has, or zeros where that has nothing.
 */
export class ReceivedFiles {
  readonly #options: ReceivedFilesOptions;
  readonly #batches: PieceBatches<OpenFile>;
  readonly #copied = { files: 0, sizeBytes: 0, pagesRead: 0, pagesStored: 0, bytesRead: 0 };
  readonly #badPages: { path: string; blocks: readonly number[] }[] = [];
  #announced: ReceivedFile | undefined;
  /** The beginning of an increment, until its header is whole. */
  #header: Uint8Array = new Uint8Array(0);
  #open: OpenFile | undefined;
  #filling: Filling | undefined;

  constructor(options: ReceivedFilesOptions) {
    this.#options = options;
    this.#batches = new PieceBatches(options.copying, async (file) => this.#release(file));
  }

  async begin(file: ReceivedFile): Promise<void> {
    this.#announced = file;
    this.#header = new Uint8Array(0);
    this.#filling = undefined;
    this.#open = undefined;
    if (file.incremental) return;
    const before = await this.#find(file.entry.path);
    await this.#openFile(file, { before, look: { kind: 'everything' }, entry: file.entry }, undefined);
  }

  async content(bytes: Uint8Array): Promise<void> {
    this.#options.onProgress(bytes.length);
    const rest = this.#open ? bytes : await this.#takeHeader(bytes);
    if (this.#open?.incremental === true) this.#open.crc32c = crc32c(bytes, this.#open.crc32c);
    await this.#fill(rest);
  }

  async end(): Promise<void> {
    const file = this.#open;
    if (!file) throw new PgrecallError('decode', `"${this.#announced?.entry.path}" came as an increment that is cut`);
    await this.#nextPiece(file);
    assert(!this.#filling, 'a file that ended before its pieces were whole');
    this.#open = undefined;
    await this.#release(file);
  }

  /** When all has come: waits until all is copied. */
  async finish(tablespaceLinks: CopiedFiles['tablespaceLinks']): Promise<CopiedFiles> {
    await this.#batches.finish();
    const badPages = this.#badPages.toSorted((a, b) => (a.path < b.path ? -1 : 1));
    return { ...this.#copied, badPages, tablespaceLinks };
  }

  /** Waits until no thread works for it, whatever became of that. */
  async stop(): Promise<void> {
    await this.#batches.stop();
  }

  async #find(path: string): Promise<StoredEntry | undefined> {
    const found = await this.#options.reference?.find(path);
    return found?.kind === 'file' ? found : undefined;
  }

  /** Gives what follows the header of an increment. */
  async #takeHeader(bytes: Uint8Array): Promise<Uint8Array> {
    const file = this.#announced;
    assert(file, 'content without a file');
    const known = this.#header.length === 0 ? bytes : Buffer.concat([this.#header, bytes]);
    const headerBytes = incrementalHeaderBytes(known);
    if (known.length < headerBytes || known.length < incrementalHeaderBytes(known)) {
      this.#header = Uint8Array.from(known);
      return new Uint8Array(0);
    }
    const crcBefore = crc32c(this.#header);
    const header = decodeIncrementalHeader(known, file.sizeBytes);
    const opened = await this.#openIncrement(file, header);
    opened.crc32c = crcBefore;
    return known.subarray(headerBytes);
  }

  async #openIncrement(file: ReceivedFile, header: IncrementalHeader): Promise<OpenFile> {
    const before = await this.#find(file.entry.path);
    if (!before) {
      throw new PgrecallError(
        'decode',
        `"${file.entry.path}" came as an increment, and the reference has no such file`,
      );
    }
    const entry = { ...file.entry, sizeBytes: header.lengthBlocks * pageBytes };
    const look = lookOf(header, before);
    if (look.kind !== 'untouched' && before.sizeBytes > 0 && (await before.loadMaps()).sums.length === 0) {
      throw new PgrecallError('decode', `the reference has no sums of "${entry.path}"`);
    }
    return this.#openFile(file, { before, look, entry }, header.blocks);
  }

  async #openFile(
    file: ReceivedFile,
    found: Omit<Pending, 'pieces'>,
    sent: Uint32Array | undefined,
  ): Promise<OpenFile> {
    const pending: Pending = { ...found, pieces: undefined };
    const pieces = await divide(pending, { ...this.#options, pieceBytes: receivedPieceBytes });
    pending.pieces = pieces;
    const { owner, group, incremental, sizeBytes } = file;
    const stillBad = sent ? this.#stillBad(pending, sent) : [];
    const common = { owner, group, incremental, sizeBytes, pending, pieces, sent, stillBad };
    const open = { ...common, crc32c: 0, nextPiece: 0, waiting: 1 };
    this.#open = open;
    return open;
  }

  /** Blocks with wrong checksums in the reference that the server did not send anew. */
  #stillBad({ entry }: Pending, sent: Uint32Array): readonly number[] {
    const bad = this.#options.badPages.get(entry.path) ?? [];
    if (bad.length === 0) return bad;
    const first = (parseRelationPath(entry.path)?.segment ?? 0) * this.#options.relationSegmentBlocks;
    const replaced = new Set(sent);
    return bad.filter((block) => !replaced.has(block - first) && (block - first) * pageBytes < entry.sizeBytes);
  }

  async #fill(bytes: Uint8Array): Promise<void> {
    const file = this.#open;
    if (!file) return;
    for (let rest = bytes; rest.length > 0;) {
      if (!this.#filling) await this.#nextPiece(file);
      if (!this.#filling) throw new PgrecallError('decode', `"${file.pending.entry.path}" is longer than announced`);
      rest = rest.subarray(this.#filling.take(rest));
      if (this.#filling.left === 0) this.#filling = undefined;
    }
  }

  /** Goes on to the next piece that has bytes to come; those that need none are on their way. */
  async #nextPiece(file: OpenFile): Promise<void> {
    while (!this.#filling && file.nextPiece < file.pieces.length) {
      const number = file.nextPiece;
      file.nextPiece += 1;
      const piece = file.pieces[number];
      if (!piece?.item) continue;
      const pages = file.sent && pagesIn(file.sent, number);
      const lengthBytes = pages ? pages.length * pageBytes : piece.item.lengthBytes;
      file.waiting += 1;
      const filling = await this.#batches.add(piece, { lengthBytes, pages, owner: file });
      file.pieces[number] = filling.piece;
      if (filling.left > 0) this.#filling = filling;
    }
  }

  async #release(file: OpenFile): Promise<void> {
    file.waiting -= 1;
    if (file.waiting === 0) await this.#settle(file);
  }

  async #settle({ pending, owner, group, incremental, sizeBytes, crc32c: came, stillBad }: OpenFile): Promise<void> {
    const { entry } = pending;
    const file = await this.#joined(pending);
    const badBlocks = [...new Set([...file.badBlocks, ...stillBad])].toSorted((a, b) => a - b);
    if (badBlocks.length > 0) this.#badPages.push({ path: entry.path, blocks: badBlocks });
    this.#count(pending);
    this.#copied.files += 1;
    this.#copied.sizeBytes += file.sizeBytes;
    const { path, mode, modifiedMs } = entry;
    const flags = badBlocks.length > 0 ? entryFlags.badPageChecksums : 0;
    this.#options.shelf.add(
      { path, kind: 'file', mode, owner, group, modifiedMs, ...file, flags },
      { sizeBytes, crc32c: incremental ? came : file.crc32c },
    );
  }

  async #joined(pending: Pending) {
    const { before, look } = pending;
    if (look.kind === 'untouched' && before) {
      const { extents, sums } = await before.loadMaps();
      return { extents, sums, sizeBytes: before.sizeBytes, crc32c: before.crc32c, badBlocks: [] };
    }
    const joined = await joinPieces(pending, receivedPieceBytes, this.#options.copying);
    assert(joined, 'a file that vanished from memory');
    return joined;
  }

  #count({ pieces }: Pending): void {
    for (const piece of pieces ?? []) {
      if (!piece.item) continue;
      this.#copied.pagesRead += piece.result?.pagesRead ?? 0;
      this.#copied.pagesStored += piece.result?.pagesStored ?? 0;
      this.#copied.bytesRead += piece.result?.bytesRead ?? 0;
    }
  }
}

const pagesOfPiece = receivedPieceBytes / pageBytes;

/** Of the blocks of a file, which ascend, those in a piece, by their number in it. */
function pagesIn(sent: Uint32Array, piece: number): Uint32Array {
  const first = piece * pagesOfPiece;
  return sent.subarray(placeOf(first, sent), placeOf(first + pagesOfPiece, sent)).map((block) => block - first);
}

/** The blocks that are another than in the reference: those that were sent, and zeros where neither has anything. */
function lookOf({ blocks, truncationBlocks, lengthBlocks }: IncrementalHeader, before: StoredEntry): Look {
  if (blocks.length === 0 && lengthBlocks * pageBytes === before.sizeBytes) return { kind: 'untouched' };
  const firstNew = Math.min(truncationBlocks, Math.floor(before.sizeBytes / pageBytes));
  const all = new Set(blocks);
  for (let block = firstNew; block < lengthBlocks; block += 1) all.add(block);
  return { kind: 'blocks', blocks: Uint32Array.from(all).toSorted() };
}
