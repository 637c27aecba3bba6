import type { Extent } from '../repository/file-map.ts';

/** A run of one file to be read back; structured-cloneable. */
export interface VerifyItem {
  readonly extents: readonly Extent[];
}

/** What was read: the bytes' count and CRC-32C, or what is wrong with them. */
export type VerifiedItem =
  | { readonly kind: 'read'; readonly lengthBytes: number; readonly crc32c: number }
  | { readonly kind: 'damaged'; readonly code: string; readonly message: string };

export interface VerifyBatch {
  readonly items: readonly VerifyItem[];
}

export interface VerifiedBatch {
  readonly items: readonly VerifiedItem[];
}
