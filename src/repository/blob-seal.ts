import { createCipheriv, createDecipheriv, createSecretKey, hash, hkdfSync, timingSafeEqual } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { compress, decompress, type Compression } from './compression.ts';
import { blobDamaged, blobRoles, headerBytes, maxBlobBytes, tagBytes, type BlobRole } from './sealed-format.ts';

/*
 * Seals and opens the blobs of one object.
 *
 * What is authenticated besides the payload ("associated data", 93 bytes): the whole header, then the
 * role (1), the blob's offset in the object (8) and its plain length (4). A blob therefore opens only
 * in its own object, at its own place, for its own purpose.
 *
 * Encrypted: AES-256-GCM under a key of this object alone, HKDF-SHA-256 of the repository's key with
 * the header's salt and the info "pgrecall object"; the nonce is the offset, which no two blobs share.
 * Not encrypted: the tag is the first half of SHA-256 of the associated data and the SHA-256 of the payload. Two
 * steps, so that the payload's hash, which identifies content wherever it is stored, is taken once for both.
 */

const infoObject = 'pgrecall object';
const associatedBytes = headerBytes + 13;
const hashBytes = 32;

/** Room that sealing `plainBytes` takes at most. */
export function sealedBound(plainBytes: number): number {
  return plainBytes + tagBytes;
}

/** A chunk on its way into a blob. */
export interface CompressedChunk {
  readonly payload: Uint8Array;
  readonly plainBytes: number;
  /** SHA-256 of the payload, where it is known. */
  readonly payloadHash?: Uint8Array;
}

export function hashPayload(payload: Uint8Array): Uint8Array {
  return hash('sha256', payload, 'buffer');
}

export class BlobSeal {
  readonly #identity: string;
  readonly #key: KeyObject | undefined;
  /** Room for a payload's hash after it. */
  readonly #bound = Buffer.alloc(associatedBytes + hashBytes);
  readonly #associated = this.#bound.subarray(0, associatedBytes);
  readonly #nonce = Buffer.alloc(12);

  constructor(header: Uint8Array, repositoryKey: Uint8Array | undefined, identity: string) {
    this.#identity = identity;
    this.#associated.set(header, 0);
    if (repositoryKey) {
      const salt = header.subarray(16, 32);
      this.#key = createSecretKey(new Uint8Array(hkdfSync('sha256', repositoryKey, salt, infoObject, 32)));
    }
  }

  #bind(role: BlobRole, offset: number, plainBytes: number): void {
    const low = offset % 0x1_0000_0000;
    const high = Math.floor(offset / 0x1_0000_0000);
    const associated = this.#associated;
    associated[headerBytes] = blobRoles[role];
    associated.writeUInt32LE(low, headerBytes + 1);
    associated.writeUInt32LE(high, headerBytes + 5);
    associated.writeUInt32LE(plainBytes, headerBytes + 9);
    this.#nonce.writeUInt32LE(low, 0);
    this.#nonce.writeUInt32LE(high, 4);
  }

  /** Puts the sealed chunk into `into` at `at` (room: `sealedBound`); gives its stored length. */
  seal(plain: Uint8Array, role: BlobRole, offset: number, compression: Compression, into: Buffer, at: number): number {
    return this.sealPayload(
      { payload: compress(plain, compression), plainBytes: plain.length },
      role,
      offset,
      into,
      at,
    );
  }

  /** The same of a chunk that is compressed already. */
  sealPayload(chunk: CompressedChunk, role: BlobRole, offset: number, into: Buffer, at: number): number {
    const { payload, plainBytes } = chunk;
    const end = at + payload.length;
    this.#bind(role, offset, plainBytes);
    if (this.#key) {
      const cipher = createCipheriv('aes-256-gcm', this.#key, this.#nonce, { authTagLength: tagBytes });
      cipher.setAAD(this.#associated);
      into.set(cipher.update(payload), at);
      cipher.final();
      into.set(cipher.getAuthTag(), end);
    } else {
      into.set(payload, at);
      into.set(this.#hashTag(chunk.payloadHash ?? hashPayload(payload)), end);
    }
    return payload.length + tagBytes;
  }

  #hashTag(payloadHash: Uint8Array): Uint8Array {
    this.#bound.set(payloadHash, associatedBytes);
    return hash('sha256', this.#bound, 'buffer').subarray(0, tagBytes);
  }

  /** SHA-256 of the payload of a blob that lies at `offset`, checked. Throws `blob-damaged`. */
  payloadHash(stored: Uint8Array, role: BlobRole, offset: number, plainBytes: number): Uint8Array {
    return hashPayload(this.openPayload(stored, role, offset, plainBytes).payload);
  }

  /**
   * The chunk of a blob that lies at `offset` as it was compressed, checked: what `sealPayload` puts elsewhere. May be a
   * view of `stored`. Throws `blob-damaged`.
   */
  openPayload(stored: Uint8Array, role: BlobRole, offset: number, plainBytes: number): CompressedChunk {
    const payloadBytes = stored.length - tagBytes;
    this.#bind(role, offset, plainBytes);
    return {
      payload: this.#unseal(stored.subarray(0, payloadBytes), stored.subarray(payloadBytes), offset),
      plainBytes,
    };
  }

  /** The chunk of a blob that lies at `offset`. Throws `blob-damaged`. */
  open(stored: Uint8Array, role: BlobRole, offset: number, plainBytes: number): Buffer {
    const payloadBytes = stored.length - tagBytes;
    if (payloadBytes < 0 || payloadBytes > plainBytes || plainBytes > maxBlobBytes) {
      throw blobDamaged(this.#identity, `cannot hold ${plainBytes} bytes in ${stored.length}`, offset);
    }
    this.#bind(role, offset, plainBytes);
    const payload = this.#unseal(stored.subarray(0, payloadBytes), stored.subarray(payloadBytes), offset);
    if (payloadBytes === plainBytes) return payload;
    try {
      return decompress(payload, plainBytes);
    } catch (error) {
      throw blobDamaged(this.#identity, `does not decompress to ${plainBytes} bytes`, offset, error);
    }
  }

  #unseal(payload: Uint8Array, tag: Uint8Array, offset: number): Buffer {
    if (this.#key) {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, this.#nonce, { authTagLength: tagBytes });
      decipher.setAAD(this.#associated);
      decipher.setAuthTag(tag);
      const opened = decipher.update(payload);
      try {
        decipher.final();
      } catch (error) {
        throw blobDamaged(this.#identity, 'fails authentication', offset, error);
      }
      return opened;
    }
    const expected = this.#hashTag(hashPayload(payload));
    if (!timingSafeEqual(expected, tag)) {
      throw blobDamaged(this.#identity, 'does not match its hash', offset);
    }
    return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  }
}
