import type { Extent } from '../repository/file-map.ts';

/** A run of one file to be written; structured-cloneable. */
export interface RestoreItem {
  readonly absolutePath: string;
  readonly mode: number;
  /** Owner to set, where this process may. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** Time to set when the item is the whole file. */
  readonly modifiedMs: number | undefined;
  /** In the order of the file. */
  readonly extents: readonly Extent[];
}

export interface RestoreBatch {
  readonly items: readonly RestoreItem[];
}

export interface RestoredBatch {
  readonly writtenBytes: number;
}

/** Who does it: threads, or this thread in tests. */
export interface Restoring {
  readonly parallel: number;
  restore(items: readonly RestoreItem[]): Promise<RestoredBatch>;
  close(): Promise<void>;
}
