import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Extent } from '../repository/file-map.ts';
import { parsePackId } from '../repository/pack-id.ts';
import { inBlobOrder, partsWithin, piecesOf, type FileRange } from './extent-order.ts';

const packs = ['a', 'b', 'c'].map((digit) => parsePackId(digit.repeat(32)));

function extent(fileOffset: number, lengthBytes: number, pack: number, blobOffset: number): Extent {
  const id = packs[pack];
  assert.ok(id);
  const blob = { offset: 100 + 1000 * blobOffset, storedBytes: 900, plainBytes: 5000 };
  return { fileOffset, lengthBytes, pack: id, blob, blobOffset };
}

/** Maps without gaps. */
const maps = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.nat(2), fc.nat(9)), { maxLength: 30 })
  .map((parts) => {
    let at = 0;
    return parts.map(([lengthBytes, pack, blobOffset]) => {
      const one = extent(at, lengthBytes, pack, blobOffset);
      at += lengthBytes;
      return one;
    });
  });

const ranges = fc.array(fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 40 })), { maxLength: 12 }).map((steps) => {
  const found: FileRange[] = [];
  let at = 0;
  for (const [gap, length] of steps) {
    found.push({ start: at + gap, end: at + gap + length });
    at += gap + length;
  }
  return found;
});

/** For each byte of the file where it lies. */
function bytesOf(extents: readonly Extent[]): Map<number, string> {
  const found = new Map<number, string>();
  for (const { fileOffset, lengthBytes, pack, blob, blobOffset } of extents) {
    for (let i = 0; i < lengthBytes; i += 1) {
      assert.ok(!found.has(fileOffset + i), `byte ${fileOffset + i} twice`);
      found.set(fileOffset + i, `${pack} ${blob.offset} ${blobOffset + i}`);
    }
  }
  return found;
}

describe('the parts of a file map', () => {
  it('within ranges are these bytes and no others', () => {
    fc.assert(
      fc.property(maps, ranges, (extents, wanted) => {
        const whole = bytesOf(extents);
        const expected = [...whole].filter(([at]) => wanted.some(({ start, end }) => at >= start && at < end));
        assert.deepEqual(bytesOf(partsWithin(extents, wanted)), new Map(expected));
      }),
    );
  });

  it('in the order of the blobs are the same parts, each pack in one go and forwards', () => {
    fc.assert(
      fc.property(maps, (extents) => {
        const ordered = inBlobOrder(extents);
        assert.deepEqual(new Set(ordered), new Set(extents));
        assert.equal(ordered.length, extents.length);
        const turns = ordered.map(({ pack }) => pack).filter((pack, i, all) => pack !== all[i - 1]);
        assert.equal(new Set(turns).size, turns.length);
        for (const [i, { pack, blob }] of ordered.entries()) {
          const before = ordered[i - 1];
          assert.ok(before?.pack !== pack || before.blob.offset <= blob.offset);
        }
      }),
    );
  });

  it('of a full backup are in that order as they are', () => {
    const extents = [extent(0, 10, 0, 1), extent(10, 10, 0, 2), extent(20, 10, 2, 0), extent(30, 10, 2, 5)];
    assert.equal(inBlobOrder(extents), extents);
  });
});

describe('the pieces of a file', () => {
  it('are 64 MiB each, and what is left', () => {
    const mebibytes = (count: number): number => count * 1_048_576;
    assert.deepEqual([...piecesOf(0)], []);
    assert.deepEqual([...piecesOf(5)], [{ start: 0, end: 5 }]);
    assert.deepEqual(
      [...piecesOf(mebibytes(128) + 1)],
      [
        { start: 0, end: mebibytes(64) },
        { start: mebibytes(64), end: mebibytes(128) },
        { start: mebibytes(128), end: mebibytes(128) + 1 },
      ],
    );
  });
});
