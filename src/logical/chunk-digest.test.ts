import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { chunkDigestBytes } from '../repository/manifest.ts';
import { ChunkDigester } from './chunk-digest.ts';

const sumKey = Buffer.from('a key of any length');

/** Elements of GF(2^128) as in NIST SP 800-38D, 6.3: bit 0 is the highest. */
function multiply(x: bigint, y: bigint): bigint {
  let [z, v] = [0n, y];
  for (let i = 127n; i >= 0n; i -= 1n) {
    if ((x >> i) & 1n) z ^= v;
    v = v & 1n ? (v >> 1n) ^ (0xe1n << 120n) : v >> 1n;
  }
  return z;
}

describe('a chunk is known by its digest', () => {
  it('which is the tag of AES-128-GCM: GHASH of the chunk and its length, and a constant', () => {
    const digester = new ChunkDigester(sumKey);
    const number = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
    // Of nothing the hash is 0; of a block of 0 ... 01 and its length it is two powers of the hash's key.
    const empty = number(digester.digest(new Uint8Array()));
    const zero = number(digester.digest(new Uint8Array(16))) ^ empty;
    const power = (() => {
      // zero = length (128 bits, in the upper half) times the key: divided by it.
      const [length, order] = [128n << 64n, 2n ** 128n - 2n];
      let [inverse, square] = [1n << 127n, length];
      for (let bits = order; bits > 0n; bits >>= 1n) {
        if (bits & 1n) inverse = multiply(inverse, square);
        square = multiply(square, square);
      }
      return multiply(zero, inverse);
    })();
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), (bytes) => {
        const padded = Buffer.alloc(Math.ceil(bytes.length / 16) * 16);
        padded.set(bytes);
        let sum = 0n;
        for (let at = 0; at < padded.length; at += 16)
          sum = multiply(sum ^ number(padded.subarray(at, at + 16)), power);
        sum = multiply(sum ^ (BigInt(bytes.length * 8) << 64n), power);
        assert.equal(number(digester.digest(bytes)), sum ^ empty);
      }),
      { numRuns: 30 },
    );
  });

  it('of 16 bytes, which changes with every bit, with the length and with the key', () => {
    const digester = new ChunkDigester(sumKey);
    const chunk = createHash('sha256').update('chunk').digest();
    const seen = new Set<string>();
    const add = (bytes: Uint8Array, by = digester): void => {
      const digest = by.digest(bytes);
      assert.equal(digest.length, chunkDigestBytes);
      seen.add(Buffer.from(digest).toString('hex'));
    };
    add(chunk);
    add(chunk, new ChunkDigester(Buffer.from('another')));
    for (let bit = 0; bit < 256; bit += 1) {
      const changed = Buffer.from(chunk);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      add(changed);
    }
    for (let length = 0; length < 32; length += 1) add(chunk.subarray(0, length));
    for (let zeros = 1; zeros < 20; zeros += 1) add(Buffer.concat([chunk, Buffer.alloc(zeros)]));
    assert.equal(seen.size, 2 + 256 + 32 + 19);
    assert.deepEqual(digester.digest(chunk), new ChunkDigester(sumKey).digest(chunk));
  });
});
