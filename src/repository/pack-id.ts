import { PgrecallError } from '../errors/pgrecall-error.ts';

declare const packIdBrand: unique symbol;

/** The name of a pack: 16 random bytes as 32 hexadecimal digits. */
export type PackId = string & { readonly [packIdBrand]: true };

/** Where a blob lies in its pack, and how much it holds. */
export interface BlobLocation {
  /** Of its first stored byte, from the beginning of the object. */
  readonly offset: number;
  /** Compressed and sealed, the tag included. */
  readonly storedBytes: number;
  /** Of the chunk that went in. */
  readonly plainBytes: number;
}

/** The largest chunk that a pack takes. */
export const maxChunkBytes = 1_048_576;

const pattern = /^[0-9a-f]{32}$/;

/** Throws `decode` where the text is not one. */
export function parsePackId(text: string): PackId {
  if (!pattern.test(text)) throw new PgrecallError('decode', `"${text}" is not the name of a pack`);
  return text as PackId;
}

export function packIdFromBytes(bytes: Uint8Array): PackId {
  return parsePackId(Buffer.from(bytes).toString('hex'));
}
