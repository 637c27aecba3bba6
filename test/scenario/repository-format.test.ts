import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { createPageKernel } from '../../src/postgres/page-kernel.ts';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import type { Extent } from '../../src/repository/file-map.ts';
import { newSecret } from '../../src/repository/generated-secret.ts';
import type { ManifestEntry } from '../../src/repository/manifest.ts';
import type { BlobLocation } from '../../src/repository/pack-id.ts';
import type { PackWriter } from '../../src/repository/pack-writer.ts';
import { openRepository, type Repository } from '../../src/repository/repository.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { SecondReader, type ObjectSource } from '../support/second-reader.ts';
import { backupRecord, countingBytes, noon, quickCost, testRepository } from '../support/test-repository.ts';

/*
 * docs/repository-format.md is enough to read a repository: the second reader, written from it alone, finds in
 * repositories of ours what went into them. And what the document shows as an example is what the program writes.
 */

const passphrase = 'correct horse battery staple';

function sourceOf(storage: MemoryStorage): ObjectSource {
  return {
    get: (key) => storage.objects.get(key),
    keys: (prefix) => [...storage.objects.keys()].filter((key) => key.startsWith(prefix)),
  };
}

interface WrittenFile {
  readonly path: string;
  readonly content: Buffer;
}

const identity = { inode: 131_072, bornMicros: 1_795_423_113_000_001, changedMicros: 1_795_423_114_000_777 };
const base = { mode: 0o600, owner: 'postgres', group: 'postgres', modifiedMs: 1_795_423_114_000, flags: 0 };

function directory(path: string, changes: Partial<ManifestEntry> = {}): ManifestEntry {
  return { ...base, kind: 'directory', path, mode: 0o700, sizeBytes: 0, crc32c: 0, extents: [], sums: [], ...changes };
}

/** Writes chunks of files into packs and gives the entries of a manifest. */
class Writer {
  readonly files: WrittenFile[] = [];
  readonly #packs: readonly PackWriter[];
  readonly #chunkBytes: number;
  #next = 0;

  constructor(packs: readonly PackWriter[], chunkBytes: number) {
    this.#packs = packs;
    this.#chunkBytes = chunkBytes;
  }

  /** A file whose chunks go to the packs in turn, `run` of them to each. */
  async file(path: string, content: Buffer, run = 1, changes: Partial<ManifestEntry> = {}): Promise<ManifestEntry> {
    const extents: Extent[] = [];
    for (let at = 0, number = 0; at < content.length; number += 1) {
      if (number % run === 0) this.#next += 1;
      const pack = this.#packs[this.#next % this.#packs.length];
      assert.ok(pack);
      const chunk = content.subarray(at, at + this.#chunkBytes);
      const blob = await pack.append(chunk);
      extents.push({ fileOffset: at, lengthBytes: chunk.length, pack: pack.id, blob, blobOffset: 0 });
      at += chunk.length;
    }
    return this.mapped(path, content, extents, changes);
  }

  mapped(path: string, content: Buffer, extents: Extent[], changes: Partial<ManifestEntry> = {}): ManifestEntry {
    this.files.push({ path, content });
    const sizeBytes = content.length;
    return { ...base, kind: 'file', path, sizeBytes, crc32c: crc32c(content), extents, sums: [], ...changes };
  }

  /** Stores the sums of all files in blobs of `blobBytes`, one file after the other. */
  async summed(
    entries: readonly ManifestEntry[],
    { sumKey, blobBytes }: { readonly sumKey: Uint8Array; readonly blobBytes: number },
  ): Promise<ManifestEntry[]> {
    const [pack] = this.#packs;
    assert.ok(pack);
    const content = new Map(this.files.map((file) => [file.path, file.content]));
    const kernel = createPageKernel(Math.max(...this.files.map((file) => file.content.length)), sumKey);
    const runs = entries.map(({ path }) => {
      const bytes = content.get(path) ?? Buffer.alloc(0);
      kernel.buffer.set(bytes);
      return Buffer.from(kernel.sums(0, bytes.length));
    });
    const all = Buffer.concat(runs);
    const blobs: BlobLocation[] = [];
    for (let at = 0; at < all.length; at += blobBytes) blobs.push(await pack.append(all.subarray(at, at + blobBytes)));
    let at = 0;
    return entries.map((entry, i) => {
      const sums: Extent[] = [];
      for (const end = at + (runs[i]?.length ?? 0); at < end;) {
        const blob = blobs[Math.floor(at / blobBytes)];
        assert.ok(blob);
        const blobOffset = at % blobBytes;
        const lengthBytes = Math.min(end - at, blob.plainBytes - blobOffset);
        const fileOffset = (runs[i]?.length ?? 0) - (end - at);
        sums.push({ fileOffset, lengthBytes, pack: pack.id, blob, blobOffset });
        at += lengthBytes;
      }
      return { ...entry, sums };
    });
  }
}

/** Bytes that compress somewhat, or not at all. */
function bytesFor(length: number, seed: string, noise = false): Buffer {
  const bytes = Buffer.from(countingBytes(seed)(length));
  if (!noise) for (let at = 0; at < length; at += 1) if (at % 64 >= 16) bytes[at] = at >> 10;
  return bytes;
}

/** A backup with everything that the format has a form for. */
async function writeBackup(cluster: ClusterRepository, id: string, sumKey: Uint8Array): Promise<WrittenFile[]> {
  const packs = [await cluster.createPack(), await cluster.createPack()];
  const [first] = packs;
  assert.ok(first);
  const writer = new Writer(packs, 8192);
  const whole = bytesFor(3 * 8192 + 100, 'relation');
  const relation = await writer.file('base/5/1259', whole);
  // As an increment would: a page of its own, the rest from the blobs of another file, in parts and repeated.
  const page = bytesFor(8192, 'page', true);
  const blob = await first.append(page);
  const [one, two] = relation.extents;
  assert.ok(one && two);
  const extents: Extent[] = [
    { ...one, fileOffset: 0, blobOffset: 10, lengthBytes: 100 },
    { ...one, fileOffset: 100, blobOffset: 200, lengthBytes: 50 },
    { fileOffset: 150, lengthBytes: 8192, pack: first.id, blob, blobOffset: 0 },
    { ...two, fileOffset: 8342 },
    { ...two, fileOffset: 16_534, blobOffset: 8000, lengthBytes: 192 },
  ];
  const mixed = Buffer.concat([
    whole.subarray(10, 110),
    whole.subarray(200, 250),
    page,
    whole.subarray(8192, 16_384),
    whole.subarray(16_192, 16_384),
  ]);

  const entries: ManifestEntry[] = [
    directory(''),
    await writer.file('PG_VERSION', Buffer.from('15\n'), 1, { modifiedMs: -5, mode: 0o640, identity }),
    directory('base'),
    directory('base/5', { owner: 'root', group: '4711' }),
    relation,
    writer.mapped('base/5/1260', mixed, extents, { flags: 1, identity: { ...identity, inode: 17, changedMicros: 0 } }),
    await writer.file('base/5/16384', bytesFor(200 * 8192, 'large'), 3),
    await writer.file('base/5/16385', Buffer.alloc(0)),
    directory('pg_tblspc'),
    { ...directory('pg_tblspc/16400'), kind: 'symlink', mode: 0o777, target: '/mnt/빠른' },
    directory('pg_tblspc/16400/PG_15_202209061'),
    await writer.file('pg_tblspc/16400/PG_15_202209061/한글', bytesFor(9000, 'tablespace')),
  ];
  for (let number = 0; number < 1500; number += 1) {
    const name = `small/${String(number).padStart(5, '0')}`;
    if (number === 0) entries.push(directory('small'));
    entries.push(await writer.file(name, bytesFor(number % 70, name), 1, { modifiedMs: 1000 * number }));
  }
  const summed = await writer.summed(entries, { sumKey, blobBytes: 1000 });
  for (const pack of packs) await pack.finish();

  const manifest = await cluster.createManifest(id);
  for (const entry of summed) await manifest.add(entry);
  await manifest.attach('backup_label', Buffer.from('START WAL LOCATION: 0/2000028\n'));
  await manifest.attach('tablespace_map', Buffer.alloc(0));
  await manifest.attach('pg_control', bytesFor(8192, 'control'));
  await manifest.attach('outside/postgresql.conf', bytesFor(1_048_577, 'configuration'));
  const { sizeBytes, files } = await manifest.finish();
  const named = packs.map((pack) => pack.id);
  await cluster.writeRecord(id, backupRecord(id, { packs: named, sizeBytes, files }));
  return writer.files;
}

async function registered(repository: Repository): Promise<ClusterRepository> {
  const cluster = repository.cluster('main');
  await cluster.writeCluster({
    name: 'main',
    incarnations: [
      {
        number: 1,
        systemIdentifier: '7435620123456789012',
        postgresMajor: 15,
        segmentBytes: 16_777_216,
        since: '2026-11-23T08:00:00.000Z',
      },
    ],
  });
  return cluster;
}

for (const secret of [undefined, passphrase]) {
  describe(`a second reader, written from the document alone, ${secret === undefined ? 'without' : 'with'} encryption`, () => {
    const storage = new MemoryStorage();
    const source = sourceOf(storage);
    const id = '20261123T083834Z-full';

    it('lists the backups and extracts every file as it went in', async () => {
      const repository = await testRepository({ storage, ...(secret === undefined ? {} : { passphrase: secret }) });
      const cluster = await registered(repository);
      const written = await writeBackup(cluster, id, repository.sumKey());
      await (await cluster.createManifest('20261124T000000Z-full')).finish();

      const reader = new SecondReader(source, secret);
      assert.deepEqual(reader.backups('main'), [id], 'a backup without a record is none');
      const backup = reader.extract('main', id);
      assert.deepEqual(backup.record, JSON.parse(JSON.stringify(await cluster.readRecord(id))));
      const files = new Map(
        backup.entries
          .filter(({ kind }) => kind === 'file')
          .map(({ path, content: bytes }) => [Buffer.from(path, 'latin1').toString('utf8'), bytes]),
      );
      assert.equal(files.size, written.length);
      for (const { path, content: bytes } of written) assert.ok(files.get(path)?.equals(bytes), path);
    });

    it('agrees with the program about every entry and attachment', async () => {
      const reader = new SecondReader(source, secret);
      const { entries, attachments } = reader.extract('main', id);
      const repository = await openRepository(storage, secret === undefined ? {} : { passphrase: secret });
      await using manifest = await repository.cluster('main').openManifest(id);
      let index = 0;
      for await (const entry of manifest.entries()) {
        const { path, kind, mode, flags, owner, group, modifiedMs, target, identity: identified } = entry;
        const { content: bytes, ...found } = entries[index] ?? {};
        const latin1 = Buffer.from(path, 'utf8').toString('latin1');
        assert.deepEqual(found, {
          kind,
          path: latin1,
          mode,
          flags,
          owner,
          group,
          modifiedMs,
          target,
          identity: identified,
        });
        assert.equal(bytes !== undefined, kind === 'file');
        index += 1;
      }
      assert.equal(index, entries.length);
      for (const [name, bytes] of attachments) {
        assert.deepEqual(Buffer.from((await manifest.attachment(name)) ?? ''), bytes, name);
      }
      assert.deepEqual([...attachments.keys()].toSorted(), [
        'backup_label',
        'outside/postgresql.conf',
        'pg_control',
        'tablespace_map',
      ]);
    });

    it('opens objects of several blobs', async () => {
      const reader = new SecondReader(source, secret);
      const repository = await openRepository(storage, secret === undefined ? {} : { passphrase: secret });
      const bytes = bytesFor(2_500_000, 'object');
      for (const [key, whole] of [
        ['object', bytes],
        ['empty', Buffer.alloc(0)],
      ] as const) {
        await repository.cluster('main').putSealed(key, whole);
        assert.deepEqual(reader.object(`clusters/main/${key}`), whole);
      }
    });

    it('refuses an object under another name', async () => {
      const copy = storage.objects.get('clusters/main/object');
      assert.ok(copy);
      storage.objects.set('clusters/main/copy', copy);
      assert.throws(() => new SecondReader(source, secret).object('clusters/main/copy'), /another object/);
    });
  });
}

it('a second reader opens the repository with any of its key slots', async () => {
  const storage = new MemoryStorage();
  const repository = await testRepository({ storage, passphrase });
  await registered(repository);
  await repository.addKeySlot({
    secret: 'Ｃafe\u0301',
    label: 'second',
    scryptCost: quickCost,
    purpose: 'test',
    now: noon,
    randomBytes: countingBytes('slot'),
  });
  const made = newSecret(countingBytes('made'));
  await repository.addKeySlot({
    secret: made,
    label: 'made by pgrecall',
    purpose: 'test',
    now: noon,
    randomBytes: countingBytes('third'),
  });
  for (const secret of [passphrase, 'Ｃaf\u00e9', made]) {
    const reader = new SecondReader(sourceOf(storage), secret);
    assert.equal(reader.document('clusters/main/cluster.json')['name'], 'main');
  }
  assert.throws(() => new SecondReader(sourceOf(storage), 'another'), /no key slot/);
});

describe('the examples of the document', () => {
  const text = readFileSync(new URL('../../docs/repository-format.md', import.meta.url), 'utf8');
  const hexOf = (name: string): string => {
    const block = new RegExp(`\`\`\`hex ${name}\\n([^\`]*)\`\`\``).exec(text)?.[1];
    assert.ok(block, `the document has no example "${name}"`);
    return block.replaceAll(/\s/g, '');
  };

  it('shows a sealed object and a manifest as the program writes them', async () => {
    const storage = new MemoryStorage();
    const repository = await testRepository({ storage });
    const cluster = repository.cluster('main');
    const pack = await cluster.createPack();
    const writer = new Writer([pack], 8192);
    const manifestKey = 'clusters/main/backups/20261123T083834Z-full/manifest';
    const entries = [
      directory(''),
      await writer.file('PG_VERSION', Buffer.from('15\n')),
      await writer.file('base/5/1259', Buffer.from('not a relation at all'), 1, { identity }),
    ];
    const summed = await writer.summed(entries, { sumKey: repository.sumKey(), blobBytes: 65_536 });
    await pack.finish();
    const manifest = await cluster.createManifest('20261123T083834Z-full');
    for (const entry of summed) await manifest.add(entry);
    await manifest.attach('backup_label', Buffer.from('START WAL'));
    await manifest.finish();
    await cluster.putSealed('example', Buffer.from('hello'));
    const hex = (key: string): string => Buffer.from(storage.objects.get(key) ?? '').toString('hex');
    assert.equal(hex('clusters/main/example'), hexOf('example'));
    assert.ok(hex(manifestKey).includes(hexOf('manifest-block')));
    assert.ok(hex(manifestKey).includes(hexOf('manifest-footer')));
  });

  it('shows documents as the program writes them', async () => {
    for (const options of [{}, { passphrase }]) {
      const storage = new MemoryStorage();
      const repository = await testRepository({ storage, ...options });
      await registered(repository);
      const document = Buffer.from(storage.objects.get('repository.json') ?? '').toString('utf8');
      if (!repository.encrypted) {
        assert.ok(text.includes(document));
        assert.ok(text.includes(Buffer.from(storage.objects.get('clusters/main/cluster.json') ?? '').toString('utf8')));
      }
      const { encryption } = (JSON.parse(document) as { document: { encryption: unknown } }).document;
      if (encryption !== null) assert.ok(text.includes(JSON.stringify(encryption, undefined, 2)));
    }
  });

  it('shows a record with the fields that records have', () => {
    const block = /```json\n(\{\n {2}"id"[^`]*)```/.exec(text)?.[1];
    const databases = [
      { oid: 1, name: 'template1' },
      { oid: 16_386, name: 'shop' },
    ];
    assert.deepEqual(JSON.parse(block ?? ''), backupRecord('20261123T083834Z-full', { databases }));
  });
});
