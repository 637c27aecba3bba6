import { crc32cCombine } from '../bytes/crc32c.ts';
import { assert } from '../errors/pgrecall-error.ts';
import { pageBytes } from '../postgres/page.ts';
import { isChecksummed, parseRelationPath } from '../postgres/relation-file.ts';
import type { Extent } from '../repository/file-map.ts';
import type { ManifestWriter } from '../repository/manifest-writer.ts';
import type { ManifestEntry } from '../repository/manifest.ts';
import { UnderWay } from '../threads/under-way.ts';
import type { CopiedItem, CopyItem, Copying } from './copy-items.ts';
import type { WalkedEntry } from './data-directory-walk.ts';
import type { OwnerNames } from './owner-names.ts';

/** Large files go to the threads in pieces of this size, so that the last one does not keep all waiting. */
const pieceBytes = 67_108_864;
/** A batch to a thread: enough that messages cost nothing, little enough that memory stays small. */
const batchBytes = 33_554_432;
const batchItems = 256;

export interface CopyFilesOptions {
  readonly entries: Iterable<WalkedEntry>;
  readonly copying: Copying;
  readonly manifest: ManifestWriter;
  readonly owners: OwnerNames;
  /** Whether the cluster has data checksums on. */
  readonly dataChecksums: boolean;
  /** Blocks in a segment of a relation: 131,072 unless PostgreSQL was built otherwise. */
  readonly relationSegmentBlocks: number;
  readonly signal: AbortSignal;
  /** Called as bytes are done. */
  readonly onProgress: (bytes: number) => void;
}

export interface CopiedFiles {
  readonly files: number;
  readonly sizeBytes: number;
  readonly badPages: readonly { readonly path: string; readonly blocks: readonly number[] }[];
}

/** A walked entry and its pieces, in order. */
interface Pending {
  readonly entry: WalkedEntry;
  readonly pieces: readonly Piece[];
}

/** An item that was sent, and its result once there is one. */
interface Piece {
  readonly item: CopyItem;
  result: CopiedItem | undefined;
}

interface Collected {
  files: number;
  sizeBytes: number;
  badPages: { path: string; blocks: number[] }[];
}

/**
 * Copies what the walk finds and writes the manifest in the walk's order, whichever thread is done first.
 * Memory is bounded by the batches under way.
 */
export async function copyFiles(options: CopyFilesOptions): Promise<CopiedFiles> {
  const collected: Collected = { files: 0, sizeBytes: 0, badPages: [] };
  const window: Pending[] = [];
  const sender = new BatchSender(options.copying, options.onProgress);
  const settleWhatIsDone = async (): Promise<void> => {
    while (window[0]?.pieces.every((piece) => piece.result)) {
      await settle(options, window[0], collected);
      window.shift();
    }
  };
  for (const entry of options.entries) {
    options.signal.throwIfAborted();
    const pieces = piecesOf(entry, options).map((item): Piece => ({ item, result: undefined }));
    window.push({ entry, pieces });
    for (const piece of pieces) {
      sender.add(piece);
      await sender.whenWanted();
    }
    await settleWhatIsDone();
  }
  await sender.end();
  await settleWhatIsDone();
  assert(window.length === 0, 'files were sent to be copied and never came back');
  return collected;
}

function piecesOf(entry: WalkedEntry, options: CopyFilesOptions): CopyItem[] {
  if (entry.kind !== 'file') return [];
  const relation = options.dataChecksums && isChecksummed(entry.path) ? parseRelationPath(entry.path) : undefined;
  const firstBlock = relation === undefined ? undefined : relation.segment * options.relationSegmentBlocks;
  const pieces: CopyItem[] = [];
  for (let offset = 0; offset < entry.sizeBytes; offset += pieceBytes) {
    pieces.push({
      absolutePath: entry.absolutePath,
      offset,
      lengthBytes: Math.min(pieceBytes, entry.sizeBytes - offset),
      firstBlock: firstBlock === undefined ? undefined : firstBlock + offset / pageBytes,
    });
  }
  return pieces;
}

async function settle(options: CopyFilesOptions, pending: Pending, collected: Collected): Promise<void> {
  const { entry } = pending;
  const pieces = pending.pieces.map((piece) => piece.result).filter((result) => result !== undefined);
  if (pieces.some((piece) => piece.vanished)) return;
  const { sizeBytes, crc32c, extents, badBlocks } = joinPieces(entry, pieces);
  if (badBlocks.length > 0) collected.badPages.push({ path: entry.path, blocks: badBlocks });
  if (entry.kind === 'file') collected.files += 1;
  collected.sizeBytes += sizeBytes;
  const manifestEntry: ManifestEntry = {
    path: entry.path,
    kind: entry.kind,
    mode: entry.mode,
    owner: options.owners.user(entry.uid),
    group: options.owners.group(entry.gid),
    modifiedMs: entry.modifiedMs,
    sizeBytes,
    crc32c,
    extents,
    flags: badBlocks.length > 0 ? 1 : 0,
    ...(entry.target === undefined ? {} : { target: entry.target }),
  };
  await options.manifest.add(manifestEntry);
}

/**
 * One file of its pieces. A file that shrank meanwhile ends where its first short piece ends, as though it
 * had been read at that moment; what was cut off is replayed from WAL.
 */
function joinPieces(
  entry: WalkedEntry,
  pieces: readonly CopiedItem[],
): { sizeBytes: number; crc32c: number; extents: Extent[]; badBlocks: number[] } {
  const extents: Extent[] = [];
  const badBlocks: number[] = [];
  let sizeBytes = 0;
  let crc32c = 0;
  for (const piece of pieces) {
    crc32c = sizeBytes === 0 ? piece.crc32c : crc32cCombine(crc32c, piece.crc32c, piece.lengthBytes);
    for (const run of piece.runs) {
      for (const blob of run.blobs) {
        extents.push({ fileOffset: sizeBytes, lengthBytes: blob.plainBytes, pack: run.pack, blob, blobOffset: 0 });
        sizeBytes += blob.plainBytes;
      }
    }
    badBlocks.push(...piece.badBlocks);
    if (piece.lengthBytes < pieceBytes) break;
  }
  assert(sizeBytes <= entry.sizeBytes, `more was read of ${entry.path} than asked`);
  return { sizeBytes, crc32c, extents, badBlocks };
}

/** Gathers pieces into batches, sends them and puts each result into its piece. */
class BatchSender {
  readonly #copying: Copying;
  readonly #onProgress: (bytes: number) => void;
  readonly #underWay = new UnderWay();
  #batch: Piece[] = [];
  #bytes = 0;

  constructor(copying: Copying, onProgress: (bytes: number) => void) {
    this.#copying = copying;
    this.#onProgress = onProgress;
  }

  add(piece: Piece): void {
    this.#batch.push(piece);
    this.#bytes += piece.item.lengthBytes;
    if (this.#bytes >= batchBytes || this.#batch.length >= batchItems) this.#send();
  }

  /** Waits until a thread has need of more; throws what a batch threw. */
  async whenWanted(): Promise<void> {
    await this.#underWay.fewerThan(this.#copying.parallel);
  }

  /** Sends what is left and waits for all. */
  async end(): Promise<void> {
    this.#send();
    await this.#underWay.allDone();
  }

  #send(): void {
    if (this.#batch.length === 0) return;
    this.#underWay.start(this.#run(this.#batch));
    this.#batch = [];
    this.#bytes = 0;
  }

  async #run(batch: readonly Piece[]): Promise<void> {
    const { items } = await this.#copying.copy(batch.map((piece) => piece.item));
    batch.forEach((piece, i) => {
      const result = items[i];
      assert(result, 'a batch came back with fewer items than it had');
      piece.result = result;
      this.#onProgress(result.lengthBytes);
    });
  }
}
