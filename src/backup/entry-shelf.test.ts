import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { packIdFromBytes } from '../repository/pack-id.ts';
import { comparePaths } from '../repository/manifest-path.ts';
import type { ManifestEntry } from '../repository/manifest.ts';
import { decodePath, encodePath } from '../repository/path-text.ts';
import { EntryShelf } from './entry-shelf.ts';

const packs = [1, 2, 3].map((byte) => packIdFromBytes(Buffer.alloc(16, byte)));

const name = fc
  .uint8Array({ minLength: 1, maxLength: 12 })
  .map((bytes) => decodePath(bytes.map((byte) => (byte === 0 || byte === 0x2f || byte === 0x2e ? 0x61 : byte))));

const entries = fc.uniqueArray(
  fc.record({
    path: fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/')),
    chunks: fc.array(fc.nat(2), { maxLength: 5 }),
    modifiedMs: fc.integer({ min: 0, max: 2 ** 42 }),
    crc32c: fc.integer({ min: 0, max: 0xffff_ffff }),
  }),
  { selector: ({ path }) => path, maxLength: 60 },
);

function entryOf(made: { path: string; chunks: readonly number[]; modifiedMs: number; crc32c: number }): ManifestEntry {
  const { path, chunks, modifiedMs, crc32c } = made;
  const extents = chunks.map((pack, i) => ({
    fileOffset: i * 8192,
    lengthBytes: 8192,
    pack: packs[pack] ?? packIdFromBytes(Buffer.alloc(16)),
    blob: { offset: 4096 + i * 9000, storedBytes: 500, plainBytes: 8192 },
    blobOffset: 0,
  }));
  const owner = { owner: 'postgres', group: 'postgres' };
  const sizeBytes = chunks.length * 8192;
  return { path, kind: 'file', mode: 0o600, ...owner, modifiedMs, sizeBytes, crc32c, extents, sums: [], flags: 0 };
}

describe('entries that came in any order', () => {
  it('are given in the order of a manifest, as they were', () => {
    fc.assert(
      fc.property(entries, (made) => {
        const shelf = new EntryShelf();
        const all = made.map((one) => entryOf(one));
        for (const [i, entry] of all.entries()) shelf.add(entry, { sizeBytes: i, crc32c: i });
        const expected = all.toSorted((a, b) => comparePaths(encodePath(a.path), encodePath(b.path)));
        assert.deepEqual([...shelf.entries()], expected);
        for (const [i, { path }] of all.entries()) {
          assert.deepEqual(shelf.cameAs(path), { sizeBytes: i, crc32c: i });
        }
        assert.equal(shelf.cameAs('no/such/path'), undefined);
      }),
    );
  });

  it('wait in some hundred bytes each', () => {
    const shelf = new EntryShelf();
    for (let i = 0; i < 100_000; i += 1) {
      const path = `base/${16_384 + (i % 7)}/${(i * 7919) % 1_000_003}`;
      shelf.add(entryOf({ path, chunks: [0], modifiedMs: i, crc32c: i }), { sizeBytes: 1, crc32c: 1 });
    }
    assert.equal(shelf.count, 100_000);
    assert.equal([...shelf.entries()].length, 100_000);
    assert.ok(shelf.sizeBytes < 100_000 * 150, `${shelf.sizeBytes} bytes`);
  });
});
