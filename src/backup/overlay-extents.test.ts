import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Extent } from '../repository/file-map.ts';
import { packIdFromBytes } from '../repository/pack-id.ts';
import { joinExtents, overlayExtents, splitExtents } from './overlay-extents.ts';
import { packMap, unpackMap } from './packed-map.ts';

/*
 * A model, byte by byte: what a map says is, for every byte of the file, a byte of a blob. Two maps are the same where
 * they say the same of every byte.
 */

const packs = [1, 2, 3].map((number) => packIdFromBytes(Buffer.alloc(16, number)));

function bytesOf(map: readonly Extent[]): string[] {
  const bytes: string[] = [];
  let end = 0;
  for (const { fileOffset, lengthBytes, pack, blob, blobOffset } of map) {
    assert.equal(fileOffset, end, 'a gap or an overlap');
    assert.ok(lengthBytes > 0 && blobOffset + lengthBytes <= blob.plainBytes, 'an extent beyond its blob');
    for (let i = 0; i < lengthBytes; i += 1) bytes.push(`${pack.slice(0, 2)} ${blob.offset} ${blobOffset + i}`);
    end += lengthBytes;
  }
  return bytes;
}

/** Parts of a few blobs, so that some follow each other. */
const partArbitrary = fc
  .record({
    pack: fc.constantFrom(...packs),
    blobNumber: fc.nat({ max: 3 }),
    from: fc.nat({ max: 29 }),
    length: fc.integer({ min: 1, max: 12 }),
  })
  .map(({ pack, blobNumber, from, length }) => ({
    pack,
    blob: { offset: 80 + blobNumber * 40, storedBytes: 40, plainBytes: 30 },
    blobOffset: from,
    lengthBytes: Math.min(length, 30 - from),
  }));

const mapArbitrary = fc.array(partArbitrary, { maxLength: 12 }).map((parts) => {
  let fileOffset = 0;
  return parts.map((part): Extent => {
    const extent = { ...part, fileOffset };
    fileOffset += part.lengthBytes;
    return extent;
  });
});

describe('a map laid over another', () => {
  it('says what it says where it says something, and leaves the rest as it was', () => {
    fc.assert(
      fc.property(
        mapArbitrary,
        fc.array(fc.record({ part: partArbitrary, gap: fc.nat({ max: 15 }) }), { maxLength: 10 }),
        fc.nat({ max: 160 }),
        (base, news, wanted) => {
          const model = bytesOf(base);
          const over: Extent[] = [];
          let at = 0;
          for (const { part, gap } of news) {
            // What is laid over begins no later than where the base ends.
            const fileOffset = Math.min(at + gap, Math.max(at, model.length));
            over.push({ ...part, fileOffset });
            for (let i = 0; i < part.lengthBytes; i += 1) {
              model[fileOffset + i] = `${part.pack.slice(0, 2)} ${part.blob.offset} ${part.blobOffset + i}`;
            }
            at = fileOffset + part.lengthBytes;
          }
          const length = Math.min(wanted, model.length);
          assert.deepEqual(bytesOf(overlayExtents(base, over, length)), model.slice(0, length));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('joins what follows each other in a blob', () => {
    const blob = { offset: 80, storedBytes: 900, plainBytes: 32 };
    const [pack, other] = packs as [Extent['pack'], Extent['pack']];
    const base: Extent[] = [{ fileOffset: 0, lengthBytes: 32, pack, blob, blobOffset: 0 }];
    const replaced: Extent = { fileOffset: 8, lengthBytes: 4, pack: other, blob, blobOffset: 0 };
    const cut = overlayExtents(base, [replaced], 32);
    assert.equal(cut.length, 3);
    const back = overlayExtents(cut, [{ fileOffset: 8, lengthBytes: 4, pack, blob, blobOffset: 8 }], 32);
    assert.deepEqual(back, base);
  });
});

describe('a map in pieces', () => {
  it('is the same map again when they are joined, each having been sent to a thread and back', () => {
    fc.assert(
      fc.property(mapArbitrary, fc.integer({ min: 1, max: 40 }), (map, partBytes) => {
        const model = bytesOf(map);
        const parts = splitExtents(map, partBytes).map((extents, i) => {
          const lengthBytes = Math.min(partBytes, model.length - i * partBytes);
          const back = unpackMap(packMap(extents), lengthBytes);
          assert.deepEqual(bytesOf(back), model.slice(i * partBytes, i * partBytes + lengthBytes));
          return unpackMap(packMap(extents), lengthBytes, i * partBytes);
        });
        assert.equal(parts.length, Math.ceil(model.length / partBytes));
        assert.deepEqual(bytesOf(joinExtents(parts)), model);
      }),
      { numRuns: 300 },
    );
  });
});
