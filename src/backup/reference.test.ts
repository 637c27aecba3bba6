import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { backUpMadeUp, readBackup, sameFiles } from '../../test/support/made-up-backup.ts';
import { MadeUpCluster, madeUpPages } from '../../test/support/made-up-cluster.ts';
import { testRepository } from '../../test/support/test-repository.ts';

async function site(): Promise<{
  readonly memory: MemoryStorage;
  readonly repository: Awaited<ReturnType<typeof testRepository>>;
}> {
  const memory = new MemoryStorage();
  return { memory, repository: await testRepository({ storage: memory }) };
}

function cluster(): MadeUpCluster {
  const made = new MadeUpCluster();
  made.write('base/5/1259', madeUpPages(40));
  return made;
}

describe('the backup that another one builds on', () => {
  it('is claimed for as long as it is built on, and not longer', async () => {
    using made = cluster();
    const { memory, repository } = await site();
    const claims = (): string[] => [...memory.objects.keys()].filter((key) => key.includes('/claims/'));
    const full = await backUpMadeUp(made, repository.cluster('main'));
    let during: string[] = [];
    const record = await backUpMadeUp(made, repository.cluster('main'), {
      type: 'incremental',
      onProgress: () => (during = claims()),
    });
    assert.equal(record.reference, full.id);
    assert.equal(during.length, 1);
    assert.match(during[0] ?? '', new RegExp(record.id));
    assert.deepEqual(claims(), []);
  });

  it('is passed over where it is expired at that very moment: the one before serves, or none', async () => {
    using made = cluster();
    const { memory, repository } = await site();
    const first = await backUpMadeUp(made, repository.cluster('main'));
    const second = await backUpMadeUp(made, repository.cluster('main'), { type: 'incremental' });
    /** Expires a backup just after the claim on it was written. */
    const expire = (...ids: readonly string[]): void => {
      const left = [...ids];
      const put = MemoryStorage.prototype.put.bind(memory);
      memory.put = async (key, ...rest) => {
        await put(key, ...rest);
        const id = key.includes('/claims/') ? left.shift() : undefined;
        if (id !== undefined) await repository.cluster('main').deleteBackup(id);
      };
    };
    expire(second.id);
    const third = await backUpMadeUp(made, repository.cluster('main'), { type: 'incremental' });
    assert.deepEqual([third.type, third.reference], ['incremental', first.id]);
    sameFiles(
      await readBackup(repository.cluster('main'), third.id),
      await readBackup(repository.cluster('main'), first.id),
    );
    expire(third.id, first.id);
    const last = await backUpMadeUp(made, repository.cluster('main'), { type: 'incremental' });
    assert.deepEqual([last.type, last.reference, last.evidence], ['full', undefined, 'all']);
    assert.match(last.id, /-full$/);
    assert.match(last.fallback ?? '', /no backup of this incarnation/);
  });

  it('fails it where it is damaged, and what to do is said', async () => {
    using made = cluster();
    const { memory, repository } = await site();
    const full = await backUpMadeUp(made, repository.cluster('main'));
    for (const kind of ['manifest', 'packs']) {
      const [key, bytes] = [...memory.objects].find(([name]) => name.includes(kind)) ?? assert.fail(kind);
      memory.objects.set(
        key,
        bytes.map((byte, i) => (i >= 100 && i < bytes.length - 100 ? byte ^ 1 : byte)),
      );
      await assert.rejects(backUpMadeUp(made, repository.cluster('main'), { type: 'full' }), (error) => {
        assert.ok(hasCode(error, 'blob-damaged', 'object-damaged'), String(error));
        assert.match(error.message, new RegExp(`builds on ${full.id}`));
        assert.match(error.hint ?? '', /--independent/);
        return true;
      });
      memory.objects.set(key, bytes);
    }
    assert.equal((await repository.cluster('main').listBackups()).length, 1);
  });
});
