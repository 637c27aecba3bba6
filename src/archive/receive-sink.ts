import { readFileSync } from 'node:fs';
import { usedBytes } from './partial-segment.ts';

/**
 * Where received WAL goes for good. When a method has returned, the repository holds it durably.
 *
 * Segments are handed over as files: between threads a path is cheap, and a file outlives a crash.
 */
export interface WalSink {
  /** Stores the whole segment at `path`. */
  readonly segment: (name: string, path: string) => Promise<void>;
  /** Stores the beginning of a segment, its first `receivedBytes` at `path`; all that is not zeros unless given. */
  readonly partial: (name: string, path: string, receivedBytes?: number) => Promise<void>;
  readonly history: (name: string, content: Uint8Array) => Promise<void>;
}

/** What a sink needs of the archive. */
export interface SegmentStore {
  putSegment(name: string, bytes: Uint8Array): Promise<unknown>;
  putPartial(name: string, bytes: Uint8Array): Promise<unknown>;
  putHistory(name: string, bytes: Uint8Array): Promise<unknown>;
}

/** The sink that does the work itself, on the thread that it is called on. */
export function sinkInto(store: SegmentStore): WalSink {
  return {
    segment: async (name, path) => {
      await store.putSegment(name, readFileSync(path));
    },
    partial: async (name, path, receivedBytes) => {
      const bytes = readFileSync(path);
      await store.putPartial(name, bytes.subarray(0, receivedBytes ?? usedBytes(bytes)));
    },
    history: async (name, content) => {
      await store.putHistory(name, content);
    },
  };
}
