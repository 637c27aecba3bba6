import { hkdfSync } from 'node:crypto';
import { check, sha256 } from './second-reader-sealed.ts';

/* The second reader's block sums: docs/repository-format.md, "Block sums". */

const blockBytes = 8192;

export interface SumKey {
  readonly words: readonly bigint[];
  readonly a: bigint;
  readonly b: bigint;
  readonly c: bigint;
}

/** `input`: the repository key, or the bytes of the repository's identifier. */
export function sumKey(input: Uint8Array): SumKey {
  const seed = Buffer.from(hkdfSync('sha256', input, '', 'pgrecall block sums', 32));
  const parts: Buffer[] = [];
  for (let number = 0; number * 32 < 8216; number += 1) {
    const counter = Buffer.alloc(4);
    counter.writeUInt32LE(number);
    parts.push(sha256(counter, seed));
  }
  const bytes = Buffer.concat(parts);
  return {
    words: Array.from({ length: 2048 }, (_, i) => BigInt(bytes.readUInt32LE(i * 4))),
    a: bytes.readBigUInt64LE(8192),
    b: bytes.readBigUInt64LE(8200),
    c: bytes.readBigUInt64LE(8208),
  };
}

/** Compares the run of sums of a file with its content. */
export function checkSums(sums: Buffer, content: Buffer, key: SumKey): void {
  check(sums.length === Math.ceil(content.length / blockBytes) * 8, 'another number of sums than of blocks');
  for (let at = 0; at < sums.length; at += 8) {
    const block = content.subarray(at * 1024, at * 1024 + blockBytes);
    check(sums.readUInt32LE(at) === crc32c(block), `the CRC of block ${at / 8}`);
    check(sums.readUInt32LE(at + 4) === hashOf(block, key), `the hash of block ${at / 8}`);
  }
}

function hashOf(block: Buffer, { words, a, b, c }: SumKey): number {
  const padded = Buffer.alloc(Math.ceil(block.length / 32) * 32);
  block.copy(padded);
  const added = (i: number): bigint => (BigInt(padded.readUInt32LE(i * 4)) + (words[i] ?? 0n)) % 2n ** 32n;
  let sum = BigInt(block.length);
  for (let i = 0; i * 4 < padded.length; i += 1) if (i % 8 < 4) sum += added(i) * added(i + 4);
  sum %= 2n ** 64n;
  const [low, high] = [sum % 2n ** 32n, sum / 2n ** 32n];
  return Number(((a * low + b * high + c) % 2n ** 64n) / 2n ** 32n);
}

/** Bit by bit, as the definition has it. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
