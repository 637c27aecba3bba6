import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import type { ProcessTable } from '../../src/repository/lock-holder.ts';
import { systemProcesses } from '../../src/repository/lock-holder.ts';
import { sweep, type Swept } from '../../src/repository/sweep.ts';
import { expireBackup } from '../../src/repository/tombstone.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { failEverywhere } from '../support/fault-loop.ts';
import { readBackup, reopened, sameFiles } from '../support/made-up-backup.ts';
import { packChunks, writeBackup } from '../support/packed-backups.ts';
import { countingBytes, noon, testRepository } from '../support/test-repository.ts';

type Contents = ReadonlyMap<string, ReadonlyMap<string, Buffer | string>>;

const bytes = countingBytes('expire');
const chunks = (count: number): Buffer[] => Array.from({ length: count }, (_, i) => Buffer.from(bytes(400 + i)));
const [full, incremental, later, other] = ['1-full', '2-incremental', '3-incremental', '4-full'];

/** A full whose pack is mostly dead once it goes, increments that share it, one that shares with nobody. */
async function fill(cluster: ClusterRepository): Promise<Contents> {
  const one = await packChunks(cluster, chunks(12));
  const two = await packChunks(cluster, chunks(5));
  const [change, ...more] = await packChunks(cluster, chunks(3));
  const three = await packChunks(cluster, chunks(2));
  assert.ok(change);
  return new Map([
    [full, await writeBackup(cluster, full, { 'base/1': one, 'base/2': two })],
    [incremental, await writeBackup(cluster, incremental, { 'base/1': [...one.slice(0, 2), change], 'base/2': two })],
    [later, await writeBackup(cluster, later, { 'base/1': [...one.slice(1, 3), change], 'base/3': more })],
    [other, await writeBackup(cluster, other, { 'base/1': three })],
  ]);
}

async function expireAndSweep(cluster: ClusterRepository, gone: readonly string[], alone = true): Promise<Swept> {
  for (const id of gone) await expireBackup(cluster, id, noon());
  return sweep(cluster, { alone, signal: new AbortController().signal, say: () => undefined, processes: allDead });
}

/** Claims of a process that died in the middle count for nothing. */
const allDead: ProcessTable = { self: () => systemProcesses.self(), stateOf: () => 'dead' };

async function checkListed(cluster: ClusterRepository, expected: Contents): Promise<readonly string[]> {
  const listed = (await cluster.listBackups()).map(({ id }) => id);
  for (const id of listed) sameFiles(await readBackup(cluster, id), expected.get(id) ?? new Map());
  return listed;
}

/** What is stored, by the sizes of objects: names of packs differ from run to run. */
function sizesOf(storage: MemoryStorage): number[] {
  return [...storage.objects].map(([, { length }]) => length).toSorted((a, b) => a - b);
}

describe('whatever goes wrong in the repository while backups are expired and packs are swept', () => {
  const cases: readonly [string, readonly string[], boolean, (string | undefined)[]][] = [
    ['the full that others build on, its pack repacked', [full], true, [undefined, 'correct horse battery staple']],
    ['two of them at once', [full, other], true, [undefined]],
    ['one that shares with nobody, beside a running backup', [other], false, [undefined]],
    ['everything but the last', [full, incremental, later], true, [undefined]],
  ];
  for (const [what, gone, alone, passphrases] of cases) {
    for (const passphrase of passphrases) {
      it(`what is listed restores, and the next expiry leaves nothing behind: ${what}${passphrase === undefined ? '' : ', encrypted'}`, async () => {
        const memory = new MemoryStorage();
        const repository = await testRepository({
          storage: memory,
          ...(passphrase === undefined ? {} : { passphrase }),
        });
        const expected = await fill(repository.cluster('main'));
        const begun = new Map(memory.objects);
        const stays = [...expected.keys()].filter((id) => !gone.includes(id));

        const undisturbed = new MemoryStorage();
        for (const [key, content] of begun) undisturbed.objects.set(key, content);
        await expireAndSweep(reopened(repository, undisturbed), gone);
        const wanted = sizesOf(undisturbed);

        const faults = await failEverywhere({
          begun,
          asynchronous: passphrase !== undefined,
          act: async (storage) => expireAndSweep(reopened(repository, storage), gone, alone),
          after: async (storage) => {
            const after = reopened(repository, storage);
            const listed = await checkListed(after, expected);
            for (const id of stays) assert.ok(listed.includes(id), `${id} is gone`);
            await expireAndSweep(
              after,
              gone.filter((id) => listed.includes(id)),
              alone,
            );
            assert.deepEqual(await checkListed(after, expected), stays);
            // A repacking that died may have lost what there was to do: then more stays, never less.
            const left = sizesOf(storage);
            const total = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0);
            assert.ok(
              total(left) <= total(wanted) * 1.02 || gone.includes(full),
              `${String(left)} of ${String(wanted)}`,
            );
            assert.ok(total(left) >= total(wanted) * 0.98);
            const named = new Set((await after.listBackups()).flatMap(({ packs }) => packs));
            assert.deepEqual(new Set(await after.listPacks()), named, 'packs that nobody refers to');
            for (const id of gone) assert.deepEqual(await after.listNames(`backups/${id}`), []);
          },
        });
        assert.ok(faults > 50, `only ${faults} faults`);
      });
    }
  }

  it('repacks, where all goes well', async () => {
    const repository = await testRepository();
    const cluster = repository.cluster('main');
    const expected = await fill(cluster);
    const { repacked } = await expireAndSweep(cluster, [full]);
    assert.equal(repacked.packs, 1);
    assert.deepEqual(await checkListed(cluster, expected), [incremental, later, other]);
  });
});
