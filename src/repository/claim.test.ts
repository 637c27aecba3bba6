import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { backupRecord, countingBytes, noon, testRepository } from '../../test/support/test-repository.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { claimReferences, claimToRead, readClaims } from './claim.ts';
import type { ClusterRepository } from './cluster-repository.ts';
import { systemProcesses, type HolderState, type ProcessTable } from './lock-holder.ts';
import type { LockOptions } from './lock.ts';

const lock: LockOptions = { purpose: 'backup', now: noon, randomBytes: countingBytes('claims') };
const first = '20261123T083834Z-full';
const next = '20261123T093834Z-incremental';

function processesThatAre(state: HolderState): ProcessTable {
  return { self: () => systemProcesses.self(), stateOf: () => state };
}

async function clusterWith(...ids: readonly string[]): Promise<ClusterRepository> {
  const cluster = (await testRepository()).cluster('main');
  for (const id of ids) await cluster.writeRecord(id, backupRecord(id));
  return cluster;
}

describe('a claim', () => {
  it('is seen until it is released', async () => {
    const cluster = await clusterWith(first);
    const claim = await claimReferences(cluster, next, [first], lock);
    const [seen, another] = await readClaims(cluster);
    assert.deepEqual(seen?.references, [first]);
    assert.equal(seen.purpose, 'backup');
    assert.equal(seen.holder.pid, process.pid);
    assert.equal(another, undefined);
    await claim.release();
    assert.deepEqual(await readClaims(cluster), []);
  });

  it('is released with await using, and when what it guards fails', async () => {
    const cluster = await clusterWith(first);
    await assert.rejects(async () => {
      await using _claim = await claimReferences(cluster, next, [first], lock);
      assert.equal((await readClaims(cluster)).length, 1);
      throw new Error('the backup failed');
    });
    assert.deepEqual(await readClaims(cluster), []);
  });

  it('fails where the reference is gone, and leaves nothing', async () => {
    const cluster = await clusterWith(first);
    await cluster.deleteBackup(first);
    await assert.rejects(claimReferences(cluster, next, [first], lock), { code: 'reference-expired' });
    assert.deepEqual(await cluster.listNames('claims'), []);
  });

  it('is there before the record of its reference is read: an expiry in between is noticed by one of the two', async () => {
    const cluster = await clusterWith(first);
    const { storage } = cluster.repository;
    const get = storage.get.bind(storage);
    let seen = 0;
    storage.get = async (key, limit) => {
      if (key.endsWith('record.json')) seen = (await cluster.listNames('claims')).length;
      return get(key, limit);
    };
    await claimReferences(cluster, next, [first], lock);
    assert.equal(seen, 1);
  });

  it('of several names what each of them relies on', async () => {
    const cluster = await clusterWith(first, next);
    await claimReferences(cluster, 'restore', [first], { ...lock, purpose: 'restore' });
    await claimReferences(cluster, 'restore', [first, next], { ...lock, purpose: 'restore' });
    const claimed = (await readClaims(cluster)).map(({ references }) => references.length);
    assert.deepEqual(
      claimed.toSorted((a, b) => a - b),
      [1, 2],
    );
  });

  it('of a dead process counts for nothing, and is deleted', async () => {
    const cluster = await clusterWith(first);
    await claimReferences(cluster, next, [first], lock);
    assert.deepEqual(await readClaims(cluster, processesThatAre('dead')), []);
    assert.deepEqual(await cluster.listNames('claims'), []);
  });

  it('of another host counts: whether that process lives cannot be seen from here', async () => {
    const cluster = await clusterWith(first);
    await claimReferences(cluster, next, [first], lock);
    assert.equal((await readClaims(cluster, processesThatAre('elsewhere'))).length, 1);
  });

  it('of who only reads is done without where nothing can be written', async () => {
    const cluster = await clusterWith(first);
    const reading = { ...lock, purpose: 'restore' };
    {
      await using _claim = await claimToRead(cluster, first, reading);
      assert.deepEqual((await readClaims(cluster))[0]?.references, [first]);
    }
    assert.deepEqual(await readClaims(cluster), []);
    await assert.rejects(claimToRead(cluster, next, reading), { code: 'reference-expired' });
    for (const code of ['storage', 'disk-full'] as const) {
      cluster.repository.storage.put = async () => {
        throw new PgrecallError(code, 'read-only');
      };
      await using _claim = await claimToRead(cluster, first, reading);
    }
  });

  it('that cannot be read keeps an expiry from going on', async () => {
    const cluster = await clusterWith(first);
    await claimReferences(cluster, next, [first], lock);
    const [name = ''] = await cluster.listNames('claims');
    await cluster.repository.storage.put(cluster.keyOf(`claims/${name}`), Buffer.from('{}'), { replace: true });
    await assert.rejects(readClaims(cluster), { code: 'object-damaged' });
  });
});
