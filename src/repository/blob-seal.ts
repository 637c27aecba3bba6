import { createCipheriv, createDecipheriv, createHash, createSecretKey, hkdfSync, timingSafeEqual } from 'node:crypto';
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
 * Not encrypted: the tag is the first half of SHA-256 of associated data and payload.
 */

const infoObject = 'pgrecall object';
const associatedBytes = headerBytes + 13;

/** Room that sealing `plainBytes` takes at most. */
export function sealedBound(plainBytes: number): number {
  return plainBytes + tagBytes;
}

export class BlobSeal {
  readonly #identity: string;
  readonly #key: KeyObject | undefined;
  readonly #associated = Buffer.alloc(associatedBytes);
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
    const payload = compress(plain, compression);
    const end = at + payload.length;
    this.#bind(role, offset, plain.length);
    if (this.#key) {
      const cipher = createCipheriv('aes-256-gcm', this.#key, this.#nonce, { authTagLength: tagBytes });
      cipher.setAAD(this.#associated);
      into.set(cipher.update(payload), at);
      cipher.final();
      into.set(cipher.getAuthTag(), end);
    } else {
      into.set(payload, at);
      createHash('sha256').update(this.#associated).update(payload).digest().copy(into, end, 0, tagBytes);
    }
    return payload.length + tagBytes;
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
    const expected = createHash('sha256').update(this.#associated).update(payload).digest();
    if (!timingSafeEqual(expected.subarray(0, tagBytes), tag)) {
      throw blobDamaged(this.#identity, 'does not match its hash', offset);
    }
    return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  }
}
