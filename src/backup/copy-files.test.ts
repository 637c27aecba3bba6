import assert from 'node:assert/strict';
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode, PgrecallError } from '../errors/pgrecall-error.ts';
import { createPageKernel, type PageKernel } from '../postgres/page-kernel.ts';
import { pageBytes } from '../postgres/page.ts';
import { entryFlags } from '../repository/manifest.ts';
import { backUpMadeUp, readBackup } from '../../test/support/made-up-backup.ts';
import { MadeUpCluster, madeUpControl, madeUpPages, startLsn } from '../../test/support/made-up-cluster.ts';
import { collect, testRepository } from '../../test/support/test-repository.ts';
import { copyHere } from './copying.ts';
import type { Copying } from './copy-items.ts';
import { divide, largestFirst, usualPieceBytes, windowsOf, type Pending, type Piece } from './copy-order.ts';
import type { WalkedEntry } from './data-directory-walk.ts';
import { kernelBytes } from './piece-copier.ts';
import { walkBeside, type BesideEntry } from './walk-beside.ts';
import type { BackupRecord } from '../repository/backup-record.ts';

const mebibyte = 1_048_576;

interface BackedUp {
  readonly record: BackupRecord;
  readonly files: ReadonlyMap<string, Buffer | string>;
  readonly flags: ReadonlyMap<string, number>;
}

/** Backs up; `meanwhile` happens before each batch is copied, with its number. */
async function backUp(
  made: MadeUpCluster,
  options: {
    readonly meanwhile?: (batch: number) => void | Promise<void>;
    readonly kernel?: (inner: PageKernel) => PageKernel;
    readonly parallel?: number;
  } = {},
): Promise<BackedUp> {
  const cluster = (await testRepository()).cluster('main');
  let batches = 0;
  const copying = (lsn: typeof startLsn): Copying => {
    const usual = createPageKernel(kernelBytes, cluster.repository.sumKey());
    const inner = copyHere(cluster, lsn, options.kernel?.(usual) ?? usual);
    let last: Promise<unknown> = Promise.resolve();
    return {
      ...inner,
      parallel: options.parallel ?? 1,
      copy: async (items) => {
        batches += 1;
        await options.meanwhile?.(batches);
        // One thread does one thing after the other.
        const result = last.then(async () => inner.copy(items));
        last = result.catch(() => undefined);
        return result;
      },
    };
  };
  const record = await backUpMadeUp(made, cluster, { copying });
  const flags = new Map<string, number>();
  await using manifest = await cluster.openManifest(record.id);
  for await (const entry of manifest.entries()) flags.set(entry.path, entry.flags);
  return { record, files: await readBackup(cluster, record.id), flags };
}

describe('files that change while they are copied', () => {
  it('one that vanished is not in the backup', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/1259', madeUpPages(2));
    made.write('base/5/1260', madeUpPages(2));
    const { files, record } = await backUp(made, { meanwhile: () => rmSync(made.path('base/5/1259')) });
    assert.ok(!files.has('base/5/1259'));
    assert.deepEqual(files.get('base/5/1260'), madeUpPages(2));
    assert.equal(record.files, [...files.values()].filter((content) => Buffer.isBuffer(content)).length - 1);
  });

  it('a relation that grew is copied as far as it went; WAL has the rest', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/1259', madeUpPages(2));
    const { files } = await backUp(made, { meanwhile: () => made.write('base/5/1259', madeUpPages(5)) });
    assert.deepEqual(files.get('base/5/1259'), madeUpPages(2));
  });

  it('a relation that shrank is copied as far as it goes', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/1259', madeUpPages(40));
    const { files, record } = await backUp(made, {
      meanwhile: () => truncateSync(made.path('base/5/1259'), 3 * pageBytes),
    });
    assert.deepEqual(files.get('base/5/1259'), madeUpPages(3));
    assert.deepEqual(record.badPages, []);
  });

  it('a configuration file that was replaced is copied whole', async () => {
    using made = new MadeUpCluster();
    const longer = '# ALTER SYSTEM\n'.repeat(40_000);
    made.write('empty', '');
    const { files } = await backUp(made, {
      meanwhile: () => {
        made.write('postgresql.auto.conf', longer);
        made.write('empty', 'no longer');
      },
    });
    assert.equal(String(files.get('postgresql.auto.conf')), longer);
    assert.equal(String(files.get('empty')), 'no longer');
  });

  it('a large relation that shrank between its pieces ends there, even if it grew again', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/16384', '');
    truncateSync(made.path('base/5/16384'), 200 * mebibyte);
    const { files } = await backUp(made, {
      meanwhile: (batch) => truncateSync(made.path('base/5/16384'), (batch === 2 ? 100 : 300) * mebibyte),
    });
    assert.equal(files.get('base/5/16384')?.length, 100 * mebibyte);
  });

  it('a large relation that vanished between its pieces is not in the backup', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/16384', '');
    truncateSync(made.path('base/5/16384'), 100 * mebibyte);
    const { files } = await backUp(made, {
      meanwhile: (batch) => {
        if (batch === 2) rmSync(made.path('base/5/16384'));
      },
    });
    assert.ok(!files.has('base/5/16384'));
  });
});

describe('page checksums', () => {
  const damaged = (pages: Buffer, ...blocks: readonly number[]): Buffer => {
    const bytes = Buffer.from(pages);
    for (const block of blocks) bytes[block * pageBytes + 100] = (bytes[block * pageBytes + 100] ?? 0) ^ 1;
    return bytes;
  };

  it('that are wrong are reported by file and block, and the file is marked; the bytes are kept', async () => {
    using made = new MadeUpCluster();
    const bad = damaged(madeUpPages(70), 3, 40, 69);
    made.write('base/5/1259', bad);
    made.write('base/5/1260', madeUpPages(1));
    const { record, files, flags } = await backUp(made);
    assert.deepEqual(record.badPages, [{ path: 'base/5/1259', blocks: [3, 40, 69] }]);
    assert.deepEqual(files.get('base/5/1259'), bad);
    assert.equal(flags.get('base/5/1259'), entryFlags.badPageChecksums);
    assert.equal(flags.get('base/5/1260'), 0);
  });

  it('count blocks from the beginning of the relation, not of its segment', async () => {
    using made = new MadeUpCluster();
    const control = madeUpControl({ relationSegmentBlocks: 16 });
    made.write('global/pg_control', control);
    made.write('base/5/1259', madeUpPages(16));
    made.write('base/5/1259.1', damaged(madeUpPages(4, { first: 16 }), 2));
    const { record } = await backUp(made);
    assert.deepEqual(record.badPages, [{ path: 'base/5/1259.1', blocks: [18] }]);
  });

  it('of pages written since the backup began say nothing: WAL replaces them', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/1259', damaged(madeUpPages(2, { pageLsn: startLsn }), 0, 1));
    assert.deepEqual((await backUp(made)).record.badPages, []);
  });

  it('are not looked at where the cluster has none, in new pages, and in what is no relation', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/1259', Buffer.alloc(2 * pageBytes));
    made.write('pg_xact/0000', damaged(madeUpPages(2), 0));
    assert.deepEqual((await backUp(made)).record.badPages, []);
    made.write('base/5/1259', damaged(madeUpPages(2), 0));
    made.write('global/pg_control', madeUpControl({ dataChecksums: false }));
    assert.deepEqual((await backUp(made)).record.badPages, []);
  });

  it('of a page read half written are right when it is read again, and that is what is kept', async () => {
    using made = new MadeUpCluster();
    const good = madeUpPages(8);
    made.write('base/5/1259', damaged(good, 5));
    const kernel = (inner: PageKernel): PageKernel => ({
      ...inner,
      verifyPages: (...args) => {
        const bad = inner.verifyPages(...args);
        // The server finishes its write just after the first read.
        if (bad.length > 0) writeFileSync(made.path('base/5/1259'), good);
        return bad;
      },
    });
    const { record, files } = await backUp(made, { kernel });
    assert.deepEqual(record.badPages, []);
    assert.deepEqual(files.get('base/5/1259'), good);
  });

  it('of a page that was cut off after the first read say nothing', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/1259', damaged(madeUpPages(8), 5));
    const kernel = (inner: PageKernel): PageKernel => ({
      ...inner,
      verifyPages: (...args) => {
        truncateSync(made.path('base/5/1259'), 2 * pageBytes);
        return inner.verifyPages(...args);
      },
    });
    assert.deepEqual((await backUp(made, { kernel })).record.badPages, []);
  });
});

describe('the order of copying', () => {
  const entryOf = (path: string, sizeBytes: number): WalkedEntry => ({
    kind: 'file',
    path,
    absolutePath: `/data/${path}`,
    sizeBytes,
    modifiedMs: 0,
    mode: 0o600,
    uid: 0,
    gid: 0,
  });
  const rules = { dataChecksums: true, relationSegmentBlocks: 131_072, pieceBytes: usualPieceBytes };
  const pendingOf = (entry: WalkedEntry): Pending => ({
    entry,
    before: undefined,
    look: { kind: 'everything' },
    pieces: undefined,
  });
  const windowsOver = async (entries: readonly WalkedEntry[]): Promise<BesideEntry[][]> =>
    collect(windowsOf(walkBeside(entries, undefined)));
  const itemsOf = (pieces: readonly Piece[]) =>
    pieces.map(({ item }) => item ?? assert.fail('a piece that is not sent'));

  it('is large files first, the small ones as they lie', () => {
    const sizes = [3, 90, 2, 80, 1, 90].map((size) => (size > 10 ? size * mebibyte : size));
    const pending = sizes.map((size, i) => pendingOf(entryOf(`base/5/${16_384 + i}`, size)));
    assert.deepEqual(
      largestFirst(pending).map(({ entry }) => entry.path.slice(-1)),
      ['5', '9', '7', '4', '6', '8'],
    );
  });

  it('holds for a window at a time, so that memory is bounded', async () => {
    const windows = await windowsOver(Array.from({ length: 80_000 }, (_, i) => entryOf(`f${i}`, 1)));
    assert.deepEqual(
      windows.map((window) => window.length),
      [32_768, 32_768, 14_464],
    );
    const much = 2 ** 37;
    const large = await windowsOver([entryOf('a', much), entryOf('b', 1), entryOf('c', much)]);
    assert.deepEqual(
      large.map((window) => window.map(({ entry }) => entry.path)),
      [['a'], ['b', 'c'], []],
    );
  });

  it('divides large files, with the block that each piece begins at', async () => {
    const items = itemsOf(await divide(pendingOf(entryOf('base/5/16384.2', 130 * mebibyte)), rules));
    assert.deepEqual(
      items.map((item) => [item.offset / mebibyte, item.lengthBytes / mebibyte, item.firstBlock, item.toEnd]),
      [
        [0, 64, 262_144, false],
        [64, 64, 270_336, false],
        [128, 2, 278_528, false],
      ],
    );
    const log = itemsOf(await divide(pendingOf(entryOf('log/server.log', 70 * mebibyte)), rules));
    assert.deepEqual(
      log.map((item) => [item.toEnd, item.firstBlock]),
      [
        [false, undefined],
        [true, undefined],
      ],
    );
  });

  it('is not that of the manifest, whichever batch is done first', async () => {
    using made = new MadeUpCluster();
    for (let i = 0; i < 600; i += 1) made.write(`base/5/${20_000 + i}`, madeUpPages(1, { seed: i }));
    made.write('base/5/19999', '');
    truncateSync(made.path('base/5/19999'), 130 * mebibyte);
    const { files } = await backUp(made, {
      parallel: 4,
      meanwhile: async (batch) => sleep(batch % 2 === 1 ? 30 : 1),
    });
    assert.equal(files.size > 600, true);
    assert.deepEqual(files.get('base/5/20599'), madeUpPages(1, { seed: 599 }));
    assert.equal(files.get('base/5/19999')?.length, 130 * mebibyte);
  });

  it('is given up where a batch fails, and nothing goes on behind its back', async () => {
    using made = new MadeUpCluster();
    for (let i = 0; i < 600; i += 1) made.write(`base/5/${20_000 + i}`, madeUpPages(1));
    let underWay = 0;
    let failed = false;
    const failure = new PgrecallError('io', 'a batch that fails');
    await assert.rejects(
      backUp(made, {
        parallel: 4,
        meanwhile: async (batch) => {
          underWay += 1;
          await sleep(batch === 1 ? 1 : 20);
          underWay -= 1;
          failed ||= batch === 1;
          if (batch === 1) throw failure;
        },
      }),
      (error) => error === failure,
    );
    assert.equal(failed, true);
    assert.equal(underWay, 0);
  });

  it('is given up where a file cannot be read', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/1259', madeUpPages(1));
    const meanwhile = (): void => {
      rmSync(made.path('base/5/1259'));
      made.write('base/5/1259/a-directory-now', '');
    };
    await assert.rejects(backUp(made, { meanwhile }), (error) => hasCode(error, 'data-directory'));
  });
});
