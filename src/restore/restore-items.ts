import type { Extent } from '../repository/file-map.ts';
import type { FileRange } from './extent-order.ts';

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
  /** What the file is cut to, or extended to by a hole. */
  readonly lengthBytes?: number;
  /** Where the file is there already; `extents` are then read only where it differs. */
  readonly compared?: ComparedPart;
}

/** What of a file that is there is compared. */
export interface ComparedPart {
  /** Begins with a block (repository/block-sums.ts). */
  readonly range: FileRange;
  /** Where the sums of the range's blocks lie; `undefined` where there are none: then all of it counts as different. */
  readonly sums: readonly Extent[] | undefined;
  /** Of the file as it is. */
  readonly presentBytes: number;
  /** Whether it has the attributes already, as long as its content is not written. */
  readonly hasAttributes: boolean;
  /** Nothing is written: how much would be is the answer. */
  readonly only: boolean;
}

export interface RestoreBatch {
  readonly items: readonly RestoreItem[];
}

export interface RestoredBatch {
  /** Of files that were not there. */
  readonly newBytes: number;
  /** Of files that were: what was looked at. */
  readonly comparedBytes: number;
  /** What of that was written, or would be. */
  readonly changedBytes: number;
}

/** Who does it: threads, or this thread in tests. */
export interface Restoring {
  readonly parallel: number;
  restore(items: readonly RestoreItem[]): Promise<RestoredBatch>;
  close(): Promise<void>;
}
