import { createHash } from 'node:crypto';
import { hashPayload, type CompressedChunk } from './blob-seal.ts';
import { compress, type Compression } from './compression.ts';

/*
 * What identifies content before it is stored: SHA-256 over each chunk's plain length (4 bytes, little-endian) and
 * the SHA-256 of its payload. Different contents have different digests. The same content has the same
 * one as long as it is compressed by the same zstd with the same parameters; where digests differ, contents decide.
 * The hash is taken of the payload because that is a fifth of the content, and is hashed for its tag anyway.
 */

/** Content that is compressed, and can be stored under a key that names it. */
export interface PreparedContent {
  readonly chunks: readonly CompressedChunk[];
  /** 64 hexadecimal digits. */
  readonly digest: string;
}

/**
 * Nobody wants a part of this content, and each call of zlib has its price: less CPU time than with 1 MiB, with which it
 * is a little larger, and than with 16 MiB, which no cache holds.
 */
const chunkBytes = 4_194_304;

export function prepareContent(bytes: Uint8Array, compression: Compression): PreparedContent {
  const chunks: CompressedChunk[] = [];
  const digest = new ContentDigest();
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const plain = bytes.subarray(at, at + chunkBytes);
    const payload = compress(plain, compression);
    const payloadHash = hashPayload(payload);
    digest.add(plain.length, payloadHash);
    chunks.push({ payload, plainBytes: plain.length, payloadHash });
  }
  return { chunks, digest: digest.finish() };
}

export class ContentDigest {
  readonly #hash = createHash('sha256');
  readonly #length = Buffer.alloc(4);

  add(plainBytes: number, payloadHash: Uint8Array): void {
    this.#length.writeUInt32LE(plainBytes);
    this.#hash.update(this.#length).update(payloadHash);
  }

  finish(): string {
    return this.#hash.digest('hex');
  }
}
