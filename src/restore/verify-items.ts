import type { ErrorCode } from '../errors/catalogue.ts';
import type { Extent } from '../repository/file-map.ts';
import type { PackId } from '../repository/pack-id.ts';

/* What goes to a thread that verifies, and what comes back; structured-cloneable. */

/** Blocks of one piece of a file, to be compared with the sums that its backup has of them. */
export interface BlockItem {
  readonly kind: 'blocks';
  /** Of the piece: where it begins in the file, a multiple of a block. */
  readonly start: number;
  readonly lengthBytes: number;
  /** What of the piece is to be read: whole blocks. */
  readonly content: readonly Extent[];
  /** Of every block of the piece; offsets count in the run of the file's sums. */
  readonly sums: readonly Extent[];
  /** Another backup of whose sums it is known that they are right, and the blocks that lie at the same place there. */
  readonly beside?: { readonly sums: readonly Extent[]; readonly same: readonly Extent[] };
}

/** Content of which there are no sums, from some byte of a file to some other. */
export interface StreamItem {
  readonly kind: 'stream';
  /** In the order of the file. */
  readonly content: readonly Extent[];
  /** To be read, and not compared with anything. */
  readonly also: readonly Extent[];
}

export type VerifyItem = BlockItem | StreamItem;

export interface VerifiedItem {
  readonly lengthBytes: number;
  /** Of all bytes of the item: as its sums say, or as it was read. `undefined` where damage is in the way. */
  readonly crc32c: number | undefined;
}

export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
}

/** A blob that does not open. */
export interface DamagedBlob extends Problem {
  readonly pack: PackId;
  readonly offset: number;
}

/** A block that opens, and is not what its backup's sums say. */
export interface WrongBlock {
  readonly pack: PackId;
  /** Of the blob. */
  readonly offset: number;
  /** Where the block begins in the blob's chunk. */
  readonly blobOffset: number;
  /** What the backup says, in hexadecimal. */
  readonly sum: string;
}

export interface VerifiedBatch {
  /** As many as items were sent, in their order. */
  readonly items: readonly VerifiedItem[];
  readonly damaged: readonly DamagedBlob[];
  readonly wrong: readonly WrongBlock[];
  /** Stored bytes that were read, each blob of the batch once. */
  readonly storedBytes: number;
}

/** Who does the reading. */
export interface Verifying {
  /** So many batches are worth sending at once. */
  readonly parallel: number;
  readonly verify: (items: readonly VerifyItem[]) => Promise<VerifiedBatch>;
  readonly close: () => Promise<void>;
}
