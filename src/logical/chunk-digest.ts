import { createCipheriv, createSecretKey, hash, type KeyObject } from 'node:crypto';

/*
 * What a chunk is known by (docs/repository-format.md, "Block sums"): 16 bytes, the tag of AES-128-GCM over a chunk that is only
 * authenticated. That is a hash with a secret key (GHASH), two chunks have the same one by a chance of one in 2^110, and
 * it takes 8.4 GB in a second where SHA-256 takes 1.5. Whoever does not know the key, which comes from the repository's, can make no two
 * chunks of one digest.
 */

const nonce = new Uint8Array(12);

export class ChunkDigester {
  readonly #key: KeyObject;

  /** `sumKey`: of the repository. */
  constructor(sumKey: Uint8Array) {
    const key = hash('sha256', Buffer.concat([Buffer.from('pgrecall chunk digests'), sumKey]), 'buffer');
    this.#key = createSecretKey(key.subarray(0, 16));
  }

  digest(chunk: Uint8Array): Uint8Array {
    const cipher = createCipheriv('aes-128-gcm', this.#key, nonce);
    cipher.setAAD(chunk);
    cipher.final();
    return cipher.getAuthTag();
  }
}
