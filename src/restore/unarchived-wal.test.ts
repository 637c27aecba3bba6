import assert from 'node:assert/strict';
import { mkdirSync, mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { mebibyte, nameOf, testArchive, walSegment, type TestArchive } from '../../test/support/test-archive.ts';
import { findUnarchivedWal, refuseUnarchived, type UnarchivedSegment } from './unarchived-wal.ts';

/** pg_wal of a directory, and an archive that has some of it. */
class Site implements Disposable {
  readonly #directory = mkdtempDisposableSync(join(tmpdir(), 'pgr-unarchived-'));
  readonly archive: TestArchive;

  constructor(archive: TestArchive) {
    this.archive = archive;
    mkdirSync(join(this.#directory.path, 'pg_wal', 'archive_status'), { recursive: true });
  }

  put(name: string, bytes: Uint8Array | string): void {
    writeFileSync(join(this.#directory.path, 'pg_wal', name), bytes);
  }

  async find(): Promise<UnarchivedSegment[]> {
    return findUnarchivedWal(this.#directory.path, this.archive.store);
  }

  async names(): Promise<string[]> {
    return (await this.find()).map(({ name }) => name);
  }

  [Symbol.dispose](): void {
    this.#directory.remove();
  }
}

async function site(): Promise<Site> {
  return new Site(await testArchive());
}

const filled = (number: number): Buffer => walSegment(number, { commits: [10n, 20n] });
/** That a crashed server was filling. */
const begun = (number: number): Buffer => walSegment(number, { commits: [10n, 20n], usedBytes: 65_536 });

describe('WAL that would be gone with a directory', () => {
  it('is what the repository does not have', async () => {
    using there = await site();
    for (const number of [1, 2, 3]) there.put(nameOf(number), filled(number));
    await there.archive.store.putSegment(nameOf(1), filled(1));
    await there.archive.store.putSegment(nameOf(2), walSegment(2, { commits: [10n, 20n], seed: 1 }));
    const found = await there.find();
    assert.deepEqual(
      found.map(({ name, transactions, lastTime }) => [name, transactions, lastTime]),
      [
        [nameOf(2), 2, 20n],
        [nameOf(3), 2, 20n],
      ],
    );
    assert.throws(
      () => refuseUnarchived('/data', found),
      (error) =>
        hasCode(error, 'wal-not-archived') &&
        /00002 \(2 transactions, the last at 2000-01-01.*, 0+1/.test(error.message),
    );
    refuseUnarchived('/data', []);
  });

  it('is not what an archive_command has brought elsewhere', async () => {
    using there = await site();
    there.put(nameOf(1), filled(1));
    there.put(`archive_status/${nameOf(1)}.done`, '');
    there.put(nameOf(2), filled(2));
    there.put(`archive_status/${nameOf(2)}.ready`, '');
    assert.deepEqual(await there.names(), [nameOf(2)]);
  });

  it('is the beginning of a segment, unless as much of it was stored', async () => {
    using there = await site();
    for (const number of [1, 2, 3]) there.put(nameOf(number), begun(number));
    there.put(`${nameOf(4)}.partial`, begun(4));
    await there.archive.store.putPartial(nameOf(1), begun(1));
    await there.archive.store.putPartial(nameOf(2), begun(2).subarray(0, 32_768));
    assert.deepEqual(await there.names(), [nameOf(2), nameOf(3), `${nameOf(4)}.partial`]);
  });

  it('is known behind what a file held before that was taken again', async () => {
    using there = await site();
    const reused = filled(9);
    begun(5).copy(reused, 0, 0, 65_536);
    there.put(nameOf(5), reused);
    assert.deepEqual(await there.names(), [nameOf(5)]);
    await there.archive.store.putPartial(nameOf(5), begun(5));
    assert.deepEqual(await there.names(), []);
  });

  it('is nothing where no transaction ended, nor in files that wait for their turn', async () => {
    using there = await site();
    there.put(nameOf(1), walSegment(1, { usedBytes: 8192 }));
    there.put(nameOf(7), filled(3));
    there.put(nameOf(8), Buffer.alloc(mebibyte));
    there.put('00000002.history', '1\t0/100000\tno recovery target specified\n');
    there.put('xlogtemp.123', filled(2));
    assert.deepEqual(await there.names(), []);
  });

  it('is a restore point, and what cannot be read', async () => {
    using there = await site();
    there.put(nameOf(1), walSegment(1, { restorePoint: 'before' }));
    const damaged = filled(2);
    damaged.fill(0xff, 200, 300);
    there.put(nameOf(2), damaged);
    assert.deepEqual(await there.names(), [nameOf(1), nameOf(2)]);
  });

  it('is nothing where there is no pg_wal', async () => {
    const { store } = await testArchive();
    assert.deepEqual(await findUnarchivedWal('/nowhere', store), []);
  });
});
