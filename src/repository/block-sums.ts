import { hash, hkdfSync } from 'node:crypto';
import { crc32cCombine, crc32cMover, moveCrc32c } from '../bytes/crc32c.ts';

/*
 * Sums of the blocks of a file: for every 8 KiB, the last may be shorter, their CRC-32C and a keyed hash of them, each a
 * u32 (docs/repository-format.md, "Block sums"). They are taken by the page kernel, in the pass that checks what was read.
 */

/** Bytes of a file to a sum. */
export const summedBytes = 8192;
export const sumBytes = 8;

/** Bytes of all sums of a file of so many. */
export function sumsLength(sizeBytes: number): number {
  return Math.ceil(sizeBytes / summedBytes) * sumBytes;
}

let moverOfBlock: Uint32Array | undefined;

/** CRC-32C of the run of `sizeBytes` whose sums these are. */
export function crcOfSums(sums: Uint8Array, sizeBytes: number): number {
  moverOfBlock ??= crc32cMover(summedBytes);
  const whole = Math.floor(sizeBytes / summedBytes) * sumBytes;
  let crc = 0;
  for (let at = 0; at < whole; at += sumBytes) crc = moveCrc32c(crc, moverOfBlock) ^ crcAt(sums, at);
  const rest = sizeBytes % summedBytes;
  return rest === 0 ? crc >>> 0 : crc32cCombine(crc, crcAt(sums, whole), rest);
}

function crcAt(sums: Uint8Array, at: number): number {
  return sums[at]! | (sums[at + 1]! << 8) | (sums[at + 2]! << 16) | (sums[at + 3]! << 24);
}

/** A word for each word of a block, and three of 64 bits. */
const keyBytes = summedBytes + 24;
const info = 'pgrecall block sums';

/** The key that sums are taken with, expanded; without encryption it follows from the repository's identifier. */
export function expandSumKey(repositoryKey: Uint8Array | undefined, repositoryId: string): Uint8Array {
  const secret = repositoryKey ?? Buffer.from(repositoryId, 'hex');
  const seed = Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), info, 32));
  const parts: Uint8Array[] = [];
  const counted = Buffer.alloc(36);
  seed.copy(counted, 4);
  for (let i = 0; i * 32 < keyBytes; i += 1) {
    counted.writeUInt32LE(i);
    parts.push(hash('sha256', counted, 'buffer'));
  }
  return Buffer.concat(parts).subarray(0, keyBytes);
}
