import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { reopened } from '../../test/support/made-up-backup.ts';
import type { FileChange } from '../../test/support/summed-backups.ts';
import { block, dayMs, everyExtent, flip, history, made, nameOf, verify } from '../../test/support/verified-backups.ts';
import type { Extent } from '../repository/file-map.ts';
import { MemoryStorage } from '../storage/memory.ts';

describe('backups that share packs', () => {
  it('are read once, the oldest as it is, the others where they differ from it', async () => {
    const { backups } = await made();
    await history(backups);
    const { verdicts, harmed, read } = await verify(backups.cluster);
    assert.deepEqual(harmed, []);
    assert.deepEqual(
      verdicts.map(({ backup, files }) => [backup, files]),
      [
        ['1-full', 3],
        ['2-incremental', 3],
        ['3-incremental', 3],
      ],
    );
    const content = (await everyExtent(backups.cluster)).filter(({ what }) => what === 'content');
    const blobs = new Set(content.map(({ extent }) => nameOf(extent)));
    assert.deepEqual(new Set(read), blobs, 'every blob that somebody refers to');
    assert.equal(read.length, blobs.size, 'and none twice');
  });

  it('whatever blob is damaged, those that refer to it are harmed, in these blocks, and nobody else', async () => {
    const { repository, storage, backups } = await made();
    await history(backups);
    const all = await everyExtent(backups.cluster);
    for (const name of new Set(all.map(({ extent }) => nameOf(extent)))) {
      const concerned = all.filter(({ extent }) => nameOf(extent) === name);
      const [one] = concerned;
      assert.ok(one);
      const copy = new MemoryStorage();
      for (const [key, bytes] of storage.objects) copy.objects.set(key, bytes);
      flip(copy, `clusters/main/packs/${one.extent.pack}`, one.extent.blob.offset + 5);
      const { verdicts, harmed } = await verify(reopened(repository, copy));
      assert.deepEqual(harmed, [...new Set(concerned.map(({ id }) => id))], name);
      for (const { backup, damage } of verdicts) {
        const own = concerned.filter(({ id }) => id === backup);
        for (const { path, extent, what } of own) {
          const found = damage.filter((problem) => problem.path === path && problem.code === 'blob-damaged');
          const [first, last] = [extent.fileOffset, extent.fileOffset + extent.lengthBytes - 1].map((at) =>
            Math.floor(at / block),
          );
          const isNamed = found.some(({ blocks = [] }) =>
            blocks.some(([from, to]) => from <= (first ?? 0) && to >= (last ?? 0)),
          );
          assert.ok(what === 'sums' ? found.length > 0 : isNamed, `${backup} ${path} ${String(first)}`);
        }
        const paths = new Set(own.map(({ path }) => path));
        for (const { path } of damage) assert.ok(paths.has(path), `${backup}: ${path} is not harmed`);
      }
    }
  });

  it('are harmed by a map that leads to another place, and only the one that has it', async () => {
    const { backups } = await made();
    const wrongPlace = (entry: { path: string; extents: readonly Extent[] }): { extents: readonly Extent[] } => {
      const [first, second, ...rest] = entry.extents;
      if (entry.path !== 'base/1' || !first || !second) return { extents: entry.extents };
      return { extents: [first, { ...second, blob: first.blob, blobOffset: first.blobOffset }, ...rest] };
    };
    const files = { 'base/1': { sizeBytes: 6 * block, changed: [] }, 'base/2': { sizeBytes: 2 * block, changed: [] } };
    await backups.add('1-full', files);
    await backups.add(
      '2-incremental',
      { 'base/2': { sizeBytes: 2 * block, changed: [1] } },
      { edit: (entry) => ({ ...entry, ...wrongPlace(entry) }) },
    );
    await backups.add('3-incremental', { 'base/2': { sizeBytes: 2 * block, changed: [0] } });
    const { verdicts, harmed } = await verify(backups.cluster);
    assert.deepEqual(harmed, ['2-incremental']);
    const [problem] = verdicts[1]?.damage ?? [];
    assert.deepEqual([problem?.path, problem?.code, problem?.blocks], ['base/1', 'object-damaged', [[1, 1]]]);
    assert.match(problem?.message ?? '', /sum of the block differs/);
  });

  it('are harmed by a CRC that is not that of their blocks', async () => {
    const { backups } = await made();
    await backups.add('1-full', { 'base/1': { sizeBytes: 2 * block, changed: [] } });
    await backups.add(
      '2-incremental',
      { 'base/1': { sizeBytes: 2 * block, changed: [1] } },
      { edit: (entry) => ({ ...entry, crc32c: (entry.crc32c ^ 1) >>> 0 }) },
    );
    const { verdicts, harmed } = await verify(backups.cluster);
    assert.deepEqual(harmed, ['2-incremental']);
    assert.match(verdicts[1]?.damage[0]?.message ?? '', /CRC-32C differs/);
    assert.deepEqual(
      (await verify(backups.cluster, { sinceMs: dayMs })).harmed,
      ['2-incremental'],
      'it is not forgotten',
    );
  });

  it('are harmed by sums that are not those of blocks that lie where they did', async () => {
    const { backups } = await made();
    await backups.add('1-full', { 'base/1': { sizeBytes: 3 * block, changed: [] } });
    // The half of the sum that does not make the CRC.
    const spoilSums = (sums: Buffer): void => void (sums[20] = (sums[20] ?? 0) ^ 1);
    await backups.add('2-incremental', { 'base/1': { sizeBytes: 3 * block, changed: [0] } }, { spoilSums });
    await backups.add('3-incremental', { 'base/1': { sizeBytes: 3 * block, changed: [0] } });
    const { verdicts, harmed } = await verify(backups.cluster);
    assert.deepEqual(harmed, ['2-incremental']);
    assert.deepEqual(
      verdicts[1]?.damage.map(({ path, blocks }) => [path, blocks]),
      [['base/1', [[2, 2]]]],
    );
  });

  it('of files without sums are compared with their CRC', async () => {
    const { storage, backups } = await made();
    const without = { edit: (entry: { sums: readonly Extent[] }) => ({ ...entry, sums: [] }) as never };
    await backups.add('1-full', { 'base/1': { sizeBytes: 2 * block + 5, changed: [] } }, without);
    await backups.add('2-full', { 'base/2': { sizeBytes: 100, changed: [] } }, without);
    assert.deepEqual((await verify(backups.cluster)).harmed, []);
    const [first] = await everyExtent(backups.cluster);
    assert.ok(first);
    flip(storage, `clusters/main/packs/${first.extent.pack}`, first.extent.blob.offset + 5);
    assert.deepEqual((await verify(backups.cluster)).harmed, ['1-full', '2-full']);
  });
});

/** What a sequence of backups does to two files. */
const change: fc.Arbitrary<FileChange> = fc.record(
  { sizeBytes: fc.integer({ min: 0, max: 6 * block + 10 }), changed: fc.array(fc.nat(6), { maxLength: 3 }) },
  { noNullPrototype: true },
);
const sequences = fc.array(
  fc.record({ a: fc.option(change, { nil: undefined }), b: fc.option(change, { nil: undefined }) }),
  { minLength: 1, maxLength: 6 },
);

describe('any sequence of backups', () => {
  it('is good, is read once, and shows whoever refers to a damaged blob', async () => {
    await fc.assert(
      fc.asyncProperty(sequences, fc.nat(1000), async (sequence, chosen) => {
        const { storage, backups: builder } = await made();
        for (const [i, { a, b }] of sequence.entries()) {
          await builder.add(`${i}-backup`, { ...(a ? { 'base/1': a } : {}), ...(b ? { 'base/2': b } : {}) });
        }
        const { cluster } = builder;
        const all = await everyExtent(cluster);
        const good = await verify(cluster);
        assert.deepEqual(good.harmed, []);
        const content = all.filter(({ what }) => what === 'content').map(({ extent }) => nameOf(extent));
        assert.deepEqual(new Set(good.read), new Set(content));
        assert.equal(good.read.length, new Set(content).size, 'no blob twice');
        if (all.length === 0) return;
        const known = await verify(cluster, { sinceMs: dayMs });
        assert.deepEqual([known.read, known.packs.read], [[], 0]);

        const one = all[chosen % all.length];
        assert.ok(one);
        flip(storage, `clusters/main/packs/${one.extent.pack}`, one.extent.blob.offset);
        const expected = all.filter(({ extent }) => nameOf(extent) === nameOf(one.extent)).map(({ id }) => id);
        assert.deepEqual((await verify(cluster)).harmed, [...new Set(expected)]);
      }),
      { numRuns: 60 },
    );
  });
});
