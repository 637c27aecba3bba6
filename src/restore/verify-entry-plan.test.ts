import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { summedBytes } from '../repository/block-sums.ts';
import type { Extent } from '../repository/file-map.ts';
import { parsePackId } from '../repository/pack-id.ts';
import { entryFlags } from '../repository/manifest.ts';
import { pieceBytes } from './extent-order.ts';
import { planEntry, type PlanOptions, type VerifiedFile } from './verify-entry-plan.ts';

const [old, fresh, sums] = ['0', '1', '2'].map((digit) => parsePackId(digit.repeat(32))) as [
  Extent['pack'],
  Extent['pack'],
  Extent['pack'],
];
const block = summedBytes;

function extent(pack: Extent['pack'], fileOffset: number, lengthBytes: number, blobOffset = fileOffset): Extent {
  return { fileOffset, lengthBytes, pack, blobOffset, blob: { offset: 80, storedBytes: 5000, plainBytes: 1_048_576 } };
}

function file(sizeBytes: number, changes: Partial<VerifiedFile> = {}): VerifiedFile {
  return {
    sizeBytes,
    crc32c: 1,
    flags: 0,
    extents: [extent(old, 0, sizeBytes)],
    sums: [extent(sums, 0, Math.ceil(sizeBytes / block) * 8)],
    ...changes,
  };
}

/** Which bytes are to be read. */
function toRead(of: VerifiedFile, options: Partial<PlanOptions> = {}): number[][] {
  const { items } = planEntry(of, { beside: undefined, isToRead: () => true, manifestIsNew: true, ...options });
  return items.flatMap(({ content }) => content.map(({ fileOffset, lengthBytes }) => [fileOffset, lengthBytes]));
}

describe('what is to be read of a file', () => {
  it('is all of it where no other backup has it, in pieces', () => {
    assert.deepEqual(toRead(file(3 * block + 5)), [[0, 3 * block + 5]]);
    const large = planEntry(file(pieceBytes + block), {
      beside: undefined,
      isToRead: () => true,
      manifestIsNew: true,
    });
    assert.deepEqual(
      large.items.map(({ content }) => content[0]?.lengthBytes),
      [pieceBytes, block],
    );
    assert.equal(large.givesCrc, true);
  });

  it('is nothing of what another backup has in the same way', () => {
    assert.deepEqual(
      planEntry(file(block), { beside: file(block), isToRead: () => true, manifestIsNew: true }).items,
      [],
    );
    assert.deepEqual(toRead(file(0)), []);
  });

  it('is what lies elsewhere than in the other backup', () => {
    const changed = file(3 * block, {
      crc32c: 2,
      extents: [extent(old, 0, block), extent(fresh, block, block, 0), extent(old, 2 * block, block)],
      sums: [extent(fresh, 0, 24, block)],
    });
    assert.deepEqual(toRead(changed, { beside: file(3 * block) }), [[block, block]]);
    const [item] = planEntry(changed, { beside: file(3 * block), isToRead: () => true, manifestIsNew: true }).items;
    assert.ok(item?.kind === 'blocks');
    assert.deepEqual(
      item.beside?.same.map(({ fileOffset }) => fileOffset),
      [0, 2 * block],
      'whose sums are compared',
    );
  });

  it('is the last block of a file that was cut, although it lies where it did', () => {
    const cut = file(block + 100, { crc32c: 2, extents: [extent(old, 0, block + 100)], sums: [extent(fresh, 0, 16)] });
    assert.deepEqual(toRead(cut, { beside: file(3 * block) }), [[block, 100]]);
    const grown = file(2 * block, { crc32c: 2, extents: [extent(old, 0, 2 * block)], sums: [extent(fresh, 0, 16)] });
    assert.deepEqual(toRead(grown, { beside: file(block + 100) }), [[block, block]]);
  });

  it('is not what lies in packs that are known to be good', () => {
    const isToRead = (pack: Extent['pack']): boolean => pack === fresh;
    const mixed = file(2 * block, { extents: [extent(old, 0, block), extent(fresh, block, block, 0)] });
    assert.deepEqual(toRead(mixed, { isToRead }), [[block, block]]);
    const known = planEntry(file(2 * block), { beside: undefined, isToRead: () => false, manifestIsNew: false });
    assert.deepEqual(known.items, []);
    const compared = planEntry(file(2 * block), { beside: undefined, isToRead: () => false, manifestIsNew: true });
    assert.deepEqual([compared.items.length, compared.givesCrc], [1, true], 'its sums have to make its CRC');
  });

  it('is all of it in its order where blocks have no sums, or are cut by the map', () => {
    const pieces = [extent(old, 0, 100), extent(fresh, 100, block, 0), extent(old, 100 + block, 50)];
    for (const changes of [{ sums: [] }, { extents: pieces }, { flags: entryFlags.chunkDigests }]) {
      const of = file(150 + block, { extents: pieces, ...changes });
      const plan = planEntry(of, { beside: undefined, isToRead: () => true, manifestIsNew: false });
      assert.deepEqual([plan.items.map(({ kind }) => kind), plan.givesCrc], [['stream'], true]);
      assert.deepEqual(plan.items[0]?.content, of.extents);
      assert.deepEqual(toRead(of, { isToRead: () => false }), []);
      assert.equal(toRead(of, { isToRead: (pack) => pack === fresh }).length, 3);
    }
  });
});
