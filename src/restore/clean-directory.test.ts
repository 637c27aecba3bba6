import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { backUpMadeUp, readTree } from '../../test/support/made-up-backup.ts';
import { MadeUpCluster, versionDirectory } from '../../test/support/made-up-cluster.ts';
import { testRepository } from '../../test/support/test-repository.ts';
import { cleanDirectory, type CleanOptions, type Cleaned } from './clean-directory.ts';

interface Site {
  readonly made: MadeUpCluster;
  readonly cluster: ClusterRepository;
  readonly record: BackupRecord;
  readonly directory: string;
}

/** A backup of a made-up cluster, and a copy of its directory that is changed. */
async function site(
  made: MadeUpCluster,
  change: (put: (path: string, text?: string) => void) => void = () => undefined,
): Promise<Site> {
  const cluster = (await testRepository()).cluster('main');
  const record = await backUpMadeUp(made, cluster);
  const directory = join(made.root, 'present');
  cpSync(made.dataDirectory, directory, { recursive: true, verbatimSymlinks: true });
  change((path, text = 'superfluous') => {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  });
  return { made, cluster, record, directory };
}

async function clean({ cluster, record, directory }: Site, changes: Partial<CleanOptions> = {}): Promise<Cleaned> {
  await using manifest = await cluster.openManifest(record.id);
  return await cleanDirectory({
    directory,
    manifest,
    tablespaces: new Map(record.tablespaces.map(({ oid, path }) => [oid, path])),
    superfluous: new Map(),
    versionDirectory,
    only: false,
    signal: new AbortController().signal,
    ...changes,
  });
}

describe('before a directory is restored in place', () => {
  it('what the backup does not have is removed, and nothing else', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/1259', 'relation');
    const there = await site(made, (put) => {
      for (const path of [
        'base/5/1260',
        'base/5/pg_internal.init',
        'base/6/1259',
        'pg_replslot/s/state',
        'z',
        'postmaster.pid',
      ])
        put(path);
      put('global/1262');
    });
    const expected = new Set(readTree(made.dataDirectory).keys());
    // WAL comes from the archive.
    for (const path of [...expected]) if (path.startsWith('pg_wal/')) expected.delete(path);
    const cleaned = await clean(there);
    assert.deepEqual(new Set(readTree(there.directory).keys()), expected);
    assert.ok(!existsSync(join(there.directory, 'base/6')) && !existsSync(join(there.directory, 'pg_replslot/s')));
    // The segment of pg_wal, besides those above.
    assert.equal(cleaned.removedFiles, 7 + 1);
    assert.equal(cleaned.removedBytes, 7 * 'superfluous'.length + 1_048_576);
  });

  it('what would be removed can be counted without doing so', async () => {
    using made = new MadeUpCluster();
    const there = await site(made, (put) => put('base/6/1259'));
    const before = readTree(there.directory);
    const counted = await clean(there, { only: true });
    assert.deepEqual(readTree(there.directory), before);
    assert.deepEqual(await clean(there), counted);
  });

  it('logs, kept configuration and lost+found stay', async () => {
    using made = new MadeUpCluster();
    made.write('log/monday.log', 'as it was');
    const there = await site(made, (put) => {
      put('log/tuesday.log');
      put('log/monday.log', 'as it was, and more');
      put('pg_log/old.log');
      put('postgresql.conf.before-delta');
      put('lost+found/1');
      put('base/log/1');
    });
    await clean(there);
    const left = readTree(there.directory);
    for (const path of [
      'log/tuesday.log',
      'log/monday.log',
      'pg_log/old.log',
      'postgresql.conf.before-delta',
      'lost+found/1',
    ])
      assert.ok(left.has(path), path);
    assert.ok(!left.has('base/log/1'));
  });

  it('what is of another kind goes, whatever is in it; where a link leads nothing is touched', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/1259', 'relation');
    made.write('pg_xact/0000', 'x');
    const there = await site(made, (put) => {
      rmSync(join(made.root, 'present/base/5/1259'));
      put('base/5/1259/what/is/this');
      rmSync(join(made.root, 'present/pg_xact'), { recursive: true });
      put('pg_xact');
    });
    made.write('../elsewhere/0000', 'not ours');
    rmSync(join(there.directory, 'global'), { recursive: true });
    symlinkSync(join(made.root, 'elsewhere'), join(there.directory, 'global'));
    await clean(there);
    for (const path of ['base/5/1259', 'pg_xact', 'global'])
      assert.equal(lstatSync(join(there.directory, path), { throwIfNoEntry: false }), undefined, path);
    assert.ok(existsSync(join(made.root, 'elsewhere/0000')));
  });

  it('pg_wal stays on the disk that its link leads to', async () => {
    using made = new MadeUpCluster();
    const there = await site(made);
    const wal = join(made.root, 'wal-disk');
    cpSync(join(there.directory, 'pg_wal'), wal, { recursive: true });
    rmSync(join(there.directory, 'pg_wal'), { recursive: true });
    symlinkSync(wal, join(there.directory, 'pg_wal'));
    await clean(there);
    assert.equal(readlinkSync(join(there.directory, 'pg_wal')), wal);
    assert.deepEqual(readdirSync(wal), ['archive_status']);
  });

  it('of a tablespace only the directory of this version is looked at', async () => {
    using made = new MadeUpCluster();
    const place = made.addTablespace(16_400);
    const there = await site(made);
    mkdirSync(join(place, 'PG_14_202107181'));
    writeFileSync(join(place, 'PG_14_202107181/1'), 'of another version');
    writeFileSync(join(place, versionDirectory, '5', '16501'), 'superfluous');
    await clean(there);
    assert.deepEqual([...readTree(place).keys()].toSorted(), ['PG_14_202107181/1', `${versionDirectory}/5/16500`]);
    assert.equal(readlinkSync(join(there.directory, 'pg_tblspc/16400')), place);
  });

  it('a link of a tablespace that leads elsewhere goes, what it leads to stays', async () => {
    using made = new MadeUpCluster();
    const place = made.addTablespace(16_400);
    const there = await site(made);
    await clean(there, { tablespaces: new Map([[16_400, join(made.root, 'moved')]]) });
    assert.ok(!existsSync(join(there.directory, 'pg_tblspc/16400')));
    assert.ok(existsSync(join(place, versionDirectory, '5', '16500')));
  });

  it('a tablespace that the backup does not have is emptied of this version', async () => {
    using made = new MadeUpCluster();
    const there = await site(made);
    const place = made.addTablespace(16_401);
    symlinkSync(place, join(there.directory, 'pg_tblspc/16401'));
    mkdirSync(join(place, 'PG_14_202107181'));
    const before = await clean(there, { superfluous: new Map([[16_401, place]]), only: true });
    assert.deepEqual(await clean(there, { superfluous: new Map([[16_401, place]]) }), before);
    assert.deepEqual(readdirSync(place), ['PG_14_202107181']);
  });

  it('removes names that are not UTF-8', async () => {
    using made = new MadeUpCluster();
    const there = await site(made);
    const odd = Buffer.concat([Buffer.from(`${there.directory}/base/`), Buffer.from([0x6c, 0xf6, 0xff])]);
    mkdirSync(odd);
    writeFileSync(Buffer.concat([odd, Buffer.from('/x')]), '');
    await clean(there);
    assert.ok(!existsSync(odd));
  });

  it('leaves what fits, whatever else there is', async () => {
    const names = fc.constantFrom('1', '1!', '1.1', 'a', 'é');
    const paths = fc.array(names, { minLength: 1, maxLength: 3 }).map((parts) => `base/${parts.join('/')}`);
    const trees = fc.array(paths, { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(trees, trees, async (wanted, present) => {
        using made = new MadeUpCluster();
        putTree(made.dataDirectory, wanted);
        const there = await site(made);
        rmSync(join(there.directory, 'base'), { recursive: true });
        putTree(there.directory, ['base/5', ...present]);
        const [right, before] = [kinds(made.dataDirectory), kinds(there.directory)];
        await clean(there);
        assert.deepEqual(kinds(there.directory), new Set([...before].filter((path) => right.has(path))));
      }),
      { numRuns: 60 },
    );
  });
});

/** Files, but where one has another below it; what does not fit is passed over. */
function putTree(root: string, paths: readonly string[]): void {
  for (const path of paths) {
    try {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), '');
    } catch {
      // A file where a directory is needed, or the other way round.
    }
  }
}

/** What lies in base, with its kind. */
function kinds(root: string): Set<string> {
  const all = readdirSync(join(root, 'base'), { recursive: true, withFileTypes: true, encoding: 'utf8' });
  return new Set(
    all.map((entry) => `${join(entry.parentPath, entry.name).slice(root.length)} ${entry.isDirectory() ? 'd' : 'f'}`),
  );
}
