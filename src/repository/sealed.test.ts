import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { countingBytes, testRepository } from '../../test/support/test-repository.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { BlobSeal } from './blob-seal.ts';
import { compress, decompress } from './compression.ts';
import { encodeHeader } from './sealed-format.ts';
import type { BlobLocation } from './pack-id.ts';

const damage = ['object-damaged', 'object-swapped', 'blob-damaged', 'object-missing'] as const;
const random = countingBytes('content');

/** Pages as zstd likes them, and noise as it does not. */
const content = (length: number): Buffer =>
  Buffer.concat([Buffer.alloc(length - Math.floor(length / 4), 'a row of a table, '), random(Math.floor(length / 4))]);

const forms = [
  { form: 'not encrypted', options: {} },
  { form: 'encrypted', options: { passphrase: 'secret' } },
];

for (const { form, options } of forms) {
  const clusterOf = async (storage: MemoryStorage) => (await testRepository({ ...options, storage })).cluster('main');

  test(`${form}: objects of every size come back as they were`, async () => {
    const cluster = await clusterOf(new MemoryStorage({ asynchronous: true }));
    for (const length of [0, 1, 31, 32, 500, 8192, 1_048_575, 1_048_576, 1_048_577, 3_000_000]) {
      const bytes = content(length);
      await cluster.putSealed(`wal/${length}`, bytes);
      assert.ok(Buffer.from(await cluster.getSealed(`wal/${length}`)).equals(bytes), `${length} bytes`);
    }
    await assert.rejects(cluster.putSealed('wal/1', content(1)), (error) => hasCode(error, 'object-exists'));
    await cluster.putSealed('wal/1', content(2), { replace: true });
    assert.equal((await cluster.getSealed('wal/1')).length, 2);
    await assert.rejects(cluster.getSealed('wal/500', 499), (error) => hasCode(error, 'object-damaged'));
  });

  test(`${form}: any flipped bit of an object is noticed and told with its key and place`, async () => {
    const storage = new MemoryStorage();
    const cluster = await clusterOf(storage);
    await cluster.putSealed('wal/segment', content(600));
    await everyBitFlip(storage, 'clusters/main/wal/segment', async () => cluster.getSealed('wal/segment'));
  });

  test(`${form}: an object cut short, or grown, is noticed`, async () => {
    const storage = new MemoryStorage();
    const cluster = await clusterOf(storage);
    await cluster.putSealed('wal/segment', content(600));
    await everyLength(storage, 'clusters/main/wal/segment', async () => cluster.getSealed('wal/segment'));
  });

  test(`${form}: a pack gives back its chunks, in any order, with and without prefetching`, async () => {
    for (const asynchronous of [false, true]) {
      const cluster = await clusterOf(new MemoryStorage({ asynchronous }));
      const pack = await cluster.createPack();
      const chunks = [1, 500, 262_144, 1_048_576, 8192, 1_000_000, 7].map(content);
      const places: BlobLocation[] = [];
      for (const chunk of chunks) {
        const memory = Buffer.from(chunk);
        const appended = pack.append(memory);
        assert.equal(appended instanceof Promise && !asynchronous, false, 'a pack in memory is written synchronously');
        places.push(await appended);
        memory.fill(0);
      }
      await pack.finish();
      assert.deepEqual(await cluster.listPacks(), [pack.id]);
      await using reader = await cluster.openPack(pack.id);
      assert.equal(reader.sizeBytes, pack.sizeBytes);
      assert.deepEqual(await reader.blobs(), places);
      for (const prefetched of [0, 100, 1_500_000, 1e9]) {
        await reader.prefetch(places[1]?.offset ?? 0, prefetched);
        for (const [index, chunk] of [...chunks.entries()].toReversed()) {
          const place = places[index];
          assert.ok(place && Buffer.from(await reader.read(place)).equals(chunk));
        }
      }
    }
  });

  test(`${form}: what is moved to another pack is sealed for its new place, and not compressed again`, async () => {
    const storage = new MemoryStorage();
    const cluster = await clusterOf(storage);
    const [from, to] = [await cluster.createPack(), await cluster.createPack()];
    const chunks = [1, 500, 262_144, 8192].map(content);
    const places: BlobLocation[] = [];
    for (const chunk of chunks) places.push(await from.append(chunk));
    await from.finish();
    const moved: BlobLocation[] = [];
    {
      await using reader = await cluster.openPack(from.id);
      await reader.prefetch(80, 100_000);
      for (const place of places.toReversed()) moved.push(await to.appendPayload(await reader.readPayload(place)));
      const [first] = places;
      assert.ok(first);
      const other = { ...first, offset: first.offset + 1, storedBytes: first.storedBytes };
      await assert.rejects(reader.readPayload(other), { code: 'blob-damaged' });
    }
    await to.finish();
    await cluster.deletePack(from.id);
    await using reader = await cluster.openPack(to.id);
    for (const [index, chunk] of chunks.toReversed().entries()) {
      const place = moved[index];
      assert.ok(place && Buffer.from(await reader.read(place)).equals(chunk));
      assert.equal(place.storedBytes, places.toReversed()[index]?.storedBytes);
    }
  });

  test(`${form}: any flipped bit of a pack is noticed by who reads it all`, async () => {
    const storage = new MemoryStorage();
    const cluster = await clusterOf(storage);
    const pack = await cluster.createPack();
    for (const length of [40, 1, 200]) await pack.append(content(length));
    await pack.finish();
    const readAll = async (): Promise<void> => {
      await using reader = await cluster.openPack(pack.id);
      for (const blob of await reader.blobs()) await reader.read(blob);
    };
    await readAll();
    await everyBitFlip(storage, `clusters/main/packs/${pack.id}`, readAll);
    await everyLength(storage, `clusters/main/packs/${pack.id}`, readAll);
  });

  test(`${form}: a blob opens only at its own place in its own pack`, async () => {
    const storage = new MemoryStorage();
    const cluster = await clusterOf(storage);
    const [one, two] = [await cluster.createPack(), await cluster.createPack()];
    const a = await one.append(random(100));
    const b = await one.append(random(100));
    const c = await two.append(random(100));
    await one.finish();
    await two.finish();
    assert.equal(a.storedBytes, b.storedBytes);
    const keyOne = `clusters/main/packs/${one.id}`;
    const bytesOne = Buffer.from(await storage.get(keyOne));
    const bytesTwo = Buffer.from(await storage.get(`clusters/main/packs/${two.id}`));
    const take = (from: Buffer, place: BlobLocation): Buffer =>
      Buffer.from(from.subarray(place.offset, place.offset + place.storedBytes));
    const [blobA, blobB] = [take(bytesOne, a), take(bytesOne, b)];
    const planted: [string, Buffer, BlobLocation][] = [
      ['two blobs swapped', blobB, a],
      ['two blobs swapped', blobA, b],
      ['a blob of another pack', take(bytesTwo, c), a],
    ];
    for (const [what, blob, place] of planted) {
      const changed = Buffer.from(bytesOne);
      blob.copy(changed, place.offset);
      storage.objects.set(keyOne, changed);
      await using reader = await cluster.openPack(one.id);
      await assert.rejects(
        async () => reader.read(place),
        (error) => hasCode(error, 'blob-damaged'),
        what,
      );
    }
    storage.objects.set(keyOne, bytesTwo);
    await assert.rejects(cluster.openPack(one.id), (error) => hasCode(error, 'object-swapped'));
  });

  test(`${form}: an object that was copied over another is told as swapped`, async () => {
    const storage = new MemoryStorage();
    const cluster = await clusterOf(storage);
    await cluster.putSealed('wal/one', content(100));
    await cluster.putSealed('wal/two', content(100));
    await storage.put('clusters/main/wal/one', await storage.get('clusters/main/wal/two'), { replace: true });
    await assert.rejects(cluster.getSealed('wal/one'), (error) => {
      assert.ok(hasCode(error, 'object-swapped'));
      assert.equal(error.details['key'], 'clusters/main/wal/one');
      return true;
    });
  });

  test(`${form}: an earlier state of a replaced object does not mix with the later one`, async () => {
    const storage = new MemoryStorage();
    const cluster = await clusterOf(storage);
    await cluster.putSealed('x', random(100));
    const before = Buffer.from(await storage.get('clusters/main/x'));
    await cluster.putSealed('x', random(100), { replace: true });
    const after = Buffer.from(await storage.get('clusters/main/x'));
    before.copy(after, 80, 80, 196);
    storage.objects.set('clusters/main/x', after);
    await assert.rejects(cluster.getSealed('x'), (error) => hasCode(error, 'blob-damaged'));
  });
}

async function everyBitFlip(storage: MemoryStorage, key: string, read: () => Promise<unknown>): Promise<void> {
  const good = await storage.get(key);
  for (let bit = 0; bit < good.length * 8; bit += 1) {
    const bad = Uint8Array.from(good);
    bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    storage.objects.set(key, bad);
    await assert.rejects(read, (error) => isTold(error, key), `bit ${bit & 7} of byte ${bit >> 3}`);
  }
  storage.objects.set(key, good);
  await read();
}

async function everyLength(storage: MemoryStorage, key: string, read: () => Promise<unknown>): Promise<void> {
  const good = await storage.get(key);
  for (let length = 0; length <= good.length + 40; length += 1) {
    if (length === good.length) continue;
    const bad = Buffer.alloc(length);
    bad.set(good.subarray(0, length));
    storage.objects.set(key, bad);
    await assert.rejects(read, (error) => isTold(error, key), `${length} of ${good.length} bytes`);
  }
  storage.objects.set(key, good);
}

function isTold(error: unknown, key: string): boolean {
  assert.ok(hasCode(error, ...damage), String(error));
  assert.equal(error.details['key'], key);
  assert.ok(error.message.includes(key));
  return true;
}

test('an encrypted repository does not take an object that is not encrypted, nor the other way', async () => {
  const [plain, sealed] = [new MemoryStorage(), new MemoryStorage()];
  const open = (await testRepository({ storage: plain })).cluster('main');
  const closed = (await testRepository({ storage: sealed, passphrase: 'secret' })).cluster('main');
  await open.putSealed('x', content(100));
  await closed.putSealed('x', content(100));
  const [plainBytes, sealedBytes] = [await plain.get('clusters/main/x'), await sealed.get('clusters/main/x')];
  plain.objects.set('clusters/main/x', sealedBytes);
  sealed.objects.set('clusters/main/x', plainBytes);
  for (const cluster of [open, closed]) {
    await assert.rejects(
      cluster.getSealed('x'),
      (error) => hasCode(error, 'object-damaged') && /encrypted/.test(error.message),
    );
  }
});

test('nothing of the plaintext is in an encrypted repository', async () => {
  const storage = new MemoryStorage();
  const cluster = (await testRepository({ storage, passphrase: 'secret' })).cluster('main');
  await cluster.putSealed('x', Buffer.from('tell'));
  const pack = await cluster.createPack();
  await pack.append(Buffer.from('tell-tale'));
  await pack.finish();
  for (const bytes of storage.objects.values()) assert.ok(!Buffer.from(bytes).includes('tell'));
});

test('an object of a newer format is not tried', async () => {
  const storage = new MemoryStorage();
  const cluster = (await testRepository({ storage })).cluster('main');
  await cluster.putSealed('x', content(10));
  const bytes = Buffer.from(await storage.get('clusters/main/x'));
  const header = encodeHeader('object', false, bytes.subarray(16, 32), 'clusters/main/x');
  header.writeUInt16LE(2, 8);
  const { hash } = await import('node:crypto');
  hash('sha256', header.subarray(0, 64), 'buffer').copy(header, 64, 0, 16);
  storage.objects.set('clusters/main/x', Buffer.concat([header, bytes.subarray(80)]));
  await assert.rejects(cluster.getSealed('x'), (error) => hasCode(error, 'repository-newer'));
});

test('a blob that would unpack to more than it says stops at what it says', () => {
  const bomb = zstdCompressSync(Buffer.alloc(50_000_000), {
    params: { [constants.ZSTD_c_compressionLevel]: 1 },
    chunkSize: 65_536,
  });
  assert.ok(bomb.length < 20_000);
  assert.throws(() => decompress(bomb, 20_000));
  // As an attacker would seal it: the tag is right, the length is not.
  const header = encodeHeader('pack', false, Buffer.alloc(16), 'key');
  const seal = new BlobSeal(header, undefined, 'key');
  const into = Buffer.alloc(100);
  const stored = seal.seal(Buffer.alloc(50), 'content', 80, 'pages', into, 0);
  assert.throws(() => seal.open(into.subarray(0, stored), 'content', 80, 51), PgrecallError);
  assert.throws(() => seal.open(into.subarray(0, stored), 'content', 80, 0xffff_ffff), PgrecallError);
  assert.throws(() => seal.open(into.subarray(0, stored), 'footer', 80, 50), PgrecallError);
  assert.deepEqual(seal.open(into.subarray(0, stored), 'content', 80, 50), Buffer.alloc(50));
});

test('compression never makes a chunk longer, and comes back for any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), fc.integer({ min: 1, max: 40 }), (some, times) => {
      const plain = Buffer.concat(Array.from({ length: times }, () => some));
      const packed = compress(plain, 'pages');
      assert.ok(packed.length <= plain.length);
      if (packed.length < plain.length) assert.ok(decompress(packed, plain.length).equals(plain));
    }),
  );
});

test('a pack of more blobs than one index lists gives them all', async () => {
  const cluster = (await testRepository()).cluster('main');
  const pack = await cluster.createPack();
  const places: BlobLocation[] = [];
  for (let index = 0; index < 65_540; index += 1) places.push(await pack.append(Buffer.of(index & 255, index >> 8)));
  await pack.finish();
  await using reader = await cluster.openPack(pack.id);
  const blobs = await reader.blobs();
  assert.equal(blobs.length, places.length);
  for (const index of [0, 65_535, 65_536, 65_539]) {
    assert.deepEqual(blobs[index], places[index]);
    const place = places[index];
    assert.ok(place);
    assert.deepEqual(Buffer.from(await reader.read(place)), Buffer.of(index & 255, (index >> 8) & 255));
  }
});

test('a pack that was aborted, or never finished, does not appear', async () => {
  const storage = new MemoryStorage();
  const cluster = (await testRepository({ storage })).cluster('main');
  const aborted = await cluster.createPack();
  await aborted.append(content(100));
  await aborted.abort();
  const open = await cluster.createPack();
  await open.append(content(100));
  assert.deepEqual(await cluster.listPacks(), []);
  await assert.rejects(cluster.openPack(open.id), (error) => hasCode(error, 'object-missing'));
});
