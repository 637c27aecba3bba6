import type { BlobLocation, PackId } from '../repository/pack-id.ts';

/** A run of bytes of one file to be read, checked, sealed and packed; structured-cloneable. */
export interface CopyItem {
  readonly absolutePath: string;
  readonly offset: number;
  readonly lengthBytes: number;
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

/** Blobs that follow each other in one pack, as the bytes that they hold follow each other in the file. */
export interface PackedRun {
  readonly pack: PackId;
  readonly blobs: readonly BlobLocation[];
}

/** What a worker is asked: to copy items, or to finish its open pack. */
export type CopyTask = { readonly items: readonly CopyItem[] } | { readonly finish: true };

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
  close(): Promise<void>;
}
