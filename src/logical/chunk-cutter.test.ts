import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createPageKernel } from '../postgres/page-kernel.ts';
import { ChunkCutter, chunkClassOf } from './chunk-cutter.ts';

/* Small chunks, so that a test sees many of them. */
const small = { leastBytes: 64, bits: 6 };
const mostBytes = 1024;
const key = Buffer.from('a key');
const kernel = createPageKernel(262_144);

function cut(bytes: Uint8Array, chunkKey: Uint8Array = key): number[] {
  const cutter = new ChunkCutter(kernel, chunkKey, small, mostBytes);
  kernel.buffer.set(bytes);
  const ends: number[] = [];
  for (let start = 0; start < bytes.length; start = ends.at(-1)!) ends.push(cutter.endOfChunk(start, bytes.length));
  return ends;
}

/** The definition, byte by byte: the hash of 32 bytes is the sum of their numbers, each moved by how far back it is. */
function naiveEnd(bytes: Uint8Array, start: number, gear: Int32Array): number {
  const limit = Math.min(bytes.length, start + mostBytes);
  for (let at = start + small.leastBytes; at < limit; at += 1) {
    let sum = 0;
    for (let back = 1; back <= 32; back += 1) sum = (sum + (gear[bytes[at - back]!]! << (back - 1))) | 0;
    if (sum >>> (32 - small.bits) === 0) return at;
  }
  return limit;
}

/** Bytes that look like nothing, the same for the same seed. */
function noise(seed: number, length: number): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; i * 32 < length; i += 1) parts.push(hash('sha256', `${seed} ${i}`, 'buffer'));
  return Buffer.concat(parts).subarray(0, length);
}

describe('a stream is cut where its content says so', () => {
  const streams = fc.oneof(
    fc.uint8Array({ maxLength: 5000 }),
    fc.record({ seed: fc.nat(), length: fc.nat(20_000) }).map(({ seed, length }) => noise(seed, length)),
    // Of few values, where no end is found for long.
    fc.array(fc.integer({ min: 48, max: 49 }), { maxLength: 3000 }).map((values) => Uint8Array.from(values)),
  );

  it('as the definition says, byte by byte', () => {
    fc.assert(
      fc.property(streams, (bytes) => {
        let start = 0;
        for (const end of cut(bytes)) {
          assert.equal(end, naiveEnd(bytes, start, kernel.gear));
          start = end;
        }
      }),
    );
  });

  it('into chunks within their bounds, which are the whole', () => {
    fc.assert(
      fc.property(streams, (bytes) => {
        const ends = cut(bytes);
        const sizes = ends.map((end, i) => end - (ends[i - 1] ?? 0));
        for (const size of sizes.slice(0, -1)) assert.ok(size >= small.leastBytes && size <= mostBytes, `${size}`);
        assert.ok((sizes.at(-1) ?? 1) <= mostBytes);
        assert.equal(ends.at(-1) ?? 0, bytes.length);
      }),
    );
  });

  it('alike again soon after something was put in, changed or taken away', () => {
    let shared = 0;
    let all = 0;
    fc.assert(
      fc.property(fc.nat(), fc.nat(29_999), fc.nat(200), fc.nat(200), (seed, at, removed, added) => {
        const before = noise(seed, 30_000);
        const after = Buffer.concat([before.subarray(0, at), noise(seed + 1, added), before.subarray(at + removed)]);
        const chunksOf = (bytes: Buffer): Set<string> => {
          const ends = cut(bytes);
          return new Set(ends.map((end, i) => bytes.toString('latin1', ends[i - 1] ?? 0, end)));
        };
        const known = chunksOf(before);
        const chunks = chunksOf(after);
        all += chunks.size;
        for (const chunk of chunks) if (known.has(chunk)) shared += 1;
      }),
      { seed: 20_261_125 },
    );
    // Of some 230 chunks one is changed, and a few after it until both are cut at the same place again.
    assert.ok(shared / all > 0.97, `${shared} of ${all}`);
  });

  it('elsewhere under another key', () => {
    const bytes = noise(1, 30_000);
    const other = new Set(cut(bytes, Buffer.from('another key')));
    const same = cut(bytes).filter((end) => other.has(end));
    assert.ok(same.length < 20, `${same.length} of ${other.size}`);
  });

  it('into chunks of the size that its database asks for, the same from one day to the next', () => {
    assert.deepEqual(chunkClassOf(0), { leastBytes: 65_536, bits: 16 });
    assert.deepEqual(chunkClassOf(2 ** 36 - 1), { leastBytes: 65_536, bits: 16 });
    assert.deepEqual(chunkClassOf(2 ** 36), { leastBytes: 131_072, bits: 17 });
    assert.deepEqual(chunkClassOf(2 ** 50), { leastBytes: 262_144, bits: 18 });
  });
});
