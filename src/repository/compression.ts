import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';

/** zstd's fastest level that compresses pages well; -1 would silently mean 3 in Node. */
export const defaultLevel = 1;

/** Below this a frame's overhead wins. */
const minimumBytes = 32;

const optionsOfLevel = new Map<number, Record<number, number>>();

function parameters(level: number): Record<number, number> {
  let found = optionsOfLevel.get(level);
  if (!found) {
    found = { [constants.ZSTD_c_compressionLevel]: level };
    optionsOfLevel.set(level, found);
  }
  return found;
}

/**
 * A zstd frame of `plain`, or `plain` itself where that is no longer. The length alone tells which:
 * a frame is always shorter.
 */
export function compress(plain: Uint8Array, level: number): Uint8Array {
  if (plain.length < minimumBytes) return plain;
  // Room for the worst case, so that the output is one buffer from one call.
  const chunkSize = plain.length + (plain.length >>> 8) + 128;
  const frame = zstdCompressSync(plain, { params: parameters(level), chunkSize });
  return frame.length < plain.length ? frame : plain;
}

/** Throws where the frame does not hold exactly `plainBytes`; never makes more than that. */
export function decompress(frame: Uint8Array, plainBytes: number): Buffer {
  // One byte more than expected: zlib then sees that the output is complete without asking for another chunk.
  const plain = zstdDecompressSync(frame, { chunkSize: Math.max(plainBytes + 1, 64), maxOutputLength: plainBytes + 1 });
  if (plain.length !== plainBytes) throw new Error(`expected ${plainBytes} bytes, found ${plain.length}`);
  return plain;
}
