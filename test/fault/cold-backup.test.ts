import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WalStore } from '../../src/archive/wal-store.ts';
import { parseLsn } from '../../src/postgres/lsn.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { failEverywhere } from '../support/fault-loop.ts';
import { readBackup, reopened, sameFiles } from '../support/made-up-backup.ts';
import { MadeUpCluster, madeUpPages } from '../support/made-up-cluster.ts';
import { backUpMadeUpCold, shutDown } from '../support/made-up-cold.ts';
import { mebibyte, nameOf } from '../support/test-archive.ts';
import { countingBytes, testRepository } from '../support/test-repository.ts';

function cluster(): MadeUpCluster {
  const made = new MadeUpCluster();
  made.write('base/5/1259', madeUpPages(40));
  made.write('base/5/1261', '');
  made.write('incompressible', Buffer.from(countingBytes()(1_100_000)));
  made.addTablespace(16_400);
  return made;
}

for (const state of ['shut down', 'in production'] as const) {
  describe(`whatever goes wrong in the repository while a cluster is backed up cold that is ${state}`, () => {
    it('what is listed is whole, with its WAL, and the next try succeeds', async () => {
      using made = cluster();
      shutDown(made, state);
      const memory = new MemoryStorage();
      const repository = await testRepository({ storage: memory });
      const earlier = await backUpMadeUpCold(made, repository.cluster('main'));
      assert.equal(earlier.warnings.length, state === 'shut down' ? 0 : 1);
      const expected = await readBackup(repository.cluster('main'), earlier.id);
      assert.ok(expected.has('global/pg_control'));

      const begun = new Map([...memory.objects].filter(([key]) => !/\/wal(-index)?\//.test(key)));
      const faults = await failEverywhere({
        begun,
        act: async (storage) => backUpMadeUpCold(made, reopened(repository, storage)),
        after: async (storage, { fault, error }) => {
          const after = reopened(repository, storage);
          const before = await after.listBackups();
          assert.ok(
            before.length === (error && !(fault.mode === 'crash' && fault.effect === 'done') ? 1 : before.length),
          );
          for (const { id } of before) sameFiles(await readBackup(after, id), expected);
          // That of the earlier one was taken away to begin with.
          if (before.length > 1) {
            const beginning = await new WalStore(after, made.incarnation).getPartial(nameOf(2));
            const used = Number(parseLsn(earlier.endLsn)) - 2 * mebibyte;
            assert.ok(beginning, 'its WAL is missing');
            assert.ok(beginning.subarray(0, used).some((byte) => byte !== 0));
            assert.ok(
              beginning.subarray(used).every((byte) => byte === 0),
              'what lies behind its end is no WAL',
            );
          }
          const again = await backUpMadeUpCold(made, after);
          assert.equal((await after.listBackups()).length, before.length + 1);
          sameFiles(await readBackup(after, again.id), expected);
        },
      });
      assert.ok(faults > 80, `only ${faults} faults`);
    });
  });
}
