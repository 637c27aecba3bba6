import type { Extent } from '../repository/file-map.ts';

/** What a file gets once its content is whole. */
export interface FileAttributes {
  readonly mode: number;
  readonly modifiedMs: number;
  /** Owner to set, where this process may. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

/** A run of one file to be written; structured-cloneable. */
export interface RestoreItem {
  readonly absolutePath: string;
  /** `undefined` where the item is a piece of a large file, which others write to as well. */
  readonly attributes: FileAttributes | undefined;
  /** Of the file or the piece, in the order of the file. */
  readonly extents: readonly Extent[];
  /** What the file is extended to, by a hole. */
  readonly emptyBytes?: number;
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
