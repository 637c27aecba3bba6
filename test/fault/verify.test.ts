import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import { summedBytes } from '../../src/repository/block-sums.ts';
import { VerifiedNotes } from '../../src/repository/verified-notes.ts';
import { verifyBackups, type VerifiedBackups } from '../../src/restore/verify-backups.ts';
import { verifyHere } from '../../src/restore/verifying.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { failEverywhere } from '../support/fault-loop.ts';
import { reopened } from '../support/made-up-backup.ts';
import { SummedBackups } from '../support/summed-backups.ts';
import { countingBytes, noon, testRepository } from '../support/test-repository.ts';

const dayMs = 86_400_000;
const ids = ['1-full', '2-incremental', '3-incremental'];

async function verify(cluster: ClusterRepository, sinceMs?: number): Promise<VerifiedBackups> {
  // A clock that goes on, so that what is found is noted now and then.
  let seconds = 0;
  const now = (): Date => new Date(noon().getTime() + 1000 * (seconds += 20));
  const notes = await VerifiedNotes.open(cluster, { now, sinceMs });
  const verifying = verifyHere(cluster);
  try {
    return await verifyBackups({
      cluster,
      records: await cluster.listBackups(),
      alsoElsewhere: new Set(),
      notes,
      verifying,
      signal: new AbortController().signal,
      onProgress: () => undefined,
      onTotal: () => undefined,
      say: () => undefined,
    });
  } finally {
    await verifying.close();
    await notes.save();
  }
}

function harmedIn({ verdicts }: VerifiedBackups): string[] {
  return verdicts.filter(({ damage }) => damage.length > 0).map(({ backup }) => backup);
}

describe('whatever goes wrong in the repository while it is verified', () => {
  for (const passphrase of [undefined, 'correct horse battery staple']) {
    it(`what is damaged is never noted as good${passphrase === undefined ? '' : ', encrypted'}`, async () => {
      const memory = new MemoryStorage();
      const repository = await testRepository({
        storage: memory,
        ...(passphrase === undefined ? {} : { passphrase }),
      });
      const backups = new SummedBackups(repository.cluster('main'), countingBytes('content'));
      const [full = '', second = '', third = ''] = ids;
      await backups.add(full, {
        'base/1': { sizeBytes: 5 * summedBytes, changed: [] },
        'base/2': { sizeBytes: 100, changed: [] },
      });
      await backups.add(second, { 'base/1': { sizeBytes: 5 * summedBytes, changed: [2] } });
      await verify(repository.cluster('main'));
      await backups.add(third, { 'base/2': { sizeBytes: 200, changed: [] } });
      // Damage in what only the newest has, of which nothing was noted yet.
      const [record] = (await repository.cluster('main').listBackups()).slice(-1);
      const own = record?.packs.at(-1) ?? '';
      const key = `clusters/main/packs/${own}`;
      const bytes = Buffer.from(memory.objects.get(key) ?? '');
      bytes[85] = (bytes[85] ?? 0) ^ 1;
      memory.objects.set(key, bytes);
      const begun = new Map(memory.objects);

      const faults = await failEverywhere({
        begun,
        asynchronous: passphrase !== undefined,
        act: async (storage) => verify(reopened(repository, storage), dayMs),
        after: async (storage) => {
          const cluster = reopened(repository, storage);
          const again = await verify(cluster, dayMs);
          assert.deepEqual(harmedIn(again), [third]);
          assert.ok(again.packs.known <= 2);
          assert.deepEqual(harmedIn(await verify(cluster, dayMs)), [third], 'nor forgotten');
        },
      });
      assert.ok(faults > 50, `only ${faults} faults`);
    });
  }
});
