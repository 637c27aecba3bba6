import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { appended, entry, packOne, packs, packTwo, readBack, written } from '../../test/support/manifests.ts';
import { collect, countingBytes, testRepository } from '../../test/support/test-repository.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { FileMapEncoder, type Extent } from './file-map.ts';
import { comparePaths } from './manifest-path.ts';
import { sumsRunBytes, type ManifestEntry } from './manifest.ts';
import { encodePath } from './path-text.ts';

const pathArbitrary = fc
  .array(
    fc.oneof(
      fc.constantFrom('base', '1', 'a.b', 'a-b', 'a', '16384', '..x', '한글', 'é'),
      fc.string({ minLength: 1, maxLength: 8 }),
    ),
    {
      minLength: 1,
      maxLength: 4,
    },
  )
  .map((names) => names.map((name) => name.replaceAll(/[/\0]/g, '_').replace(/^\.{1,2}$/, 'dots')).join('/'))
  .filter((path) => path.isWellFormed());

const extentsArbitrary = fc
  .array(
    fc.record({
      pack: fc.constantFrom(...packs),
      offset: fc.integer({ min: 80, max: 2 ** 40 }),
      plain: fc.integer({ min: 1, max: 1_048_576 }),
      saved: fc.double({ min: 0, max: 1, noNaN: true }),
      start: fc.double({ min: 0, max: 1, noNaN: true }),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      whole: fc.boolean(),
    }),
    { maxLength: 100 },
  )
  .map((list) => {
    let fileOffset = 0;
    return list.map(({ pack, offset, plain, saved, start, share, whole }): Extent => {
      const blobOffset = whole ? 0 : Math.floor(start * (plain - 1));
      const lengthBytes = whole ? plain : 1 + Math.floor(share * (plain - blobOffset - 1));
      const blob = { offset, storedBytes: 17 + Math.floor(saved * (plain - 1)), plainBytes: plain };
      const one = { fileOffset, lengthBytes, pack, blob, blobOffset };
      fileOffset += lengthBytes;
      return one;
    });
  });

const entryArbitrary = fc
  .record({
    path: pathArbitrary,
    kind: fc.constantFrom('file' as const, 'directory' as const, 'symlink' as const),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    owner: fc.constantFrom('postgres', 'root', '1000', 'üser'),
    group: fc.constantFrom('postgres', 'staff'),
    modifiedMs: fc.integer({ min: -1e15, max: 2e15 }),
    crc32c: fc.integer({ min: 0, max: 0xffff_ffff }),
    flags: fc.integer({ min: 0, max: 3 }),
    extents: extentsArbitrary,
    summed: fc.boolean(),
    identity: fc.option(
      fc.record(
        {
          inode: fc.integer({ min: 0, max: 2 ** 51 }),
          bornMicros: fc.integer({ min: -1e15, max: 2e15 }),
          changedMicros: fc.oneof(fc.constant(0), fc.integer({ min: -1e15, max: 2e15 })),
        },
        { noNullPrototype: true },
      ),
      { nil: undefined },
    ),
  })
  .map(({ kind, extents, crc32c, summed, identity, ...rest }): ManifestEntry => {
    const none = { ...rest, kind, sizeBytes: 0, crc32c: 0, extents: [], sums: [] };
    if (kind === 'symlink') return { ...none, target: '/mnt/disk' };
    if (kind === 'directory') return none;
    const last = extents.at(-1);
    const sizeBytes = last ? last.fileOffset + last.lengthBytes : 0;
    const sums = summed ? sumsOf(sumsRunBytes(rest.flags, extents.length, sizeBytes)) : [];
    const file = { ...none, crc32c, extents, sums, sizeBytes };
    // Not further apart than the times of real files.
    return identity ? { ...file, identity, modifiedMs: Math.floor(rest.modifiedMs / 1000) } : file;
  });

/** A map of a run of so many bytes, in blobs of at most 64 KiB of the second pack. */
function sumsOf(lengthBytes: number): Extent[] {
  const sums: Extent[] = [];
  for (let at = 0; at < lengthBytes; at += 65_536) {
    const length = Math.min(65_536, lengthBytes - at);
    const blob = { offset: 80 + 2 * at, storedBytes: length + 17, plainBytes: length + 8 };
    sums.push({ fileOffset: at, lengthBytes: length, pack: packTwo, blob, blobOffset: 8 });
  }
  return sums;
}

/** In order, and nothing below a file or a link. */
function asDirectory(entries: readonly ManifestEntry[]): ManifestEntry[] {
  const sorted = [...entries].toSorted((a, b) => comparePaths(encodePath(a.path), encodePath(b.path)));
  const kept: ManifestEntry[] = [];
  for (const one of sorted) {
    const blocked = kept.some((other) => other.kind !== 'directory' && one.path.startsWith(`${other.path}/`));
    if (!blocked && kept.at(-1)?.path !== one.path) kept.push(one);
  }
  return kept;
}

for (const passphrase of [undefined, 'secret']) {
  test(`a manifest gives back every entry as it was added${passphrase === undefined ? '' : ', encrypted'}`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entryArbitrary, { maxLength: 30 }), fc.boolean(), async (some, asynchronous) => {
        const entries = asDirectory(some);
        const storage = new MemoryStorage({ asynchronous });
        const cluster = (
          await testRepository({ storage, ...(passphrase === undefined ? {} : { passphrase }) })
        ).cluster('main');
        await written(cluster, entries);
        assert.deepEqual(await readBack(cluster), entries);
        await using reader = await cluster.openManifest('b1');
        const used = new Set(entries.flatMap((one) => [...one.extents, ...one.sums].map(({ pack }) => pack)));
        assert.deepEqual(new Set(await reader.packs()), used);
        await reader.verify();
      }),
      { numRuns: 60 },
    );
  });
}

test('a manifest of many entries is read in blocks, in the order in which they were added', async () => {
  const cluster = (await testRepository()).cluster('main');
  const writer = await cluster.createManifest('b1');
  const count = 20_000;
  for (let index = 0; index < count; index += 1) {
    await writer.add({ ...appended(`base/${String(index).padStart(6, '0')}`, 1, packOne, 80 + index * 60_000) });
  }
  assert.deepEqual(await writer.finish(), { sizeBytes: count * 262_144, files: count });
  await using reader = await cluster.openManifest('b1');
  let index = 0;
  for await (const { path } of reader.entries()) {
    assert.equal(path, `base/${String(index).padStart(6, '0')}`);
    index += 1;
  }
  assert.equal(index, count);
  assert.equal(reader.entryCount, count);
});

test('the map of a large file stays in the repository until it is asked for', async () => {
  const storage = new MemoryStorage();
  const cluster = (await testRepository({ storage })).cluster('main');
  const large = appended('base/5/16384', 4096);
  await written(cluster, [large]);
  await using reader = await cluster.openManifest('b1');
  const [found] = await collect(reader.entries());
  assert.ok(found);
  assert.equal(found.maps, undefined);
  assert.equal(found.extentCount, 4096);
  assert.deepEqual(await found.loadMaps(), { extents: large.extents, sums: large.sums });
});

test('an extent takes at most eight bytes: appended chunks four, pages replaced in old chunks eight', () => {
  const size = (extents: readonly Extent[]): number => {
    const into = new ByteWriter();
    new FileMapEncoder((pack) => packs.indexOf(pack)).encode(extents, into);
    return into.length / extents.length;
  };
  assert.ok(size(appended('x', 4096).extents) <= 4.01);
  // Every fourth page of every chunk is newer, in another pack; the rest lies in the old chunks.
  const mixed: Extent[] = [];
  let newOffset = 80;
  for (const { blob, fileOffset } of appended('x', 400).extents) {
    for (let page = 0; page < 32; page += 4) {
      const at = page * 8192;
      const stored = { offset: newOffset, storedBytes: 1500 + page, plainBytes: 8192 };
      newOffset += stored.storedBytes;
      mixed.push({ fileOffset: fileOffset + at, lengthBytes: 8192, pack: packTwo, blob: stored, blobOffset: 0 });
      mixed.push({
        fileOffset: fileOffset + at + 8192,
        lengthBytes: 24_576,
        pack: packOne,
        blob,
        blobOffset: at + 8192,
      });
    }
  }
  assert.ok(size(mixed) <= 8, `${size(mixed)} bytes`);
});

test('pages from all over a file that share a blob take less', () => {
  const into = new ByteWriter();
  const extents: Extent[] = [];
  const pages = 32;
  appended('x', pages).extents.forEach(({ blob, fileOffset }, i) => {
    // The last page of every chunk lies with others in a blob of another pack.
    const shared = { offset: 80, storedBytes: 60_000, plainBytes: pages * 8192 };
    const at = 262_144 - 8192;
    extents.push({ fileOffset, lengthBytes: at, pack: packOne, blob, blobOffset: 0 });
    extents.push({ fileOffset: fileOffset + at, lengthBytes: 8192, pack: packTwo, blob: shared, blobOffset: i * 8192 });
  });
  new FileMapEncoder((pack) => packs.indexOf(pack)).encode(extents, into);
  assert.ok(into.length / extents.length <= 6.2, `${into.length / extents.length} bytes`);
});

test('an identity that is too far from everything else is left out', async () => {
  const usual = { inode: 131_072, bornMicros: 1_790_000_000_123_456, changedMicros: 1_790_000_000_654_321 };
  const odd: readonly Partial<ManifestEntry>[] = [
    { identity: { ...usual, inode: Number.MAX_SAFE_INTEGER } },
    { identity: { ...usual, bornMicros: -Number.MAX_SAFE_INTEGER } },
    { identity: { ...usual, changedMicros: Number.MAX_SAFE_INTEGER } },
    { identity: usual, modifiedMs: 1e15 },
  ];
  const cluster = (await testRepository()).cluster('main');
  const around = (path: string, changes: Partial<ManifestEntry>): ManifestEntry[] => [
    entry(`${path}1`, { identity: usual }),
    entry(`${path}2`, changes),
    entry(`${path}3`, { identity: { ...usual, changedMicros: 0 } }),
  ];
  await written(
    cluster,
    odd.flatMap((changes, i) => around(String(i), changes)),
  );
  const found = (await readBack(cluster)).map(({ identity }) => identity);
  assert.deepEqual(
    found,
    odd.flatMap(() => [usual, undefined, { ...usual, changedMicros: 0 }]),
  );
});

test('attachments come back whole, of any size', async () => {
  const cluster = (await testRepository()).cluster('main');
  const random = countingBytes();
  const writer = await cluster.createManifest('b1');
  const documents = new Map([0, 1, 1_048_576, 2_500_000].map((length) => [`of ${length}`, random(length)]));
  await writer.attach('backup_label', Buffer.from('START WAL LOCATION'));
  await writer.add(entry('a'));
  for (const [name, bytes] of documents) await writer.attach(name, bytes);
  await writer.finish();
  await using reader = await cluster.openManifest('b1');
  for (const [name, bytes] of documents) assert.deepEqual(await reader.attachment(name), bytes);
  assert.equal(Buffer.from((await reader.attachment('backup_label')) ?? []).toString(), 'START WAL LOCATION');
  assert.equal(await reader.attachment('tablespace_map'), undefined);
});

test('names that are not UTF-8 come back byte for byte', async () => {
  const cluster = (await testRepository()).cluster('main');
  const paths = ['a', 'b/\u{dcff}x', 'b/\u{dce9}t\u{dce9}', '한글'];
  await written(
    cluster,
    paths.map((path) => entry(path)).toSorted((a, b) => comparePaths(encodePath(a.path), encodePath(b.path))),
  );
  const found = (await readBack(cluster)).map(({ path }) => path);
  assert.deepEqual(new Set(found), new Set(paths));
});
