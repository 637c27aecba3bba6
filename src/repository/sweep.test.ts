import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readBackup, sameFiles } from '../../test/support/made-up-backup.ts';
import { packChunks, partOf, writeBackup, type Packed } from '../../test/support/packed-backups.ts';
import { countingBytes, noon, testRepository } from '../../test/support/test-repository.ts';
import { claimReferences } from './claim.ts';
import type { ClusterRepository } from './cluster-repository.ts';
import type { LockOptions } from './lock.ts';
import { sweep, type Swept } from './sweep.ts';
import { expireBackup } from './tombstone.ts';

const lock: LockOptions = { purpose: 'backup', now: noon, randomBytes: countingBytes('sweep') };
const bytes = countingBytes('chunks');
const chunk = (length = 5000): Buffer => Buffer.from(bytes(length));
const nothing: Swept = { packs: 0, bytes: 0, repacked: { packs: 0, freedBytes: 0 }, notes: [] };
const [first, second, third] = ['20261101T000000Z-full', '20261102T000000Z-incremental', '20261103T000000Z-full'];

async function sweepOf(cluster: ClusterRepository, alone = true): Promise<Swept> {
  return sweep(cluster, { alone, signal: new AbortController().signal, say: () => undefined });
}

/** A full, an incremental that shares what did not change, and a full that shares one chunk with it. */
async function made(options: { readonly shared?: number; readonly passphrase?: string } = {}): Promise<{
  readonly cluster: ClusterRepository;
  readonly packs: readonly Packed[][];
  readonly expected: ReadonlyMap<string, ReadonlyMap<string, Buffer | string>>;
}> {
  const { shared = 9, passphrase } = options;
  const cluster = (await testRepository(passphrase === undefined ? {} : { passphrase })).cluster('main');
  const one = await packChunks(
    cluster,
    Array.from({ length: 10 }, () => chunk()),
  );
  const two = await packChunks(cluster, [chunk(), chunk(100)]);
  const three = await packChunks(cluster, [chunk()]);
  const [change, tail] = two as [Packed, Packed];
  const kept = one.slice(0, shared);
  const expected = new Map([
    [first, await writeBackup(cluster, first, { 'base/1': one, 'base/2': one.slice(3, 4) })],
    [second, await writeBackup(cluster, second, { 'base/1': [...kept, change], 'base/3': [partOf(tail, 10, 60)] })],
    [third, await writeBackup(cluster, third, { 'base/1': three, 'base/3': [tail] })],
  ]);
  return { cluster, packs: [one, two, three], expected };
}

async function checkBackups(
  cluster: ClusterRepository,
  expected: ReadonlyMap<string, ReadonlyMap<string, Buffer | string>>,
): Promise<void> {
  for (const { id } of await cluster.listBackups())
    sameFiles(await readBackup(cluster, id), expected.get(id) ?? new Map());
}

function idOf(packed: readonly Packed[] | undefined): string {
  return packed?.[0]?.extent.pack ?? '';
}

describe('a sweep', () => {
  it('leaves every pack that a backup refers to', async () => {
    const { cluster, expected } = await made();
    assert.deepEqual(await sweepOf(cluster), nothing);
    assert.equal((await cluster.listPacks()).length, 3);
    await checkBackups(cluster, expected);
  });

  it('removes what only expired backups referred to, whichever of them go', async () => {
    for (const gone of [[third], [second, third], [first, third], [first, second, third]]) {
      const { cluster, packs, expected } = await made();
      for (const id of gone) await expireBackup(cluster, id, noon());
      assert.equal((await cluster.listBackups()).length, 3 - gone.length);
      await sweepOf(cluster);
      const left = await cluster.listPacks();
      assert.ok(!left.includes(packs[2]?.[0]?.extent.pack ?? assert.fail()));
      assert.equal(left.length, { 1: 2, 2: gone.includes(first) ? 2 : 1, 3: 0 }[gone.length]);
      await checkBackups(cluster, expected);
      for (const id of gone) assert.deepEqual(await cluster.listNames(`backups/${id}`), []);
    }
  });

  it('says how much it removed', async () => {
    const { cluster, packs } = await made();
    const size = await cluster.packBytes(packs[2]?.[0]?.extent.pack ?? assert.fail());
    await expireBackup(cluster, third, noon());
    const swept = await sweepOf(cluster);
    assert.equal(swept.packs, 1);
    assert.equal(swept.bytes, size);
  });

  it('removes packs and manifests that a backup left which died', async () => {
    const { cluster, expected } = await made();
    const left = await packChunks(cluster, [chunk()]);
    const manifest = await cluster.createManifest('20261104T000000Z-full');
    await manifest.finish();
    await sweepOf(cluster);
    assert.ok(!(await cluster.listPacks()).includes(left[0]?.extent.pack ?? assert.fail()));
    assert.deepEqual(await cluster.listUnfinished(), []);
    await checkBackups(cluster, expected);
  });

  it('beside a running backup removes only what expired backups referred to', async () => {
    const { cluster, packs, expected } = await made();
    const running = await packChunks(cluster, [chunk()]);
    await expireBackup(cluster, third, noon());
    const swept = await sweepOf(cluster, false);
    assert.equal(swept.packs, 1);
    assert.deepEqual(
      (await cluster.listPacks()).toSorted(),
      [idOf(packs[0]), idOf(packs[1]), idOf(running)].toSorted(),
    );
    await checkBackups(cluster, expected);
  });

  it('leaves what a running backup has claimed, until it is done', async () => {
    const { cluster, expected } = await made();
    const claim = await claimReferences(cluster, 'running', [first], lock);
    await expireBackup(cluster, first, noon());
    await expireBackup(cluster, second, noon());
    const swept = await sweepOf(cluster, false);
    assert.match(swept.notes.join('\n'), /holds what belongs to 20261101T000000Z-full/);
    assert.equal((await cluster.listPacks()).length, 3, 'of the second one a part is in the third');
    sameFiles(await readBackup(cluster, first), expected.get(first) ?? new Map());
    // The backup is done: its record names what it built on.
    const reader = await cluster.openManifest(first);
    await reader.close();
    await claim.release();
    await sweepOf(cluster, false);
    assert.equal((await cluster.listPacks()).length, 2);
    await checkBackups(cluster, expected);
  });

  it('leaves what is stored by who has a claim, although no backup is running', async () => {
    const { cluster } = await made();
    await using _dump = await claimReferences(cluster, 'dump', [], { ...lock, purpose: 'dump' });
    await packChunks(cluster, [chunk()]);
    assert.equal((await sweepOf(cluster)).packs, 0);
    assert.equal((await cluster.listPacks()).length, 4);
  });

  it('takes no notice of a tombstone beside a record: the backup was not expired after all', async () => {
    const { cluster, expected } = await made();
    const remove = cluster.repository.storage.delete.bind(cluster.repository.storage);
    cluster.repository.storage.delete = async () => assert.fail('a crash');
    await assert.rejects(expireBackup(cluster, third, noon()));
    cluster.repository.storage.delete = remove;
    await sweepOf(cluster);
    assert.equal((await cluster.listBackups()).length, 3);
    assert.equal((await cluster.listPacks()).length, 3);
    assert.deepEqual(await cluster.listNames(`backups/${third}`), ['manifest', 'record.json']);
    await checkBackups(cluster, expected);
  });

  it('deletes nothing where the record of a backup cannot be read', async () => {
    const { cluster } = await made();
    const key = cluster.keyOf(`backups/${second}/record.json`);
    await cluster.repository.storage.put(key, Buffer.from('{}'), { replace: true });
    await expireBackup(cluster, first, noon());
    await assert.rejects(sweepOf(cluster), { code: 'object-damaged' });
    assert.equal((await cluster.listPacks()).length, 3);
    // Expired by name it is out of the way.
    await expireBackup(cluster, second, noon());
    await sweepOf(cluster);
    assert.equal((await cluster.listPacks()).length, 2);
  });

  it('believes the manifest where the record names fewer packs', async () => {
    const { cluster, expected } = await made();
    const record = await cluster.readRecord(second);
    await cluster.writeRecord(second, { ...record, packs: record.packs.slice(1) }, { replace: true });
    await expireBackup(cluster, first, noon());
    await sweepOf(cluster, false);
    await checkBackups(cluster, expected);
    await sweepOf(cluster);
    assert.equal((await cluster.readRecord(second)).packs.length, 2);
    await checkBackups(cluster, expected);
  });

  it('believes the record where the manifest cannot be read', async () => {
    const { cluster } = await made();
    const key = cluster.keyOf(`backups/${second}/manifest`);
    await cluster.repository.storage.put(key, Buffer.from('{}'), { replace: true });
    await expireBackup(cluster, first, noon());
    await sweepOf(cluster);
    assert.equal((await cluster.listPacks()).length, 3);
  });
});

describe('repacking', () => {
  for (const passphrase of [undefined, 'correct horse battery staple']) {
    it(`moves what is left of a pack that is mostly dead${passphrase === undefined ? '' : ', encrypted'}`, async () => {
      const { cluster, packs, expected } = await made({
        shared: 3,
        ...(passphrase === undefined ? {} : { passphrase }),
      });
      await expireBackup(cluster, first, noon());
      const swept = await sweepOf(cluster);
      assert.equal(swept.repacked.packs, 1);
      assert.ok(swept.repacked.freedBytes > 30_000 && swept.repacked.freedBytes < 40_000);
      const left = await cluster.listPacks();
      assert.ok(!left.includes(packs[0]?.[0]?.extent.pack ?? assert.fail()));
      assert.equal(left.length, 3);
      await checkBackups(cluster, expected);
      const { packs: named } = await cluster.readRecord(second);
      await using manifest = await cluster.openManifest(second);
      assert.deepEqual(named.toSorted(), (await manifest.packs()).toSorted());
      assert.deepEqual(manifest.attachmentNames, ['pg_control', 'backup_label']);
      assert.equal(Buffer.from((await manifest.attachment('backup_label')) ?? []).toString(), `label of ${second}`);
      assert.deepEqual(await sweepOf(cluster), nothing);
    });
  }

  it('leaves a pack of which a third is alive', async () => {
    const { cluster, packs } = await made({ shared: 4 });
    await expireBackup(cluster, first, noon());
    assert.equal((await sweepOf(cluster)).repacked.packs, 0);
    assert.ok((await cluster.listPacks()).includes(packs[0]?.[0]?.extent.pack ?? assert.fail()));
    assert.deepEqual(await cluster.listNames(`backups/${first}`), [], 'the tombstone is done with');
  });

  it('waits for the end of a running backup, and is not forgotten', async () => {
    const { cluster, packs, expected } = await made({ shared: 2 });
    await expireBackup(cluster, first, noon());
    const swept = await sweepOf(cluster, false);
    assert.match(swept.notes.join('\n'), /a backup is running/);
    assert.ok((await cluster.listPacks()).includes(packs[0]?.[0]?.extent.pack ?? assert.fail()));
    assert.equal((await sweepOf(cluster)).repacked.packs, 1);
    await checkBackups(cluster, expected);
  });

  it('leaves a pack that is damaged where it is', async () => {
    const { cluster, packs } = await made({ shared: 2 });
    const key = cluster.keyOf(`packs/${idOf(packs[0])}`);
    const damaged = Buffer.from(await cluster.repository.storage.get(key));
    damaged[5100] = (damaged[5100] ?? 0) ^ 1;
    await cluster.repository.storage.put(key, damaged, { replace: true });
    await expireBackup(cluster, first, noon());
    const swept = await sweepOf(cluster);
    assert.match(swept.notes.join('\n'), /is damaged, and stays as it is/);
    assert.equal((await cluster.listPacks()).length, 3);
    assert.ok((await cluster.readRecord(second)).packs.includes(idOf(packs[0])));
  });

  it('leaves the old packs to who has begun to read meanwhile', async () => {
    const { cluster, packs } = await made({ shared: 2 });
    await expireBackup(cluster, first, noon());
    const { storage } = cluster.repository;
    const put = storage.put.bind(storage);
    let claimed = false;
    storage.put = async (key, ...rest) => {
      if (!claimed && key.endsWith('record.json')) {
        claimed = true;
        await claimReferences(cluster, 'restore', [second], { ...lock, purpose: 'restore' });
      }
      return put(key, ...rest);
    };
    assert.equal((await sweepOf(cluster)).repacked.packs, 0);
    assert.ok((await cluster.listPacks()).includes(packs[0]?.[0]?.extent.pack ?? assert.fail()));
    await sweepOf(cluster);
    assert.ok((await cluster.listPacks()).includes(packs[0]?.[0]?.extent.pack ?? assert.fail()), 'it reads on');
    for (const name of await cluster.listNames('claims')) await cluster.deleteObject(`claims/${name}`);
    assert.equal((await sweepOf(cluster)).packs, 1);
  });
});
