import type { PackedMap } from './packed-map.ts';
import type { FinishedPack } from './pack-output.ts';

/** The plaintext of one blob: 32 pages. Random access to a page costs one of these. */
export const chunkBytes = 262_144;

/** What of a piece is read; see look-at-file.ts. Numbers of blocks count from the piece's beginning. */
export type PieceLook = { readonly kind: 'everything' } | { readonly kind: 'blocks'; readonly blocks: Uint32Array };

/** What the reference has of a piece; offsets count from the piece's beginning. */
export interface PieceBefore {
  readonly lengthBytes: number;
  readonly content: PackedMap;
  /** Of a run of 8 bytes for each block. */
  readonly sums: PackedMap;
}

/** A run of bytes of one file to be read, checked, sealed and packed; structured-cloneable. */
export interface CopyItem {
  readonly absolutePath: string;
  readonly offset: number;
  readonly lengthBytes: number;
  /** Reads on beyond `lengthBytes`, to the end of the file as it is by then: what has no WAL must not be cut. */
  readonly toEnd: boolean;
  /** The number in its relation of the page at `offset`; `undefined` where pages carry no checksum. */
  readonly firstBlock: number | undefined;
  readonly look: PieceLook;
  readonly before: PieceBefore | undefined;
  /** Where its bytes are, when they came over a connection: then no file is read. */
  readonly memory?: ItemMemory;
}

export interface ItemMemory {
  /** Shared with the thread, and not changed until that is done. */
  readonly buffer: SharedArrayBuffer;
  readonly offset: number;
  /** Numbers of the pages that are there, one behind the other; all of the piece unless given. The others are zeros. */
  readonly pages?: Uint32Array;
}

/** What became of a `CopyItem`. */
export interface CopiedItem {
  /** Less than was asked where the file had shrunk; `vanished` where it was gone. */
  readonly lengthBytes: number;
  readonly vanished: boolean;
  /** CRC-32C of the piece as it is in the backup. */
  readonly crc32c: number;
  /** Of the reference's piece, where it had one. */
  readonly beforeCrc32c: number | undefined;
  readonly content: PackedMap;
  readonly sums: PackedMap;
  /** Pages whose checksum was wrong twice: numbers of blocks in the relation. */
  readonly badBlocks: readonly number[];
  readonly pagesRead: number;
  readonly pagesStored: number;
  readonly bytesRead: number;
}

/** What a worker is asked: to copy items, to finish its open pack, or to delete every pack that it has written. */
export type CopyTask = { readonly items: readonly CopyItem[] } | { readonly finish: true } | { readonly discard: true };

export interface CopyResult {
  readonly items: readonly CopiedItem[];
  /** Answer to `finish`: the packs that were written, all durable, and their sizes. */
  readonly packs: readonly FinishedPack[];
}

/** Who does it: threads, or this thread in tests. */
export interface Copying {
  /** How many batches keep it busy. */
  readonly parallel: number;
  /** How much a batch has, where that is not for the sender to say. */
  readonly batchBytes?: number | undefined;
  copy(items: readonly CopyItem[]): Promise<CopyResult>;
  finish(): Promise<CopyResult[]>;
  /** Removes what was written, after a backup that failed. */
  discard(): Promise<void>;
  close(): Promise<void>;
}
