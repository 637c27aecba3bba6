import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';

/** What the bytes are like; a reader need not know. */
export type Compression = 'pages' | 'wal' | 'text';

/**
 * zstd level 1 (-1 would silently mean 3 in Node), with the shortest match and the hash table that suit the content
 * (docs/architecture.md, "Compression"): pages shrink by 3 % more at the same rate, WAL at 5 % less cost to the same size,
 * what pg_dump writes at 9 % less to a little less.
 */
const parametersOf: Readonly<Record<Compression, Record<number, number>>> = {
  pages: {
    [constants.ZSTD_c_compressionLevel]: 1,
    [constants.ZSTD_c_minMatch]: 5,
    [constants.ZSTD_c_hashLog]: 13,
  },
  wal: {
    [constants.ZSTD_c_compressionLevel]: 1,
    [constants.ZSTD_c_minMatch]: 6,
    [constants.ZSTD_c_hashLog]: 12,
  },
  text: {
    [constants.ZSTD_c_compressionLevel]: 1,
    [constants.ZSTD_c_minMatch]: 7,
    [constants.ZSTD_c_hashLog]: 13,
  },
};

/** Below this a frame's overhead wins. */
const minimumBytes = 32;

/**
 * A zstd frame of `plain`, or `plain` itself where that is no longer. The length alone tells which:
 * a frame is always shorter.
 */
export function compress(plain: Uint8Array, compression: Compression): Uint8Array {
  if (plain.length < minimumBytes) return plain;
  // Room for the worst case, so that the output is one buffer from one call.
  const chunkSize = plain.length + (plain.length >>> 8) + 128;
  const frame = zstdCompressSync(plain, { params: parametersOf[compression], chunkSize });
  return frame.length < plain.length ? frame : plain;
}

/** Throws where the frame does not hold exactly `plainBytes`; never makes more than that. */
export function decompress(frame: Uint8Array, plainBytes: number): Buffer {
  // One byte more than expected: zlib then sees that the output is complete without asking for another chunk.
  const plain = zstdDecompressSync(frame, { chunkSize: Math.max(plainBytes + 1, 64), maxOutputLength: plainBytes + 1 });
  if (plain.length !== plainBytes) throw new Error(`expected ${plainBytes} bytes, found ${plain.length}`);
  return plain;
}

/**
 * Gives back the memory of what `compress` or `decompress` made when nobody will look at it any more: left to garbage
 * collection, such buffers gather, and set it off again and again.
 */
export function release(made: Uint8Array): void {
  const { buffer } = made;
  // Small ones are parts of a buffer that others use.
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0);
}
