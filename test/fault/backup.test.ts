import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { WalStore } from '../../src/archive/wal-store.ts';
import { pageBytes } from '../../src/postgres/page.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { copyOf, failEverywhere } from '../support/fault-loop.ts';
import { backUpMadeUp, readBackup, readTree, reopened, restoreMadeUp, sameFiles } from '../support/made-up-backup.ts';
import { MadeUpCluster, madeUpPages, madeUpSegment } from '../support/made-up-cluster.ts';
import { nameOf, sameBytes } from '../support/test-archive.ts';
import { countingBytes, testRepository } from '../support/test-repository.ts';
import { UnsettledStorage } from '../support/unsettled-storage.ts';

function cluster(): MadeUpCluster {
  const made = new MadeUpCluster();
  made.write('base/5/1259', madeUpPages(40));
  made.write('base/5/1260', madeUpPages(1, { seed: 2 }));
  made.write('base/5/1261', '');
  made.write('pg_xact/0000', Buffer.alloc(8192, 0x55));
  // More than one write of a pack, for they do not compress.
  made.write('incompressible', Buffer.from(countingBytes()(1_100_000)));
  made.addTablespace(16_400);
  return made;
}

describe('whatever goes wrong in the repository while a backup is taken', () => {
  for (const passphrase of [undefined, 'correct horse battery staple']) {
    it(`what is listed is whole, and the next try succeeds${passphrase === undefined ? '' : ', encrypted'}`, async () => {
      using made = cluster();
      const memory = new MemoryStorage();
      const repository = await testRepository({ storage: memory, ...(passphrase === undefined ? {} : { passphrase }) });
      const earlier = await backUpMadeUp(made, repository.cluster('main'));
      const expected = await readBackup(repository.cluster('main'), earlier.id);

      // WAL that nobody has archived: the backup brings it itself.
      const begun = new Map([...memory.objects].filter(([key]) => !/\/wal(-index)?\//.test(key)));
      const faults = await failEverywhere({
        begun,
        asynchronous: passphrase !== undefined,
        act: async (storage) => backUpMadeUp(made, reopened(repository, storage)),
        after: async (storage, { fault, error }) => {
          const after = reopened(repository, storage);
          const before = await after.listBackups();
          assert.ok(
            before.some(({ id }) => id === earlier.id),
            'the backup of before is gone',
          );
          // A crash in the last operation of all can leave a backup that nobody was told of.
          assert.ok(
            before.length === (error && !(fault.mode === 'crash' && fault.effect === 'done') ? 1 : before.length),
          );
          for (const { id } of before) sameFiles(await readBackup(after, id), expected);

          const again = await backUpMadeUp(made, after);
          const listed = await after.listBackups();
          assert.equal(listed.length, before.length + 1);
          assert.equal(listed.at(-1)?.id, again.id);
          sameFiles(await readBackup(after, again.id), expected);
        },
      });
      assert.ok(faults > 100, `only ${faults} faults`);
    });
  }

  it('a failure, as of a full disk, takes back what it had written', async () => {
    using made = cluster();
    const memory = new MemoryStorage();
    const repository = await testRepository({ storage: memory });
    const begun = new Map(memory.objects);
    await failEverywhere({
      begun,
      act: async (storage) => backUpMadeUp(made, reopened(repository, storage)),
      after: async (storage, { fault, error }) => {
        if (!error || fault.mode !== 'error') return;
        // WAL that was stored is right, whatever became of the backup.
        const left = [...storage.objects.keys()].filter((key) => !begun.has(key) && !/\/wal(-index)?\//.test(key));
        if (fault.effect === 'none') assert.deepEqual(left, []);
      },
    });
  });
});

describe('whatever goes wrong in the repository while a backup builds on another', () => {
  for (const passphrase of [undefined, 'correct horse battery staple']) {
    it(`both are whole or absent, and the next try succeeds${passphrase === undefined ? '' : ', encrypted'}`, async () => {
      using made = cluster();
      const memory = new MemoryStorage();
      const repository = await testRepository({ storage: memory, ...(passphrase === undefined ? {} : { passphrase }) });
      const main = repository.cluster('main');
      const earlier = await backUpMadeUp(made, main);
      const before = await readBackup(main, earlier.id);
      made.write('base/5/1259', changed(madeUpPages(45), 3, 17));
      made.write('base/5/1262', madeUpPages(2, { seed: 5 }));
      const aside = await backUpMadeUp(made, main, { type: 'full', independent: true });
      const expected = await readBackup(main, aside.id);
      await main.deleteBackup(aside.id);

      const faults = await failEverywhere({
        begun: new Map(memory.objects),
        asynchronous: passphrase !== undefined,
        act: async (storage) => backUpMadeUp(made, reopened(repository, storage), { type: 'incremental' }),
        after: async (storage) => {
          const after = reopened(repository, storage);
          for (const { id } of await after.listBackups()) {
            sameFiles(await readBackup(after, id), id === earlier.id ? before : expected);
          }
          const again = await backUpMadeUp(made, after, { type: 'incremental' });
          assert.equal(again.type, 'incremental');
          sameFiles(await readBackup(after, again.id), expected);
          sameFiles(await readBackup(after, earlier.id), before);
        },
      });
      assert.ok(faults > 100, `only ${faults} faults`);
    });
  }
});

/** Other pages in the place of some. */
function changed(pages: Buffer, ...blocks: readonly number[]): Buffer {
  for (const block of blocks) madeUpPages(1, { first: block, seed: 9 }).copy(pages, block * pageBytes);
  return pages;
}

describe('a power cut after a backup, whose WAL was brought by an archiver that died before it was durable', () => {
  it('leaves no backup listed that lacks WAL, whatever went wrong before', async () => {
    using made = cluster();
    const memory = new MemoryStorage();
    const repository = await testRepository({ storage: memory });
    const without = new Set(memory.objects.keys());
    const segment = madeUpSegment();
    await new WalStore(repository.cluster('main'), made.incarnation).putSegment(nameOf(2), segment);
    const brought = [...memory.objects.keys()].filter((key) => !without.has(key) && key.includes('/wal/'));
    assert.equal(brought.length, 1);

    let unsettled: UnsettledStorage;
    await failEverywhere({
      begun: new Map(memory.objects),
      act: async (storage) => {
        unsettled = new UnsettledStorage(storage, brought);
        await backUpMadeUp(made, reopened(repository, unsettled));
      },
      after: async (storage, { error }) => {
        for (const key of unsettled.lost()) storage.objects.delete(key);
        const after = reopened(repository, storage);
        const [listed] = await after.listBackups();
        assert.ok(listed ?? error, 'a backup that succeeded is gone');
        if (listed) sameBytes(await new WalStore(after, made.incarnation).getSegment(nameOf(2)), segment);
      },
    });
  });
});

describe('whatever goes wrong in the repository while a backup is restored', () => {
  it('there is no pg_control, so that PostgreSQL cannot start, and the next try succeeds', async () => {
    using made = cluster();
    const memory = new MemoryStorage();
    const repository = await testRepository({ storage: memory, passphrase: 'correct horse battery staple' });
    const record = await backUpMadeUp(made, repository.cluster('main'));
    const begun = new Map(memory.objects);
    const expected = await restoredTree(made, 'expected', begun);
    assert.deepEqual(expected.get('base/5/1259'), madeUpPages(40));

    let target = 0;
    await failEverywhere({
      begun,
      act: async (storage) => {
        target += 1;
        await restoreMadeUp(made, reopened(repository, storage), record, join(made.root, `restored-${target}`));
      },
      after: async (_storage, { error }) => {
        assert.ok(error, 'every operation of a restore matters');
        const left = readTree(join(made.root, `restored-${target}`));
        assert.ok(!left.has('global/pg_control'));
      },
    });
    sameFiles(await restoredTree(made, 'again', begun), expected);

    async function restoredTree(
      of: MadeUpCluster,
      name: string,
      objects: ReadonlyMap<string, Uint8Array>,
    ): Promise<Map<string, Buffer>> {
      const directory = join(of.root, name);
      await restoreMadeUp(of, reopened(repository, copyOf(objects)), record, directory);
      return readTree(directory);
    }
  });
});
