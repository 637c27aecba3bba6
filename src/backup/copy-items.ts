import type { Extent } from '../repository/file-map.ts';
import type { PackId } from '../repository/pack-id.ts';

/** The plaintext of one blob: 32 pages. Random access to a page costs one of these. */
export const chunkBytes = 262_144;

/** A run of bytes of one file to be read, checked, sealed and packed; structured-cloneable. */
export interface CopyItem {
  readonly absolutePath: string;
  readonly offset: number;
  readonly lengthBytes: number;
  /** Reads on beyond `lengthBytes`, to the end of the file as it is by then: what has no WAL must not be cut. */
  readonly toEnd: boolean;
  /** The number in its relation of the page at `offset`; `undefined` where pages carry no checksum. */
  readonly firstBlock: number | undefined;
}

/** What became of a `CopyItem`. */
export interface CopiedItem {
  /** Less than was asked where the file had shrunk; `vanished` where it was gone. */
  readonly lengthBytes: number;
  readonly vanished: boolean;
  /** CRC-32C of the bytes read. */
  readonly crc32c: number;
  readonly runs: readonly PackedRun[];
  /** Pages whose checksum was wrong twice: numbers of blocks in the relation. */
  readonly badBlocks: readonly number[];
}

/**
 * Blobs that follow each other in one pack without a gap, as the bytes that they hold follow each other in the file:
 * `chunkBytes` each, the last one what is left of `lengthBytes`. Kept this small because a backup may have to hold
 * those of a whole window of files (copy-files.ts): 32 MB a terabyte.
 */
export interface PackedRun {
  readonly pack: PackId;
  /** Of the first blob. */
  readonly offset: number;
  readonly storedBytes: readonly number[];
  readonly lengthBytes: number;
}

/** The extents of a file that has the runs from `fileOffset` on. */
export function* extentsOf(runs: readonly PackedRun[], fileOffset: number): Generator<Extent> {
  let at = fileOffset;
  for (const { pack, offset, storedBytes, lengthBytes } of runs) {
    const end = at + lengthBytes;
    let stored = offset;
    for (const bytes of storedBytes) {
      const plainBytes = Math.min(chunkBytes, end - at);
      const blob = { offset: stored, storedBytes: bytes, plainBytes };
      yield { fileOffset: at, lengthBytes: plainBytes, pack, blob, blobOffset: 0 };
      stored += bytes;
      at += plainBytes;
    }
  }
}

/** What a worker is asked: to copy items, to finish its open pack, or to delete every pack that it has written. */
export type CopyTask = { readonly items: readonly CopyItem[] } | { readonly finish: true } | { readonly discard: true };

export interface CopyResult {
  readonly items: readonly CopiedItem[];
  /** Answer to `finish`: the packs that were written, all durable, and their sizes. */
  readonly packs: readonly { readonly id: PackId; readonly sizeBytes: number }[];
}

/** Who does it: threads, or this thread in tests. */
export interface Copying {
  /** How many batches keep it busy. */
  readonly parallel: number;
  copy(items: readonly CopyItem[]): Promise<CopyResult>;
  finish(): Promise<CopyResult[]>;
  /** Removes what was written, after a backup that failed. */
  discard(): Promise<void>;
  close(): Promise<void>;
}
