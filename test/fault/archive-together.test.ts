import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WalStore } from '../../src/archive/wal-store.ts';
import { readWalCatalogue } from '../../src/archive/wal-catalogue.ts';
import { hasCode } from '../../src/errors/pgrecall-error.ts';
import { openWithAccess } from '../../src/repository/repository.ts';
import type { Storage, StorageEntry } from '../../src/storage/storage.ts';
import { mebibyte, nameOf, sameBytes, testArchive, walSegment, type TestArchive } from '../support/test-archive.ts';

/* Two that archive into one repository at once: a primary and a standby, or two servers under one name by mistake. */

/** A storage that lets a test do something between what another one lists and what it does next. */
class PausedStorage implements Storage {
  readonly description: string;
  readonly #inner: Storage;
  readonly #afterList: (count: number) => Promise<void>;
  #lists = 0;

  constructor(inner: Storage, afterList: (count: number) => Promise<void>) {
    this.#inner = inner;
    this.#afterList = afterList;
    this.description = inner.description;
  }

  async *list(prefix: string): AsyncIterable<StorageEntry> {
    const entries: StorageEntry[] = [];
    for await (const entry of this.#inner.list(prefix)) entries.push(entry);
    this.#lists += 1;
    await this.#afterList(this.#lists);
    yield* entries;
  }

  create: Storage['create'] = async (...given) => this.#inner.create(...given);
  put: Storage['put'] = async (...given) => this.#inner.put(...given);
  get: Storage['get'] = async (...given) => this.#inner.get(...given);
  open: Storage['open'] = async (...given) => this.#inner.open(...given);
  stat: Storage['stat'] = async (...given) => this.#inner.stat(...given);
  settle: Storage['settle'] = async (...given) => this.#inner.settle(...given);
  delete: Storage['delete'] = async (...given) => this.#inner.delete(...given);
}

function storeOver({ repository, store }: TestArchive, storage: Storage): WalStore {
  const access = repository.access({ kind: 'local', directory: '/nowhere' });
  return new WalStore(openWithAccess(access, storage).cluster('main'), store.incarnation);
}

/** Resolves for all when so many have come. */
function meeting(count: number): () => Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let here = 0;
  return async () => {
    here += 1;
    if (here === count) resolve();
    return promise;
  };
}

/** Two stores that each have seen what was there before either of them has stored anything. */
function together(archive: TestArchive): [WalStore, WalStore] {
  const meet = meeting(2);
  const paused = (): Storage => new PausedStorage(archive.storage, async (count) => (count === 1 ? meet() : undefined));
  return [storeOver(archive, paused()), storeOver(archive, paused())];
}

const [first, second] = [walSegment(5, { seed: 1 }), walSegment(5, { seed: 2 })];

describe('two that archive at once', () => {
  it('may store the same segment, each as if it were alone', async () => {
    const archive = await testArchive();
    const stored = await Promise.all(together(archive).map(async (store) => store.putSegment(nameOf(5), first)));
    assert.deepEqual(stored, ['stored', 'stored']);
    assert.equal([...archive.objects.keys()].filter((key) => key.includes('/wal/')).length, 1);
    sameBytes(await archive.store.getSegment(nameOf(5)), first);
  });

  it('are both refused where their contents differ, and neither content is given for the right one', async () => {
    const archive = await testArchive();
    const [one, other] = together(archive);
    const results = await Promise.allSettled([one.putSegment(nameOf(5), first), other.putSegment(nameOf(5), second)]);
    for (const result of results) {
      assert.ok(result.status === 'rejected' && hasCode(result.reason, 'wal-other-content'), result.status);
      assert.equal((result.reason.details['kept'] as string[]).length, 2);
    }
    await assert.rejects(archive.store.getSegment(nameOf(5)), { code: 'wal-other-content' });
    await assert.rejects(archive.store.putSegment(nameOf(5), first), { code: 'wal-other-content' });
    // All else goes on.
    assert.equal(await archive.store.putSegment(nameOf(6), walSegment(6)), 'stored');
    assert.equal((await readWalCatalogue(archive.store)).ranges[0]?.startLsn, BigInt(6 * mebibyte));
  });

  it('does not let one overwrite or hide what the other was told is safe', async () => {
    const archive = await testArchive();
    const late = new PausedStorage(archive.storage, async (count) => {
      if (count === 1) await archive.store.putSegment(nameOf(5), first);
    });
    await assert.rejects(storeOver(archive, late).putSegment(nameOf(5), second), { code: 'wal-other-content' });
    const kept = [...archive.objects.keys()].filter((key) => key.includes('/wal/'));
    assert.equal(kept.length, 2, 'both are kept: which one is right is for an administrator to say');
  });

  it('grow the beginning of a segment, and keep the longer one', async () => {
    const archive = await testArchive();
    const whole = walSegment(5);
    const [one, other] = together(archive);
    await Promise.all([
      one.putPartial(nameOf(5), whole.subarray(0, 16_384)),
      other.putPartial(nameOf(5), whole.subarray(0, 81_920)),
    ]);
    const found = await archive.store.getPartial(nameOf(5));
    sameBytes(found?.subarray(0, 81_920), whole.subarray(0, 81_920));
  });

  it('store a history of one timeline once, and refuse another one', async () => {
    const archive = await testArchive();
    const history = (lsn: string): Buffer => Buffer.from(`1\t${lsn}\tno recovery target specified\n`);
    const put = async (text: Buffer): Promise<string> => archive.store.putHistory('00000002.history', text);
    const same = await Promise.all([put(history('0/500100')), put(history('0/500100'))]);
    assert.deepEqual(same.toSorted(), ['already-there', 'stored']);
    await assert.rejects(put(history('0/600100')), { code: 'wal-other-content' });
  });
});
