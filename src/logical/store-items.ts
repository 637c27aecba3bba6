import type { FinishedPack, StoredBlob } from '../backup/pack-output.ts';

/* What goes to a thread that stores chunks, and what comes back; structured-cloneable. */

/** A run of a stream that lies in memory, and where its chunks end; the first begins at 0. */
export interface ChunkRun {
  readonly memory: SharedArrayBuffer;
  readonly ends: Uint32Array;
}

/** What became of a `ChunkRun`. */
export interface StoredRun {
  /** 16 bytes a chunk. */
  readonly digests: Uint8Array;
  /** Of each chunk: its number among the known ones, -1 where it was not known. */
  readonly known: Int32Array;
  /** Where those lie that were not known, in order. */
  readonly stored: readonly StoredBlob[];
  /** Of the whole run. */
  readonly crc32c: number;
}

/** What a thread is asked: to store a run, or bytes as a blob; to finish its open pack; to delete what it has written. */
export type StoreTask =
  | { readonly run: ChunkRun }
  | { readonly blob: Uint8Array }
  | { readonly finish: true }
  | { readonly discard: true };

export type StoreResult =
  | { readonly run: StoredRun }
  | { readonly blob: StoredBlob }
  | { readonly packs: readonly FinishedPack[] };

/** Who does it: threads, or this thread in tests. */
export interface Storing {
  /** How many runs keep it busy. */
  readonly parallel: number;
  storeRun(run: ChunkRun): Promise<StoredRun>;
  storeBlob(bytes: Uint8Array): Promise<StoredBlob>;
  /** Makes all packs durable. */
  finish(): Promise<FinishedPack[]>;
  /** Removes what was written, after a dump that failed. */
  discard(): Promise<void>;
  close(): Promise<void>;
}
