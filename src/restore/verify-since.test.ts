import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { noon } from '../../test/support/test-repository.ts';
import { block, dayMs, everyExtent, flip, history, made, nameOf, verify } from '../../test/support/verified-backups.ts';
import { BlobSet } from '../repository/blob-set.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { moveBlobs } from '../repository/move-blobs.ts';
import type { PackId } from '../repository/pack-id.ts';
import { rewriteManifest } from '../repository/rewrite-manifest.ts';
import { sweep } from '../repository/sweep.ts';
import { expireBackup } from '../repository/tombstone.ts';

describe('what was verified not long ago', () => {
  it('is not read again until it is due; what is new is', async () => {
    const { backups } = await made();
    await history(backups);
    await verify(backups.cluster);
    const later = (days: number) => (): Date => new Date(noon().getTime() + days * dayMs);
    const again = await verify(backups.cluster, { sinceMs: 7 * dayMs, now: later(3) });
    assert.deepEqual([again.read, again.packs, again.harmed], [[], { read: 0, known: 3 }, []]);
    await backups.add('4-incremental', { 'base/1': { sizeBytes: 9 * block, changed: [0] } });
    const more = await verify(backups.cluster, { sinceMs: 7 * dayMs, now: later(4) });
    assert.deepEqual([more.read.length, more.packs, more.harmed], [1, { read: 1, known: 3 }, []]);
    const due = await verify(backups.cluster, { sinceMs: 7 * dayMs, now: later(8) });
    assert.deepEqual(due.packs, { read: 3, known: 1 });
    assert.ok(due.read.length > 3);
    const everything = await verify(backups.cluster, { now: later(8) });
    assert.deepEqual(everything.packs, { read: 4, known: 0 });
  });

  it('is read again where it was found damaged', async () => {
    const { storage, backups } = await made();
    await history(backups);
    await verify(backups.cluster);
    const all = await everyExtent(backups.cluster);
    const one = all.find(({ id, path }) => id === '1-full' && path === 'base/2');
    assert.ok(one);
    flip(storage, `clusters/main/packs/${one.extent.pack}`, one.extent.blob.offset + 1);
    assert.deepEqual((await verify(backups.cluster, { sinceMs: dayMs })).harmed, [], 'not looked at');
    const found = await verify(backups.cluster);
    assert.ok(found.harmed.length > 0);
    assert.deepEqual((await verify(backups.cluster, { sinceMs: dayMs })).harmed, found.harmed, 'nor forgotten');
  });

  it('is missed when it is gone or has another size', async () => {
    const { storage, backups } = await made();
    await history(backups);
    await verify(backups.cluster);
    const [record] = await backups.cluster.listBackups();
    const key = `clusters/main/packs/${record?.packs[0]}`;
    const whole = storage.objects.get(key) ?? new Uint8Array();
    storage.objects.set(key, whole.subarray(0, whole.length - 1));
    assert.deepEqual((await verify(backups.cluster, { sinceMs: dayMs })).harmed.length, 3);
    storage.objects.delete(key);
    const { verdicts, harmed } = await verify(backups.cluster, { sinceMs: dayMs });
    assert.equal(harmed.length, 3);
    for (const { damage } of verdicts) assert.ok(damage.some(({ code }) => code === 'object-missing'));
  });

  it('is forgotten with what keeps it, at the price of reading', async () => {
    const { storage, backups } = await made();
    await history(backups);
    const first = await verify(backups.cluster);
    for (const harm of [
      () => flip(storage, 'clusters/main/verified', 90),
      () => void storage.objects.delete('clusters/main/verified'),
      () => void storage.objects.set('clusters/main/verified', Buffer.from('nothing')),
    ]) {
      harm();
      const again = await verify(backups.cluster, { sinceMs: dayMs });
      assert.deepEqual([again.read.length, again.harmed], [first.read.length, []]);
      assert.deepEqual((await verify(backups.cluster, { sinceMs: dayMs })).read, [], 'noted anew');
    }
  });

  it('by a clock that was ahead does not count', async () => {
    const { backups } = await made();
    await history(backups);
    await verify(backups.cluster, { now: () => new Date(noon().getTime() + 400 * dayMs) });
    assert.equal((await verify(backups.cluster, { sinceMs: dayMs })).packs.known, 0);
    assert.equal((await verify(backups.cluster, { sinceMs: dayMs })).packs.known, 3, 'the wrong clock is forgotten');
  });

  it('of one backup alone says nothing of packs that others share', async () => {
    const { backups } = await made();
    await history(backups);
    const records = await backups.cluster.listBackups();
    const [full, ...others] = records;
    assert.ok(full);
    const alsoElsewhere = new Set(others.flatMap(({ packs }) => packs));
    assert.deepEqual((await verify(backups.cluster, { records: [full], alsoElsewhere })).harmed, []);
    assert.equal((await verify(backups.cluster, { sinceMs: dayMs })).packs.known, 0);
  });
});

describe('a backup that goes away while it is verified', () => {
  it('is no damage', async () => {
    const { backups } = await made();
    await history(backups);
    const { cluster } = backups;
    const { harmed, expired, verdicts } = await verify(cluster, {
      meanwhile: async () => {
        await expireBackup(cluster, '1-full', noon());
        await sweep(cluster, { alone: false, signal: new AbortController().signal, say: () => undefined });
      },
    });
    assert.deepEqual([harmed, expired], [[], ['1-full']]);
    assert.deepEqual(
      verdicts.map(({ backup }) => backup),
      ['2-incremental', '3-incremental'],
    );
  });

  it('is verified anew where it was repacked', async () => {
    const { backups } = await made();
    await history(backups);
    const { cluster } = backups;
    const records = await cluster.listBackups();
    const repacked = await verify(cluster, { meanwhile: async () => repackAll(cluster) });
    const content = (await everyExtent(cluster)).filter(({ what }) => what === 'content');
    for (const { extent } of content) assert.ok(repacked.read.includes(nameOf(extent)), 'each blob where it is now');
    assert.deepEqual([repacked.harmed, repacked.expired], [[], []]);
    assert.equal(repacked.verdicts.length, 3);
    for (const { id, packs } of await cluster.listBackups()) {
      assert.notDeepEqual(packs, records.find((record) => record.id === id)?.packs, 'it lies elsewhere now');
    }
  });
});

/** As a sweep does with packs that are mostly dead. */
async function repackAll(cluster: ClusterRepository): Promise<void> {
  const sets = new Map<PackId, BlobSet>();
  for (const { extent } of await everyExtent(cluster)) {
    const set = sets.get(extent.pack) ?? new BlobSet();
    sets.set(extent.pack, set);
    set.add(extent.blob);
  }
  const { signal } = new AbortController();
  const moved = await moveBlobs(cluster, sets, { signal, onDamaged: (_, error) => assert.fail(error) });
  for (const record of await cluster.listBackups()) await rewriteManifest(cluster, record, moved);
  for (const pack of sets.keys()) await cluster.deletePack(pack);
}
