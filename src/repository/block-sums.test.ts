import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { crc32c } from '../bytes/crc32c.ts';
import { createPageKernel } from '../postgres/page-kernel.ts';
import { crcOfSums, expandSumKey, sumBytes, summedBytes, sumsLength } from './block-sums.ts';

const repositoryId = '00112233445566778899aabbccddeeff';
const key = expandSumKey(undefined, repositoryId);

/** As the format's page defines it, one word after the other. */
function naiveSums(bytes: Uint8Array, sumKey: Uint8Array): Buffer {
  const words = new DataView(sumKey.buffer, sumKey.byteOffset, sumKey.byteLength);
  const sums = Buffer.alloc(sumsLength(bytes.length));
  for (let block = 0; block * summedBytes < bytes.length; block += 1) {
    const plain = bytes.subarray(block * summedBytes, (block + 1) * summedBytes);
    const padded = Buffer.alloc(Math.ceil(plain.length / 32) * 32);
    padded.set(plain);
    let nh = BigInt(plain.length);
    for (let at = 0; at < padded.length; at += 32) {
      for (let i = 0; i < 16; i += 4) {
        const a = (padded.readUInt32LE(at + i) + words.getUint32(at + i, true)) >>> 0;
        const b = (padded.readUInt32LE(at + i + 16) + words.getUint32(at + i + 16, true)) >>> 0;
        nh += BigInt(a) * BigInt(b);
      }
    }
    nh = BigInt.asUintN(64, nh);
    const [low, high, more] = [0, 8, 16].map((at) => words.getBigUint64(summedBytes + at, true)) as [
      bigint,
      bigint,
      bigint,
    ];
    const compressed = BigInt.asUintN(64, (nh & 0xffff_ffffn) * low + (nh >> 32n) * high + more);
    sums.writeUInt32LE(crc32c(plain), block * sumBytes);
    sums.writeUInt32LE(Number(compressed >> 32n), block * sumBytes + 4);
  }
  return sums;
}

const someBytes = fc
  .tuple(fc.integer({ min: 0, max: 3 * summedBytes + 100 }), fc.integer({ min: 1, max: 0x7fff_ffff }))
  .map(([length, seed]) => {
    const bytes = new Uint8Array(length);
    let state = seed;
    for (let i = 0; i < length; i += 1) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      bytes[i] = state >>> 24;
    }
    return bytes;
  });

describe('block sums', () => {
  it('are what the kernel makes, of runs of any length at any place', () => {
    const kernel = createPageKernel(4 * summedBytes, key);
    fc.assert(
      fc.property(someBytes, fc.integer({ min: 0, max: 500 }), (bytes, offset) => {
        kernel.buffer.fill(0xa5);
        kernel.buffer.set(bytes, offset);
        assert.deepEqual(Buffer.from(kernel.sums(offset, bytes.length)), naiveSums(bytes, key));
      }),
      { numRuns: 60 },
    );
  });

  it('give the CRC-32C of the whole', () => {
    fc.assert(
      fc.property(someBytes, (bytes) => {
        assert.equal(crcOfSums(naiveSums(bytes, key), bytes.length), crc32c(bytes));
      }),
      { numRuns: 60 },
    );
  });

  it('tell pages apart that differ in one bit, and shorter ones that go on with zeros', () => {
    const kernel = createPageKernel(summedBytes, key);
    const sumOf = (bytes: Uint8Array): string => {
      kernel.buffer.set(bytes);
      return Buffer.from(kernel.sums(0, bytes.length)).subarray(4).toString('hex');
    };
    const page = new Uint8Array(summedBytes).fill(7);
    const seen = new Set([sumOf(page)]);
    for (let bit = 0; bit < 512; bit += 1) {
      const other = Uint8Array.from(page);
      other[bit * 16] = 7 ^ (1 << (bit % 8));
      seen.add(sumOf(other));
    }
    assert.equal(seen.size, 513);
    assert.notEqual(sumOf(new Uint8Array(100)), sumOf(new Uint8Array(101)));
  });

  it('have a key of the repository', () => {
    assert.equal(key.length, summedBytes + 24);
    assert.notDeepEqual(expandSumKey(undefined, 'ff'.repeat(16)), key);
    assert.notDeepEqual(expandSumKey(new Uint8Array(32), repositoryId), key);
    assert.notDeepEqual(key.subarray(0, 32), key.subarray(32, 64));
  });
});
