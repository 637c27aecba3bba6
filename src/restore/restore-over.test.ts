import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { backUpMadeUp, restoreMadeUp } from '../../test/support/made-up-backup.ts';
import { MadeUpCluster, madeUpPages } from '../../test/support/made-up-cluster.ts';
import { restoredTree, sameTrees, type RestoredPath } from '../../test/support/restored-tree.ts';
import { testRepository } from '../../test/support/test-repository.ts';
import { inspectDeltaTarget } from './delta-target.ts';
import type { Restoring } from './restore-items.ts';
import { compareDirectory, type RestoreOver, type RestoreReport } from './restore-over.ts';
import { restoreHere } from './restoring.ts';

interface Site {
  readonly made: MadeUpCluster;
  readonly cluster: ClusterRepository;
  readonly record: BackupRecord;
  /** Restored from the backup, then perhaps changed. */
  readonly directory: string;
  /** What a restore to an empty directory makes. */
  readonly expected: ReadonlyMap<string, RestoredPath>;
}

async function site(made: MadeUpCluster, passphrase?: string): Promise<Site> {
  const cluster = (await testRepository(passphrase === undefined ? {} : { passphrase })).cluster('main');
  const record = await backUpMadeUp(made, cluster);
  const directory = join(made.root, 'restored');
  await restoreMadeUp(made, cluster, record, directory);
  return { made, cluster, record, directory, expected: restoredTree(directory) };
}

const tablespacesOf = ({ record, directory }: Site): Map<number, string> =>
  new Map(record.tablespaces.map(({ oid }) => [oid, `${directory}-tablespace-${oid}`]));

const overOf = ({ directory, record }: Site): RestoreOver => ({
  ...inspectDeltaTarget(directory, record),
  superfluous: new Map(),
});

async function bring(at: Site, record = at.record): Promise<RestoreReport> {
  return restoreMadeUp(at.made, at.cluster, record, at.directory, { over: overOf(at) });
}

async function compare(at: Site): Promise<RestoreReport> {
  const restoring = restoreHere(at.cluster);
  try {
    return await compareDirectory({
      directory: at.directory,
      tablespaces: tablespacesOf(at),
      cluster: at.cluster,
      backup: at.record,
      over: overOf(at),
      restoring,
      owner: () => undefined,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
  } finally {
    await restoring.close();
  }
}

/** Restores so many files, then fails. */
function dyingAfter(cluster: ClusterRepository, files: number): Restoring {
  const inner = restoreHere(cluster);
  return {
    ...inner,
    restore: async (items) => {
      await inner.restore(items.slice(0, files));
      throw new Error('killed');
    },
  };
}

/** Copies that a restore in place makes of the configuration. */
const kept = (path: string): boolean => path.endsWith('.before-delta');

const pages = (count: number, seed = 1): Buffer => madeUpPages(count, { seed });

function withRelations(): MadeUpCluster {
  const made = new MadeUpCluster();
  made.write('base/5/1259', pages(40));
  made.write('base/5/1260', pages(3, 2));
  made.write('base/5/1261', '');
  made.write('pg_xact/0000', Buffer.alloc(8192 * 2 + 77, 0x55));
  made.addTablespace(16_400);
  return made;
}

describe('a restore over a directory with another state', () => {
  for (const passphrase of [undefined, 'correct horse battery staple']) {
    it(`writes what differs${passphrase === undefined ? '' : ', encrypted'}`, async () => {
      using made = withRelations();
      const at = await site(made, passphrase);
      const file = join(at.directory, 'base/5/1259');
      const content = readFileSync(file);
      for (const page of [0, 7, 8, 39]) content[page * 8192 + 100] = (content[page * 8192 + 100] ?? 0) ^ 1;
      writeFileSync(file, content);
      const planned = await compare(at);
      assert.deepEqual(readFileSync(file), content);
      const report = await bring(at);
      assert.equal(report.changedBytes, 4 * 8192);
      assert.deepEqual(report, planned);
      assert.equal(report.newFiles, 0);
      assert.equal(report.comparedBytes, at.record.sizeBytes);
      sameTrees(restoredTree(at.directory), at.expected, kept);
    });
  }

  const changes: readonly (readonly [string, (path: (name: string) => string) => void])[] = [
    ['files are missing', (path) => rmSync(path('base/5/1259'))],
    [
      'there are more files, and no database',
      (path) => {
        writeFileSync(path('base/5/9999'), pages(2));
        mkdirSync(path('base/7'));
        writeFileSync(path('base/7/1259'), pages(2));
      },
    ],
    ['a database is missing', (path) => rmSync(path('base/5'), { recursive: true })],
    ['a file has grown', (path) => appendFileSync(path('base/5/1260'), pages(9, 5))],
    ['a file has grown from nothing', (path) => appendFileSync(path('base/5/1261'), pages(2, 5))],
    ['a file was cut', (path) => truncateSync(path('base/5/1259'), 17 * 8192)],
    ['a file was cut within a block', (path) => truncateSync(path('base/5/1259'), 17 * 8192 + 500)],
    ['a file was emptied', (path) => truncateSync(path('base/5/1260'), 0)],
    ['a file’s end has no whole block', (path) => appendFileSync(path('pg_xact/0000'), 'more')],
    [
      'modes are others',
      (path) => {
        chmodSync(path('base/5/1259'), 0o400);
        chmodSync(path('base/5/1260'), 0o666);
        chmodSync(path('base/5'), 0o500);
        chmodSync(path('pg_xact'), 0o755);
      },
    ],
    [
      'a directory is a file, and a file a directory',
      (path) => {
        rmSync(path('pg_xact'), { recursive: true });
        writeFileSync(path('pg_xact'), 'x');
        rmSync(path('base/5/1259'));
        mkdirSync(path('base/5/1259/inside'), { recursive: true });
      },
    ],
    ['a tablespace has changed', (path) => appendFileSync(path('pg_tblspc/16400/PG_15_202209061/5/16500'), pages(1))],
    [
      'a tablespace is missing',
      (path) => {
        rmSync(readlinkSync(path('pg_tblspc/16400')), { recursive: true });
        rmSync(path('pg_tblspc/16400'));
      },
    ],
    [
      'a server was there',
      (path) => {
        for (const name of [
          'postmaster.opts',
          'pg_stat/pgstat.stat',
          'base/5/pg_internal.init',
          'pg_wal/000000010000000000000005',
        ]) {
          mkdirSync(dirname(path(name)), { recursive: true });
          writeFileSync(path(name), 'x');
        }
        rmSync(path('backup_label'));
        rmSync(path('recovery.signal'));
      },
    ],
  ];
  for (const [what, change] of changes) {
    it(`makes what a restore to an empty directory makes, where ${what}`, async () => {
      using made = withRelations();
      const at = await site(made);
      change((name) => join(at.directory, name));
      const planned = await compare(at);
      const report = await bring(at);
      assert.deepEqual(report, planned);
      sameTrees(restoredTree(at.directory), at.expected, kept);
    });
  }

  it('brings an earlier state to a later one, and back', async () => {
    using made = withRelations();
    const at = await site(made);
    const content = pages(44);
    pages(2, 9).copy(content, 5 * 8192);
    made.write('base/5/1259', content);
    made.write('base/5/2000', pages(1));
    rmSync(made.path('base/5/1260'));
    const later = await backUpMadeUp(made, at.cluster);
    const fresh = join(made.root, 'fresh');
    await restoreMadeUp(made, at.cluster, later, fresh);
    await bring(at, later);
    sameTrees(restoredTree(at.directory), restoredTree(fresh), kept);
    await bring(at);
    sameTrees(restoredTree(at.directory), at.expected, kept);
  });

  it('leaves other names of a file alone', async () => {
    using made = withRelations();
    const at = await site(made);
    const other = join(made.root, 'other-name');
    const changed = pages(40, 3);
    writeFileSync(join(at.directory, 'base/5/1259'), changed);
    linkSync(join(at.directory, 'base/5/1259'), other);
    const report = await bring(at);
    assert.deepEqual([report.newFiles, report.newBytes], [1, changed.length]);
    assert.deepEqual(readFileSync(other), changed);
    assert.equal(statSync(other).nlink, 1);
    sameTrees(restoredTree(at.directory), at.expected, kept);
  });

  it('keeps logs, and the configuration as it was', async () => {
    using made = withRelations();
    made.write('log/monday.log', 'at the time of the backup');
    const at = await site(made);
    appendFileSync(join(at.directory, 'log/monday.log'), ', the accident');
    writeFileSync(join(at.directory, 'log/tuesday.log'), 'the accident, continued');
    appendFileSync(join(at.directory, 'postgresql.conf'), 'work_mem = 1GB\n');
    await bring(at);
    const read = (name: string): string => readFileSync(join(at.directory, name), 'utf8');
    assert.equal(read('log/monday.log'), 'at the time of the backup, the accident');
    assert.equal(read('log/tuesday.log'), 'the accident, continued');
    assert.equal(read('postgresql.conf'), 'port = 5432\n');
    assert.equal(read('postgresql.conf.before-delta'), 'port = 5432\nwork_mem = 1GB\n');
    assert.doesNotMatch(read('backup_manifest'), /monday/);
  });

  it('begun again after it was interrupted, keeps the configuration of before', async () => {
    using made = withRelations();
    const at = await site(made);
    appendFileSync(join(at.directory, 'postgresql.conf'), 'work_mem = 1GB\n');
    const restoring = dyingAfter(at.cluster, 100);
    await assert.rejects(
      restoreMadeUp(made, at.cluster, at.record, at.directory, { over: overOf(at), restoring }),
      /killed/,
    );
    assert.equal(readFileSync(join(at.directory, 'postgresql.conf'), 'utf8'), 'port = 5432\n');
    assert.ok(!existsSync(join(at.directory, 'global/pg_control')));
    assert.equal(overOf(at).unfinished, true);
    await bring(at);
    assert.match(readFileSync(join(at.directory, 'postgresql.conf.before-delta'), 'utf8'), /work_mem/);
    sameTrees(restoredTree(at.directory), at.expected, kept);
  });

  it('goes on with a restore to an empty directory that was interrupted', async () => {
    using made = withRelations();
    const at = await site(made);
    rmSync(at.directory, { recursive: true });
    rmSync(`${at.directory}-tablespace-16400`, { recursive: true });
    const restoring = dyingAfter(at.cluster, 2);
    await assert.rejects(restoreMadeUp(made, at.cluster, at.record, at.directory, { restoring }), /killed/);
    const report = await bring(at);
    assert.ok(report.newFiles > 0 && report.comparedBytes > 0);
    sameTrees(restoredTree(at.directory), at.expected, kept);
  });

  it('makes what a restore to an empty directory makes, of whatever is there', async () => {
    const names = [
      'base/5/1259',
      'base/5/1260',
      'base/5/1261',
      'base/5/1',
      'pg_xact/0000',
      'pg_tblspc/16400/PG_15_202209061/5/16500',
    ];
    const content = fc.record({
      name: fc.constantFrom(...names),
      sizeBytes: fc.nat(45 * 8192),
      pages: fc.uniqueArray(fc.nat(44), { maxLength: 10 }),
    });
    using made = withRelations();
    const at = await site(made);
    await fc.assert(
      fc.asyncProperty(fc.array(content, { maxLength: 5 }), async (files) => {
        for (const { name, sizeBytes, pages: changed } of files) {
          const path = join(at.directory, name);
          const bytes = Buffer.concat([
            existsSync(path) ? readFileSync(path) : Buffer.alloc(0),
            Buffer.alloc(sizeBytes),
          ]);
          for (const page of changed) bytes.subarray(page * 8192 + 11, page * 8192 + 20).fill(page);
          writeFileSync(path, bytes.subarray(0, sizeBytes));
        }
        const planned = await compare(at);
        assert.deepEqual(await bring(at), planned);
        sameTrees(restoredTree(at.directory), at.expected, kept);
      }),
      { numRuns: 40 },
    );
  });
});
