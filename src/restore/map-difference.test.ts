import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Extent } from '../repository/file-map.ts';
import { parsePackId } from '../repository/pack-id.ts';
import { compareMaps, holdsWholeBlocks, isSameMap } from './map-difference.ts';

const packs = [parsePackId('0'.repeat(32)), parsePackId('1'.repeat(32))] as const;

/** A map from parts of a few blobs, each part by where it begins in its blob. */
const map = fc
  .array(
    fc.record({
      pack: fc.constantFrom(...packs),
      offset: fc.constantFrom(80, 300),
      blobOffset: fc.nat(4),
      lengthBytes: fc.integer({ min: 1, max: 6 }),
    }),
    { maxLength: 8 },
  )
  .map((parts) => {
    let fileOffset = 0;
    return parts.map(({ pack, offset, blobOffset, lengthBytes }): Extent => {
      const blob = { offset, storedBytes: 50, plainBytes: 100 };
      const extent = { fileOffset, lengthBytes, pack, blob, blobOffset };
      fileOffset += lengthBytes;
      return extent;
    });
  });

/** Where each byte of the file is. */
function places(extents: readonly Extent[]): Map<number, string> {
  const found = new Map<number, string>();
  for (const { fileOffset, lengthBytes, pack, blob, blobOffset } of extents) {
    for (let i = 0; i < lengthBytes; i += 1) {
      assert.equal(found.has(fileOffset + i), false, 'no byte twice');
      found.set(fileOffset + i, `${pack} ${blob.offset} ${blobOffset + i}`);
    }
  }
  return found;
}

describe('two maps of a file', () => {
  it('have in common what lies at the same place, byte by byte', () => {
    fc.assert(
      fc.property(map, map, (a, b) => {
        const { same, fresh } = compareMaps(a, b);
        const [all, other] = [places(a), places(b)];
        const [inSame, inFresh] = [places(same), places(fresh)];
        for (const [at, place] of all) {
          const isSame = other.get(at) === place;
          assert.equal((isSame ? inSame : inFresh).get(at), place);
          assert.equal((isSame ? inFresh : inSame).has(at), false);
        }
        assert.equal(inSame.size + inFresh.size, all.size);
        for (const parts of [same, fresh]) {
          assert.deepEqual(
            parts.map(({ fileOffset }) => fileOffset),
            parts.map(({ fileOffset }) => fileOffset).toSorted((x, y) => x - y),
          );
        }
      }),
    );
  });

  it('are the same only where every byte is', () => {
    fc.assert(
      fc.property(map, map, (a, b) => {
        assert.equal(isSameMap(a, a), true);
        assert.equal(
          isSameMap(
            a,
            a.map((extent) => ({ ...extent })),
          ),
          true,
        );
        if (isSameMap(a, b)) assert.deepEqual(places(a), places(b));
      }),
    );
  });
});

it('a map holds whole blocks where each extent begins with one', () => {
  const blob = { offset: 80, storedBytes: 50, plainBytes: 16_384 };
  const extent = { fileOffset: 0, lengthBytes: 8192, pack: packs[0], blob, blobOffset: 0 };
  assert.equal(holdsWholeBlocks([]), true);
  assert.equal(holdsWholeBlocks([extent, { ...extent, fileOffset: 8192, lengthBytes: 5 }]), true);
  assert.equal(holdsWholeBlocks([extent, { ...extent, fileOffset: 100 }]), false);
});
