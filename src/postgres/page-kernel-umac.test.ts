import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { it } from 'node:test';
import { createPageKernel } from './page-kernel.ts';
import { pageBytes } from './page.ts';

/*
 * The hash of block sums begins with NH of UMAC. So a whole UMAC-32 is put around it here, for messages of up to 1,024 bytes
 * (RFC 4418, 5.2 to 5.4 and 4), and its tags are compared with those of the RFC's appendix.
 */

const key = Buffer.from('abcdefghijklmnop');
const nonce = Buffer.from('bcdefghi');
const [mask36, prime36] = [2n ** 36n - 1n, 2n ** 36n - 5n];

const vectors: readonly (readonly [string, string])[] = [
  ['a'.repeat(3), '3b91d102'],
  ['a'.repeat(1024), '599b350b'],
  ['abc', 'abf3a3a0'],
];

function aes(block: Uint8Array, under: Uint8Array): Buffer {
  return createCipheriv('aes-128-ecb', under, null).setAutoPadding(false).update(block);
}

/** KDF(K, index, length). */
function derive(index: number, length: number): Buffer {
  const parts: Buffer[] = [];
  for (let i = 1; i <= Math.ceil(length / 16); i += 1) {
    const block = Buffer.alloc(16);
    block.writeBigUInt64BE(BigInt(index), 0);
    block.writeBigUInt64BE(BigInt(i), 8);
    parts.push(aes(block, key));
  }
  return Buffer.concat(parts).subarray(0, length);
}

/** NH of the message, out of a kernel that is given a key which hands either half of it through. */
function nh(message: Buffer, words: Buffer): bigint {
  const half = (low: bigint, high: bigint): bigint => {
    const sumKey = Buffer.alloc(pageBytes + 24);
    // The RFC reads its key as big-endian words.
    for (let at = 0; at < words.length; at += 4) sumKey.writeUInt32LE(words.readUInt32BE(at), at);
    sumKey.writeBigUInt64LE(low, pageBytes);
    sumKey.writeBigUInt64LE(high, pageBytes + 8);
    const kernel = createPageKernel(pageBytes, sumKey);
    kernel.buffer.set(message);
    return BigInt(Buffer.from(kernel.sums(0, message.length)).readUInt32LE(4));
  };
  const sum = half(2n ** 32n, 0n) + 2n ** 32n * half(0n, 2n ** 32n);
  return BigInt.asUintN(64, sum - BigInt(message.length));
}

function umac32(message: Buffer): string {
  const first = BigInt.asUintN(64, nh(message, derive(1, 1024)) + BigInt(message.length * 8));
  const [key1, key2] = [derive(3, 64), derive(4, 4)];
  let sum = 0n;
  // 16 bytes, of which the first eight are zeros: four words of 16 bits are left.
  for (let i = 0; i < 4; i += 1) {
    const word = (first >> BigInt(48 - 16 * i)) & 0xffffn;
    sum += word * (key1.readBigUInt64BE((i + 4) * 8) % prime36);
  }
  const hashed = Number((sum % prime36) & mask36 & 0xffff_ffffn) ^ key2.readUInt32BE();
  const last = Buffer.concat([nonce, Buffer.alloc(8)]);
  const low = last[7] ?? 0;
  last[7] = low & ~3;
  const pad = aes(last, derive(0, 16)).readUInt32BE((low & 3) * 4);
  return ((hashed ^ pad) >>> 0).toString(16).padStart(8, '0');
}

it('makes the tags that RFC 4418 has', () => {
  for (const [message, tag] of vectors) assert.equal(umac32(Buffer.from(message)), tag);
});
