import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { decodeIncrementalHeader, incrementalHeaderBytes } from './incremental-file.ts';

function header(blocks: readonly number[], truncation: number): Buffer {
  const into = new ByteWriter().u32(0xd3ae_1f0d).u32(blocks.length).u32(truncation);
  for (const block of blocks) into.u32(block);
  const padding = blocks.length === 0 ? 0 : (8192 - (into.length % 8192)) % 8192;
  return Buffer.concat([into.finish(), Buffer.alloc(padding)]);
}

const sizeOf = (blocks: readonly number[]): number => header(blocks, 0).length + blocks.length * 8192;

describe('an incremental file', () => {
  it('says which blocks it has, and how long the file is', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(131_071), { maxLength: 3000 }), fc.nat(131_072), (numbers, truncation) => {
        const blocks = numbers.toSorted((a, b) => a - b);
        const bytes = header(blocks, truncation);
        assert.equal(incrementalHeaderBytes(bytes.subarray(0, 12)), bytes.length);
        const found = decodeIncrementalHeader(bytes, sizeOf(blocks));
        assert.deepEqual([...found.blocks], blocks);
        assert.equal(found.lengthBlocks, Math.max(truncation, (blocks.at(-1) ?? -1) + 1));
      }),
    );
  });

  it('has a header without padding where no block follows', () => {
    assert.equal(header([], 7).length, 12);
    assert.deepEqual(decodeIncrementalHeader(header([], 7), 12).lengthBlocks, 7);
  });

  it('is refused where it is none, cut, or has blocks twice or out of order', () => {
    const isRefused = (error: unknown): boolean => hasCode(error, 'decode');
    assert.throws(() => incrementalHeaderBytes(Buffer.alloc(12)), isRefused);
    const many = new ByteWriter().u32(0xd3ae_1f0d).u32(131_073).u32(0).finish();
    assert.throws(() => incrementalHeaderBytes(many), isRefused);
    for (const blocks of [[2, 2], [3, 1], [131_072]]) {
      assert.throws(() => decodeIncrementalHeader(header(blocks, 0), sizeOf(blocks)), isRefused, String(blocks));
    }
    assert.throws(() => decodeIncrementalHeader(header([1], 0), sizeOf([1]) - 1), isRefused);
    assert.throws(() => decodeIncrementalHeader(header([1], 131_073), sizeOf([1])), isRefused);
    for (let length = 0; length < 12; length += 1)
      assert.equal(incrementalHeaderBytes(header([1], 0).subarray(0, length)), 12);
  });
});
