import { createHash, hash } from 'node:crypto';
import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * The container of every stored binary object (docs/repository-format.md, "Sealed objects"):
 *
 *   header, 80 bytes
 *        0   8  magic, ASCII "pgrecall"
 *        8   2  format version, 1
 *       10   1  kind, see `objectKinds`
 *       11   1  flags: bit 0 = encrypted
 *       12   4  zero
 *       16  16  salt, random, never used twice
 *       32  32  SHA-256 of the object's identity, which is its key in the storage
 *       64  16  first half of SHA-256 of the 64 bytes before
 *   blobs, each: payload (zstd, or as it was where that is no longer), tag of 16 bytes
 *   trailer, 32 bytes
 *        0   8  offset of the footer
 *        8   4  stored bytes of the footer
 *       12   4  plain bytes of the footer
 *       16   8  zero
 *       24   8  magic, ASCII "llacergp"
 *
 * The last blob before the trailer is the footer. Little-endian throughout.
 */

const formatVersion = 1;
export const headerBytes = 80;
export const trailerBytes = 32;
export const tagBytes = 16;

/** Whether a blob is a compressed chunk: one that would not become shorter is stored as it is. */
export function isCompressed(blob: { readonly storedBytes: number; readonly plainBytes: number }): boolean {
  return blob.storedBytes < blob.plainBytes + tagBytes;
}

/** The largest plaintext of one blob, whatever its kind. */
export const maxBlobBytes = 67_108_864;

export const objectKinds = { pack: 1, manifest: 2, object: 3, document: 4 } as const;
export type ObjectKind = keyof typeof objectKinds;

/** What a blob is for; part of what is authenticated, so that a footer cannot pass for a chunk. */
export const blobRoles = { content: 1, index: 2, footer: 3 } as const;
export type BlobRole = keyof typeof blobRoles;

const magic = Buffer.from('pgrecall', 'latin1');
const endMagic = Buffer.from('llacergp', 'latin1');

export function encodeHeader(kind: ObjectKind, encrypted: boolean, salt: Uint8Array, identity: string): Buffer {
  const header = Buffer.alloc(headerBytes);
  magic.copy(header, 0);
  header.writeUInt16LE(formatVersion, 8);
  header[10] = objectKinds[kind];
  header[11] = encrypted ? 1 : 0;
  header.set(salt.subarray(0, 16), 16);
  hash('sha256', identity, 'buffer').copy(header, 32);
  hash('sha256', header.subarray(0, 64), 'buffer').copy(header, 64, 0, 16);
  return header;
}

/**
 * Checks that `header` belongs to an object of this kind and identity; gives its salt. Throws
 * `object-damaged`, `object-swapped`, `repository-newer`.
 */
export function checkHeader(header: Uint8Array, kind: ObjectKind, encrypted: boolean, identity: string): Uint8Array {
  const bytes = Buffer.from(header.buffer, header.byteOffset, header.byteLength);
  const tag = createHash('sha256').update(bytes.subarray(0, 64)).digest();
  if (
    bytes.length !== headerBytes ||
    !magic.equals(bytes.subarray(0, 8)) ||
    !tag.subarray(0, 16).equals(bytes.subarray(64))
  ) {
    throw damaged(identity, 'its header is not one of ours', 0);
  }
  const version = bytes.readUInt16LE(8);
  if (version > formatVersion) {
    throw new PgrecallError(
      'repository-newer',
      `"${identity}" has format ${version}; this pgrecall reads up to ${formatVersion}`,
    );
  }
  if (!hash('sha256', identity, 'buffer').equals(bytes.subarray(32, 64)) || bytes[10] !== objectKinds[kind]) {
    throw new PgrecallError('object-swapped', `"${identity}" holds another object than the one that was stored there`, {
      hint: 'an object was copied or renamed; put the right one back',
      details: { key: identity },
    });
  }
  if (bytes[11] !== (encrypted ? 1 : 0)) {
    const [is, should] = encrypted ? ['is not', 'is'] : ['is', 'is not'];
    throw damaged(identity, `it ${is} encrypted although the repository ${should}`, 0);
  }
  return bytes.subarray(16, 32);
}

export interface Trailer {
  readonly footerOffset: number;
  readonly footerStoredBytes: number;
  readonly footerPlainBytes: number;
}

export function encodeTrailer(trailer: Trailer): Buffer {
  const bytes = Buffer.alloc(trailerBytes);
  bytes.writeBigUInt64LE(BigInt(trailer.footerOffset), 0);
  bytes.writeUInt32LE(trailer.footerStoredBytes, 8);
  bytes.writeUInt32LE(trailer.footerPlainBytes, 12);
  endMagic.copy(bytes, 24);
  return bytes;
}

/** Throws `object-damaged` unless it is a trailer that fits an object of `sizeBytes`. */
export function decodeTrailer(trailer: Uint8Array, identity: string, sizeBytes: number): Trailer {
  const bytes = Buffer.from(trailer.buffer, trailer.byteOffset, trailer.byteLength);
  const at = sizeBytes - trailerBytes;
  const zero = bytes.subarray(16, 24).every((byte) => byte === 0);
  if (!endMagic.equals(bytes.subarray(24)) || !zero) {
    throw damaged(identity, 'its end is missing: the object is truncated or overwritten', at);
  }
  const footerOffset = Number(bytes.readBigUInt64LE(0));
  const footerStoredBytes = bytes.readUInt32LE(8);
  const footerPlainBytes = bytes.readUInt32LE(12);
  if (footerOffset + footerStoredBytes !== at || footerOffset < headerBytes || footerPlainBytes > maxBlobBytes) {
    throw damaged(identity, `its trailer does not fit its size of ${sizeBytes} bytes`, at);
  }
  return { footerOffset, footerStoredBytes, footerPlainBytes };
}

export function damaged(key: string, problem: string, offset: number, cause?: unknown): PgrecallError {
  return new PgrecallError('object-damaged', `"${key}" is damaged at byte ${offset}: ${problem}`, {
    details: { key, offset },
    cause,
  });
}

export function blobDamaged(key: string, problem: string, offset: number, cause?: unknown): PgrecallError {
  return new PgrecallError('blob-damaged', `"${key}" is damaged: the blob at byte ${offset} ${problem}`, {
    details: { key, offset },
    cause,
  });
}
