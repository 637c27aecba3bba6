import type { FinishedPack, StoredBlob } from '../backup/pack-output.ts';
import type { Extent } from '../repository/file-map.ts';
import type { ManifestEntry } from '../repository/manifest.ts';
import type { ChunkClass } from './chunk-cutter.ts';
import type { PumpMemory } from './pump-ring.ts';

/* What goes to a thread that stores streams, and what comes back; structured-cloneable. */

/** Where a stream comes from: another thread reads it from a pipe; a file; memory. */
export type StreamSource = { readonly pump: PumpMemory } | { readonly path: string } | { readonly bytes: Uint8Array };

export interface StreamItem {
  readonly source: StreamSource;
  readonly chunkClass: ChunkClass;
}

/** What became of a stream. */
export interface StreamResult {
  readonly sizeBytes: number;
  readonly crc32c: number;
  /** Of each chunk: its number among the known ones, -1 where it was not known. */
  readonly known: Int32Array;
  /** Where those lie that were not known, in order. */
  readonly stored: readonly StoredBlob[];
  /** Of the run of 16 bytes for each chunk. */
  readonly sums: readonly Extent[];
}

/** What a thread is asked: to store a stream, to finish its open pack, or to delete what it has written. */
export type StoreTask = { readonly item: StreamItem } | { readonly finish: true } | { readonly discard: true };

export type StoreResult = { readonly stream: StreamResult } | { readonly packs: readonly FinishedPack[] };

/** A stream as it lies in the repository. */
export type StoredStream = Pick<ManifestEntry, 'sizeBytes' | 'crc32c' | 'extents' | 'sums' | 'flags'>;

/** Who does it: threads, or this thread in tests. */
export interface Storing {
  /** How many streams are stored at once. */
  readonly parallel: number;
  store(item: StreamItem): Promise<StoredStream>;
  /** Makes all packs durable. */
  finish(): Promise<FinishedPack[]>;
  /** Removes what was written, after a dump that failed. */
  discard(): Promise<void>;
  close(): Promise<void>;
}
