import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { appended, entry, packOne, packs, readBack } from '../../test/support/manifests.ts';
import { countingBytes, testRepository } from '../../test/support/test-repository.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { MemoryStorage } from '../storage/memory.ts';
import type { ClusterRepository } from './cluster-repository.ts';
import type { Extent } from './file-map.ts';
import { MapsEncoder } from './file-maps.ts';
import type { ManifestEntry } from './manifest.ts';
import { packIdFromBytes, type PackId } from './pack-id.ts';
import { encodePath } from './path-text.ts';
import { SealedWriter } from './sealed-writer.ts';

/** What the writer refuses as a bug, a hostile hand can still put into a repository without encryption. */
const hostileEntries: readonly (readonly [string, readonly ManifestEntry[]])[] = [
  ['a path that climbs out', [entry('../etc/passwd')]],
  ['a path that climbs out from within', [entry('base/../../etc/passwd')]],
  ['an absolute path', [entry('/etc/passwd')]],
  ['a path with a NUL', [entry('base/1\0')]],
  ['an empty name', [entry('base//1')]],
  ['a trailing slash', [entry('base/')]],
  ['a dot', [entry('base/./1')]],
  ['a name of 256 bytes', [entry('x'.repeat(256))]],
  ['a path of 5,000 bytes', [entry(Array.from({ length: 50 }, () => 'x'.repeat(100)).join('/'))]],
  ['a file as data directory', [entry('')]],
  ['the same path twice', [entry('a'), entry('a')]],
  ['paths out of order', [entry('b'), entry('a')]],
  ['a file below a file', [entry('a'), entry('a/b')]],
  ['a file below a link', [entry('a', { kind: 'symlink', target: '/etc' }), entry('a/passwd')]],
  [
    'a directory below a link that only looks like a tablespace',
    [entry('pg_tblspc/x', { kind: 'symlink', target: '/etc' }), entry('pg_tblspc/x/PG_15', { kind: 'directory' })],
  ],
  ['a mode beyond permissions', [entry('a', { mode: 0o10_000 })]],
  ['a link that leads nowhere', [entry('a', { kind: 'symlink', target: '' })]],
  ['a link with a NUL', [entry('a', { kind: 'symlink', target: '/x\0y' })]],
  ['an owner of 300 bytes', [entry('a', { owner: 'x'.repeat(300) })]],
  ['a map that is too short', [{ ...appended('a', 3), sizeBytes: 3 * 262_144 + 1 }]],
  ['a map that is too long', [{ ...appended('a', 3), sizeBytes: 3 * 262_144 - 1 }]],
  ['a large map that is too short', [{ ...appended('a', 300), sizeBytes: 301 * 262_144 }]],
  ['a file without a map', [entry('a', { sizeBytes: 1 })]],
  ['sums that are too few', [{ ...appended('a', 3), sums: [sumsOf(95)] }]],
  ['sums that are too many', [{ ...appended('a', 3), sums: [sumsOf(97)] }]],
  ['sums of a large file that are too few', [{ ...appended('a', 300), sums: [sumsOf(9599)] }]],
  ['sums of nothing', [entry('a', { sums: [sumsOf(1)] })]],
  ['sums beyond their blob', [{ ...appended('a', 3), sums: [{ ...sumsOf(96), blobOffset: 8 }] }]],
  ['digests of fewer extents than there are', [{ ...appended('a', 3), flags: 2, sums: [sumsOf(4)] }]],
  ['an extent of no bytes', [entry('a', { extents: [extent({ lengthBytes: 0 })] })]],
  ['an extent beyond its blob', [entry('a', { sizeBytes: 101, extents: [extent({ lengthBytes: 101 })] })]],
  ['an extent that begins beyond its blob', [entry('a', { sizeBytes: 1, extents: [extent({ blobOffset: 100 })] })]],
  ['a blob in the header of its pack', [entry('a', { sizeBytes: 1, extents: [extent({}, { offset: 10 })] })]],
  [
    'a blob that is larger than a chunk',
    [entry('a', { sizeBytes: 1, extents: [extent({}, { plainBytes: 2_000_000 })] })],
  ],
  ['a blob of no stored bytes', [entry('a', { sizeBytes: 1, extents: [extent({}, { storedBytes: 16 })] })]],
  ['a blob stored longer than it is', [entry('a', { sizeBytes: 1, extents: [extent({}, { storedBytes: 117 })] })]],
];

/** So many sums, alone in a blob. */
function sumsOf(count: number): Extent {
  return extent({ lengthBytes: count * 8 }, { storedBytes: count * 8 + 16, plainBytes: count * 8 });
}

function extent(changes: Partial<Extent>, blob: Partial<Extent['blob']> = {}): Extent {
  return {
    fileOffset: 0,
    lengthBytes: 1,
    pack: packOne,
    blob: { offset: 80, storedBytes: 50, plainBytes: 100, ...blob },
    blobOffset: 0,
    ...changes,
  };
}

for (const [what, entries] of hostileEntries) {
  test(`a manifest with ${what} is refused`, async () => {
    const cluster = (await testRepository()).cluster('main');
    await plant(cluster, entries);
    await assert.rejects(readBack(cluster), (error) => {
      assert.ok(hasCode(error, 'manifest-hostile'), String(error));
      assert.ok(error.message.includes('clusters/main/backups/b1/manifest'));
      return true;
    });
  });
}

/** Writes a manifest as `ManifestWriter` does, without its checks. `change` sees the block before it is sealed. */
async function plant(
  cluster: ClusterRepository,
  entries: readonly ManifestEntry[],
  change: (block: Buffer) => void = () => undefined,
): Promise<void> {
  const { EntryEncoder } = await import('./manifest-entry-codec.ts');
  const writer = await SealedWriter.create(
    cluster.repository.storage,
    cluster.keyOf('backups/b1/manifest'),
    'manifest',
    {
      repositoryKey: undefined,
      randomBytes: countingBytes(),
    },
  );
  const indexOf = (pack: PackId): number => packs.indexOf(pack);
  const block = new ByteWriter();
  const encoder = new EntryEncoder(block, new MapsEncoder(indexOf));
  for (const one of entries) {
    if (one.extents.length + one.sums.length <= 64) {
      encoder.encode(one, encodePath(one.path), one);
    } else {
      const map = new ByteWriter();
      new MapsEncoder(indexOf).encode(one, map);
      encoder.encode(one, encodePath(one.path), {
        count: one.extents.length,
        sumsCount: one.sums.length,
        blob: await writer.append(map.view()),
      });
    }
  }
  change(block.view());
  const place = await writer.append(block.view());
  const files = entries.filter(({ kind }) => kind === 'file').length;
  const body = new ByteWriter().varint(packs.length);
  for (const pack of packs) body.bytes(Buffer.from(pack, 'hex'));
  body.varint(1).varint(entries.length).varint(place.offset).varint(place.storedBytes).varint(place.plainBytes);
  body
    .varint(entries.length)
    .varint(files)
    .varint(entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
    .varint(0);
  await writer.finish(body.view());
}

const identity = { inode: 131_072, bornMicros: 1_790_000_000_123_456, changedMicros: 1_790_000_000_654_321 };

test('what is planted without fault is read: the tests above fail for their own reason', async () => {
  const cluster = (await testRepository()).cluster('main');
  const good = [
    entry('', { kind: 'directory' }),
    { ...appended('base', 2), sums: [sumsOf(64)], identity },
    entry('pg_tblspc', { kind: 'directory' }),
    entry('pg_tblspc/16384', { kind: 'symlink', target: '/mnt/fast' }),
    entry('pg_tblspc/16384/PG_15_202209061', { kind: 'directory' }),
    {
      ...appended('pg_tblspc/16384/PG_15_202209061/large', 100),
      sums: [sumsOf(1600), { ...sumsOf(1600), fileOffset: 12_800 }],
    },
    entry('z', { sizeBytes: 1, extents: [extent({})] }),
  ];
  await plant(cluster, good);
  assert.deepEqual(await readBack(cluster), good);
});

test('any byte of a block in place of another is refused or read, never worse', async () => {
  const shared = sumsOf(200);
  const part = (blobOffset: number, count: number): Extent => ({ ...shared, blobOffset, lengthBytes: count * 8 });
  const good = [
    entry('', { kind: 'directory' }),
    { ...appended('base', 2), sums: [part(0, 64)], identity },
    { ...appended('c', 3), sums: [part(512, 96)], identity: { ...identity, inode: 7, changedMicros: 0 } },
    entry('d', { kind: 'symlink', target: '/mnt' }),
    { ...appended('e', 2), flags: 2, sums: [part(0, 4)] },
  ];
  let length = 1;
  for (let at = 0; at < length; at += 1) {
    for (const to of [0, 1, 0x20, 0x7f, 0x80, 0xff]) {
      const cluster = (await testRepository()).cluster('main');
      await plant(cluster, good, (block) => {
        length = block.length;
        block[at] = to;
      });
      try {
        await readBack(cluster);
      } catch (error) {
        assert.ok(hasCode(error, 'manifest-hostile'), `byte ${at} as ${to}: ${String(error)}`);
      }
    }
  }
});

const hostileBodies: readonly (readonly [string, (body: ByteWriter) => void])[] = [
  ['more packs than it has bytes', (body) => body.varint(2 ** 40)],
  ['more blocks than it has bytes', (body) => body.varint(0).varint(2 ** 40)],
  ['entries that are in no block', (body) => body.varint(0).varint(0).varint(7).varint(0).varint(0).varint(0)],
  [
    'an attachment larger than its chunks',
    (body) =>
      body
        .varint(0)
        .varint(0)
        .varint(0)
        .varint(0)
        .varint(0)
        .varint(1)
        .text('x')
        .varint(2 ** 45)
        .varint(0),
  ],
  ['something after its end', (body) => body.varint(0).varint(0).varint(0).varint(0).varint(0).varint(0).u8(0)],
];

for (const [what, write] of hostileBodies) {
  test(`a manifest that announces ${what} is refused before memory is taken`, async () => {
    const { storage } = await testRepository();
    const context = { repositoryKey: undefined, randomBytes: countingBytes() };
    const cluster = (await testRepository({ storage: new MemoryStorage() })).cluster('main');
    assert.ok(storage);
    const writer = await SealedWriter.create(
      cluster.repository.storage,
      cluster.keyOf('backups/b1/manifest'),
      'manifest',
      context,
    );
    const body = new ByteWriter();
    write(body);
    await writer.finish(body.view());
    await assert.rejects(cluster.openManifest('b1'), (error) => hasCode(error, 'manifest-hostile'));
  });
}

test('a map that names a pack which the manifest does not list is refused', async () => {
  const cluster = (await testRepository()).cluster('main');
  const stranger = packIdFromBytes(Buffer.alloc(16, 9));
  packs.push(stranger);
  try {
    await plantWithout(cluster, stranger);
  } finally {
    packs.pop();
  }
  await assert.rejects(readBack(cluster), (error) => hasCode(error, 'manifest-hostile'));
});

async function plantWithout(cluster: ClusterRepository, stranger: PackId): Promise<void> {
  const { EntryEncoder } = await import('./manifest-entry-codec.ts');
  const writer = await SealedWriter.create(
    cluster.repository.storage,
    cluster.keyOf('backups/b1/manifest'),
    'manifest',
    {
      repositoryKey: undefined,
      randomBytes: countingBytes(),
    },
  );
  const block = new ByteWriter();
  const one = entry('a', { sizeBytes: 1, extents: [extent({ pack: stranger })] });
  new EntryEncoder(block, new MapsEncoder(() => 3)).encode(one, encodePath('a'), one);
  const place = await writer.append(block.view());
  const body = new ByteWriter().varint(0).varint(1).varint(1);
  body.varint(place.offset).varint(place.storedBytes).varint(place.plainBytes).varint(1).varint(1).varint(1).varint(0);
  await writer.finish(body.view());
}

test('any bytes at all in place of a block are refused or read, never worse', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 5 }), async (bytes, count) => {
      const cluster = (await testRepository()).cluster('main');
      const writer = await SealedWriter.create(
        cluster.repository.storage,
        cluster.keyOf('backups/b1/manifest'),
        'manifest',
        {
          repositoryKey: undefined,
          randomBytes: countingBytes(),
        },
      );
      const place = await writer.append(bytes);
      const body = new ByteWriter().varint(1).bytes(Buffer.alloc(16, 1)).varint(1).varint(count);
      body
        .varint(place.offset)
        .varint(place.storedBytes)
        .varint(place.plainBytes)
        .varint(count)
        .varint(0)
        .varint(0)
        .varint(0);
      await writer.finish(body.view());
      try {
        await readBack(cluster);
      } catch (error) {
        assert.ok(hasCode(error, 'manifest-hostile', 'blob-damaged', 'object-damaged'), String(error));
      }
    }),
    { numRuns: 300 },
  );
});

for (const passphrase of [undefined, 'secret']) {
  test(`any flipped bit and any truncation of a manifest is noticed${passphrase === undefined ? '' : ', encrypted'}`, async () => {
    const storage = new MemoryStorage();
    const cluster = (await testRepository({ storage, ...(passphrase === undefined ? {} : { passphrase }) })).cluster(
      'main',
    );
    const writer = await cluster.createManifest('b1');
    for (const one of [
      entry('', { kind: 'directory' }),
      appended('a', 65),
      { ...appended('b', 2), sums: [sumsOf(64)], identity },
    ])
      await writer.add(one);
    await writer.attach('backup_label', Buffer.from('label'));
    await writer.finish();
    const key = 'clusters/main/backups/b1/manifest';
    const good = await storage.get(key);
    const verify = async (): Promise<void> => {
      await using reader = await cluster.openManifest('b1');
      await reader.verify();
    };
    await verify();
    const noticed = (error: unknown): boolean => {
      assert.ok(hasCode(error, 'object-damaged', 'object-swapped', 'blob-damaged'), String(error));
      assert.equal(error.details['key'], key);
      return true;
    };
    for (let bit = 0; bit < good.length * 8; bit += 1) {
      const bad = Uint8Array.from(good);
      bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      storage.objects.set(key, bad);
      await assert.rejects(verify, noticed, `bit ${bit}`);
    }
    for (let length = 0; length < good.length; length += 1) {
      storage.objects.set(key, good.subarray(0, length));
      await assert.rejects(verify, noticed, `${length} bytes`);
    }
  });
}

test('what could not be read again is not written in the first place', async () => {
  const cluster = (await testRepository()).cluster('main');
  for (const [index, entries] of [
    [entry('../x')],
    [entry('b'), entry('a')],
    [entry('a', { sizeBytes: 5 })],
  ].entries()) {
    const writer = await cluster.createManifest(`b${index}`);
    await assert.rejects(
      async () => {
        for (const one of entries) await writer.add(one);
      },
      (error) => hasCode(error, 'bug'),
    );
    await writer.abort();
  }
});
