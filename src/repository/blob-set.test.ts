import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { packs } from '../../test/support/manifests.ts';
import { BlobSet, MovedBlobs } from './blob-set.ts';
import type { BlobLocation } from './pack-id.ts';

const blob = fc
  .record({ offset: fc.integer({ min: 80, max: 2 ** 40 }), storedBytes: fc.integer({ min: 17, max: 2 ** 20 }) })
  .map((one): BlobLocation => ({ ...one, plainBytes: one.storedBytes + 5 }));

/** Of one offset there is one blob. */
const blobs = fc.uniqueArray(blob, { maxLength: 300, selector: ({ offset }) => offset });

describe('a set of blobs', () => {
  it('has each once, in the order of the pack, however often and in whatever order they were added', () => {
    fc.assert(
      fc.property(blobs, fc.array(fc.nat()), (all, again) => {
        const set = new BlobSet();
        for (const one of all) set.add(one);
        for (const i of again) {
          const one = all[i % Math.max(1, all.length)];
          if (one) set.add(one);
        }
        assert.equal(set.size, all.length);
        assert.equal(
          set.storedBytes,
          all.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
        );
        assert.deepEqual(
          [...set.inOrder()],
          all.toSorted((a, b) => a.offset - b.offset),
        );
      }),
    );
  });

  it('holds as many as a pack of a gigabyte may have', () => {
    const set = new BlobSet();
    for (let i = 0; i < 200_000; i += 1) set.add({ offset: 80 + i * 5000, storedBytes: 5000, plainBytes: 8192 });
    assert.equal(set.size, 200_000);
    let next = 80;
    for (const { offset } of set.inOrder()) {
      assert.equal(offset, next);
      next += 5000;
    }
  });
});

describe('moved blobs', () => {
  it('are found where they have gone', () => {
    fc.assert(
      fc.property(blobs, fc.infiniteStream(fc.nat(2)), (all, choices) => {
        const ordered = all.toSorted((a, b) => a.offset - b.offset);
        const moved = new MovedBlobs(ordered.length);
        const expected = ordered.map((one, i) => {
          const pack = packs[choices.next().value ?? 0] ?? assert.fail();
          moved.add(one, pack, { ...one, offset: 80 + i });
          return { pack, offset: 80 + i };
        });
        assert.deepEqual(
          ordered.map(({ offset }) => moved.find(offset)),
          expected,
        );
      }),
    );
  });

  it('are all that is asked for: another one is a bug', () => {
    const moved = new MovedBlobs(1);
    const only = { offset: 80, storedBytes: 20, plainBytes: 30 };
    moved.add(only, packs[0] ?? assert.fail(), only);
    assert.throws(() => moved.find(81), { code: 'bug' });
    assert.throws(() => new MovedBlobs(0).find(80), { code: 'bug' });
    assert.throws(() => moved.add(only, packs[0] ?? assert.fail(), only), { code: 'bug' });
  });
});
