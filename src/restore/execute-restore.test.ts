import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  statfsSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  chmodSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { hasCode } from '../errors/pgrecall-error.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { parseBackupManifest } from '../postgres/backup-manifest.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { MapsEncoder } from '../repository/file-maps.ts';
import { EntryEncoder } from '../repository/manifest-entry-codec.ts';
import type { ManifestEntry } from '../repository/manifest.ts';
import { encodePath } from '../repository/path-text.ts';
import type { Repository } from '../repository/repository.ts';
import { SealedWriter } from '../repository/sealed-writer.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { backUpMadeUp, readTree, restoreMadeUp, sameFiles } from '../../test/support/made-up-backup.ts';
import {
  MadeUpCluster,
  MadeUpServer,
  madeUpControl,
  madeUpPages,
  versionDirectory,
} from '../../test/support/made-up-cluster.ts';
import { entry } from '../../test/support/manifests.ts';
import { nameOf } from '../../test/support/test-archive.ts';
import { countingBytes, testRepository } from '../../test/support/test-repository.ts';
import { restoreHere } from './restoring.ts';

interface Restored {
  readonly directory: string;
  readonly record: BackupRecord;
}

async function backUpAndRestore(made: MadeUpCluster, server = new MadeUpServer()): Promise<Restored> {
  const cluster = (await testRepository()).cluster('main');
  const record = await backUpMadeUp(made, cluster, { server });
  const directory = join(made.root, 'restored');
  await restoreMadeUp(made, cluster, record, directory);
  return { directory, record };
}

/** What a restore adds to what was backed up, and what it leaves out. */
const added = ['backup_label', 'backup_manifest', 'recovery.signal'];

describe('a restored directory', () => {
  it('has every file, byte for byte, and what recovery needs', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/1259', madeUpPages(40));
    made.write('base/5/1260', '');
    made.addTablespace(16_400);
    made.write('postmaster.pid', '1');
    const { directory } = await backUpAndRestore(made);
    const found = readTree(directory);
    const expected = readTree(made.dataDirectory);
    expected.delete('postmaster.pid');
    for (const name of added) assert.ok(found.delete(name), name);
    for (const files of [found, expected]) {
      files.delete('postgresql.auto.conf');
      for (const path of [...files.keys()].filter((name) => name.startsWith('pg_wal/'))) files.delete(path);
    }
    sameFiles(found, expected);
    const status = join(directory, 'pg_wal', 'archive_status');
    assert.deepEqual(readdirSync(status), [`${nameOf(2)}.done`]);
    assert.ok(existsSync(join(directory, 'pg_wal', nameOf(2))));
    assert.match(readFileSync(join(directory, 'postgresql.auto.conf'), 'utf8'), /^# ALTER SYSTEM\n[^]*restore_command/);
    assert.ok(!existsSync(join(directory, 'tablespace_map')));
  });

  it('has its tablespaces where they are to go, and links that lead there', async () => {
    using made = new MadeUpCluster();
    made.addTablespace(16_400);
    const { directory } = await backUpAndRestore(made);
    const link = join(directory, 'pg_tblspc', '16400');
    assert.equal(readlinkSync(link), `${directory}-tablespace-16400`);
    assert.deepEqual(readFileSync(join(link, versionDirectory, '5', '16500')), madeUpPages(3, { seed: 16_400 }));
  });

  it('has modes and times as they were, of files in pieces too', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/16384', '');
    truncateSync(made.path('base/5/16384'), 150 * 1_048_576);
    made.write('server.key', 'secret');
    chmodSync(made.path('server.key'), 0o400);
    chmodSync(made.path('base/5/16384'), 0o440);
    mkdirSync(made.path('read-only'));
    made.write('read-only/file', 'x');
    chmodSync(made.path('read-only'), 0o500);
    for (const name of ['server.key', 'base/5/16384']) utimesSync(made.path(name), 1_600_000_000, 1_600_000_000.5);
    const { directory } = await backUpAndRestore(made);
    const seen = (name: string): unknown => {
      const { mode, mtimeMs, size } = statSync(join(directory, name));
      return [(mode & 0o7777).toString(8), mtimeMs, size];
    };
    assert.deepEqual(seen('server.key'), ['400', 1_600_000_000_500, 6]);
    assert.deepEqual(seen('base/5/16384'), ['440', 1_600_000_000_500, 150 * 1_048_576]);
    assert.equal(statSync(join(directory, 'read-only')).mode & 0o7777, 0o500);
    assert.equal(statSync(directory).mode & 0o7777, statSync(made.dataDirectory).mode & 0o7777);
    chmodSync(join(directory, 'read-only'), 0o700);
    chmodSync(made.path('read-only'), 0o700);
  });

  it('has names that are not UTF-8, in the directory and in backup_manifest', async () => {
    using made = new MadeUpCluster();
    const name = Buffer.from([0x6c, 0xf6, 0xff]);
    writeFileSync(Buffer.concat([Buffer.from(`${made.dataDirectory}/`), name]), 'latin1');
    const { directory } = await backUpAndRestore(made);
    assert.equal(readFileSync(Buffer.concat([Buffer.from(`${directory}/`), name]), 'utf8'), 'latin1');
    const { files } = parseBackupManifest(readFileSync(join(directory, 'backup_manifest'), 'utf8'));
    assert.ok(files.some(({ path }) => typeof path !== 'string' && Buffer.from(path).equals(name)));
  });

  it('lists in backup_manifest what it holds', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/1259', madeUpPages(2));
    const { directory, record } = await backUpAndRestore(made);
    const manifest = parseBackupManifest(readFileSync(join(directory, 'backup_manifest'), 'utf8'));
    const onDisk = [...readTree(directory).keys()].filter(
      (path) => !path.startsWith('pg_wal/') && !['backup_manifest', 'recovery.signal'].includes(path),
    );
    assert.deepEqual(manifest.files.map(({ path }) => String(path)).toSorted(), onDisk.toSorted());
    assert.deepEqual(
      manifest.walRanges.map(({ timeline, startLsn, endLsn }) => [timeline, startLsn, endLsn]),
      [[record.timeline, 0x200028n, 0x204000n]],
    );
  });

  it('has its configuration inside, where that lay outside', async () => {
    using made = new MadeUpCluster();
    const etc = join(made.root, 'etc');
    execFileSync('rm', [made.path('postgresql.conf')]);
    made.write('../etc/postgresql.conf', "data_directory = '/var/lib'\ninclude_dir = 'conf.d'\ninclude_dir = 'more'\n");
    made.write('../etc/conf.d/memory.conf', 'work_mem = 64MB\n');
    made.write('../etc/pg_hba.conf', 'local all all peer\n');
    const configurationFiles = { 'postgresql.conf': `${etc}/postgresql.conf`, 'pg_hba.conf': `${etc}/pg_hba.conf` };
    const settingsFiles = [`${etc}/postgresql.conf`, `${etc}/conf.d/memory.conf`];
    const server = new MadeUpServer({ facts: { configurationFiles, settingsFiles } });
    const { directory } = await backUpAndRestore(made, server);
    const text = readFileSync(join(directory, 'postgresql.conf'), 'utf8');
    assert.match(text, new RegExp(`data_directory = '/var/lib'[^]*data_directory = '${directory}'`));
    assert.equal(readFileSync(join(directory, 'conf.d', 'memory.conf'), 'utf8'), 'work_mem = 64MB\n');
    assert.ok(statSync(join(directory, 'more')).isDirectory());
    const { files } = parseBackupManifest(readFileSync(join(directory, 'backup_manifest'), 'utf8'));
    const listed = files.find(({ path }) => path === 'postgresql.conf');
    assert.equal(listed?.sizeBytes, Buffer.byteLength(text));
  });

  it('of a backup whose WAL is partly in the beginning of a segment has that, not marked as archived', async () => {
    using made = new MadeUpCluster();
    const server = new MadeUpServer({ facts: { inRecovery: true }, written: 0x205000n as never });
    const { directory } = await backUpAndRestore(made, server);
    assert.equal(statSync(join(directory, 'pg_wal', nameOf(2))).size, 1_048_576);
    assert.deepEqual(readdirSync(join(directory, 'pg_wal', 'archive_status')), []);
  });
});

describe('a restore that fails leaves nothing that PostgreSQL would start', () => {
  const hasNoControl = (directory: string): void => assert.ok(!existsSync(join(directory, 'global', 'pg_control')));

  it('when WAL that the backup needs is gone', async () => {
    using made = new MadeUpCluster();
    const memory = new MemoryStorage();
    const cluster = (await testRepository({ storage: memory })).cluster('main');
    const record = await backUpMadeUp(made, cluster);
    for (const key of memory.objects.keys()) if (/\/wal\//.test(key)) memory.objects.delete(key);
    const directory = join(made.root, 'restored');
    await assert.rejects(restoreMadeUp(made, cluster, record, directory), (error) => hasCode(error, 'wal-gap'));
    hasNoControl(directory);
  });

  it('when it is interrupted, whenever that is', async () => {
    using made = new MadeUpCluster();
    for (let i = 0; i < 600; i += 1) made.write(`base/5/${20_000 + i}`, 'x');
    const cluster = (await testRepository()).cluster('main');
    const record = await backUpMadeUp(made, cluster);
    for (const after of [1, 2, 3]) {
      const interrupted = new AbortController();
      const directory = join(made.root, `restored-${after}`);
      const inner = restoreHere(cluster);
      let batches = 0;
      const restoring: typeof inner = {
        ...inner,
        restore: async (items) => {
          batches += 1;
          if (batches === after) interrupted.abort(new Error('interrupted'));
          return inner.restore(items);
        },
      };
      await assert.rejects(
        restoreMadeUp(made, cluster, record, directory, { signal: interrupted.signal, restoring }),
        /interrupted/,
      );
      hasNoControl(directory);
    }
  });

  it('when the disk is full', { skip: canMount() ? false : 'only root can mount a small file system' }, async () => {
    using made = new MadeUpCluster();
    made.write('base/5/1259', madeUpPages(200));
    for (let i = 0; i < 30; i += 1) made.write(`base/5/${20_000 + i}`, madeUpPages(1));
    const cluster = (await testRepository()).cluster('main');
    const record = await backUpMadeUp(made, cluster);
    const mounted = join(made.root, 'small');
    mkdirSync(mounted);
    const restoreInto = async (kilobytes: number): Promise<{ failure: unknown; usedKilobytes: number }> => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'tmpfs', mounted]);
      try {
        const directory = join(mounted, 'data');
        const failure: unknown = await restoreMadeUp(made, cluster, record, directory).then(
          () => undefined,
          (error: unknown) => error,
        );
        if (failure !== undefined) hasNoControl(directory);
        const { blocks, bfree, bsize } = statfsSync(mounted);
        return { failure, usedKilobytes: ((blocks - bfree) * bsize) / 1024 };
      } finally {
        execFileSync('umount', [mounted]);
      }
    };
    const enough = await restoreInto(65_536);
    assert.equal(enough.failure, undefined);
    // Shares at which different steps find no room, and the last pages, which pg_control would have needed.
    const shares = [0.01, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9].map((share) => share * enough.usedKilobytes);
    const last = Array.from({ length: 12 }, (_, i) => enough.usedKilobytes - 4 * (i + 1));
    for (const kilobytes of [...shares, ...last]) {
      const { failure } = await restoreInto(Math.max(4, Math.floor(kilobytes)));
      assert.ok(hasCode(failure, 'disk-full'), `${kilobytes} KiB of ${enough.usedKilobytes}: ${inspect(failure)}`);
    }
  });
});

describe('a repository that someone has tampered with', () => {
  const file = (path: string, changes: Partial<ManifestEntry> = {}): ManifestEntry => entry(path, changes);
  const directory = (path: string): ManifestEntry => entry(path, { kind: 'directory', mode: 0o700 });
  const link = (path: string, target: string): ManifestEntry => entry(path, { kind: 'symlink', target });
  const hostile: readonly (readonly [string, readonly ManifestEntry[]])[] = [
    ['a path that climbs out', [directory(''), file('../evil')]],
    ['a path that climbs out on the way', [directory(''), directory('base'), file('base/../../evil')]],
    ['an absolute path', [directory(''), file('/tmp/evil')]],
    ['a link that is no tablespace’s', [directory(''), link('base', '/etc')]],
    [
      'a link of a tablespace that the backup has not',
      [directory(''), directory('pg_tblspc'), link('pg_tblspc/77', '/etc')],
    ],
    ['a file below a link', [directory(''), link('base', '/etc'), file('base/evil')]],
  ];
  for (const [what, entries] of hostile) {
    it(`cannot make a restore write elsewhere: ${what}`, async () => {
      using made = new MadeUpCluster();
      const repository = await testRepository();
      const record = await backUpMadeUp(made, repository.cluster('main'));
      await plant(repository, record.id, entries);
      const target = join(made.root, 'restored', 'data');
      await assert.rejects(restoreMadeUp(made, repository.cluster('main'), record, target), (error) => {
        assert.ok(hasCode(error, 'manifest-hostile'), String(error));
        return true;
      });
      const own = new Set(['data/backup_manifest', 'data/pgrecall.unfinished']);
      assert.deepEqual(
        [...readTree(join(made.root, 'restored')).keys()].filter((path) => !own.has(path)),
        [],
      );
      assert.ok(!existsSync('/tmp/evil'));
    });
  }

  it('cannot have configuration written elsewhere', async () => {
    for (const names of ['["../evil.conf"]', '["global/pg_control"]', '["/tmp/evil"]', '{}', 'no JSON']) {
      using made = new MadeUpCluster();
      const repository = await testRepository();
      const record = await backUpMadeUp(made, repository.cluster('main'));
      const attachments: [string, Uint8Array][] = [
        ['outside', Buffer.from(names)],
        ['outside/../evil.conf', Buffer.from('evil')],
        ['outside/global/pg_control', madeUpControl()],
      ];
      await plant(repository, record.id, [directory(''), directory('global')], attachments);
      const target = join(made.root, 'restored', 'data');
      await assert.rejects(restoreMadeUp(made, repository.cluster('main'), record, target), (error) => {
        assert.ok(hasCode(error, 'manifest-hostile'), String(error));
        return true;
      });
      assert.deepEqual([...readTree(join(made.root, 'restored')).keys()].toSorted(), [
        'data/backup_manifest',
        'data/pgrecall.unfinished',
      ]);
    }
  });

  it('cannot say where the link of a tablespace leads, nor make a file that runs as someone else', async () => {
    using made = new MadeUpCluster();
    made.addTablespace(16_400);
    const repository = await testRepository();
    const record = await backUpMadeUp(made, repository.cluster('main'));
    await plant(repository, record.id, [
      directory(''),
      directory('global'),
      directory('pg_tblspc'),
      link('pg_tblspc/16400', '/etc'),
      directory('pg_wal'),
      directory('pg_wal/archive_status'),
      file('run-as-root', { mode: 0o4755 }),
    ]);
    const target = join(made.root, 'restored');
    await restoreMadeUp(made, repository.cluster('main'), record, target);
    assert.equal(readlinkSync(join(target, 'pg_tblspc', '16400')), `${target}-tablespace-16400`);
    assert.equal(lstatSync(join(target, 'run-as-root')).mode & 0o7777, 0o755);
  });
});

/** Replaces a backup's manifest by one with these entries, without the checks of who writes one. */
async function plant(
  repository: Repository,
  id: string,
  entries: readonly ManifestEntry[],
  more: readonly (readonly [string, Uint8Array])[] = [],
): Promise<void> {
  const cluster = repository.cluster('main');
  let label: Uint8Array;
  {
    await using manifest = await cluster.openManifest(id);
    label = (await manifest.attachment('backup_label')) ?? Buffer.alloc(0);
  }
  const key = cluster.keyOf(`backups/${id}/manifest`);
  const context = { repositoryKey: undefined, randomBytes: countingBytes('planted') };
  const writer = await SealedWriter.create(repository.storage, key, 'manifest', context, { replace: true });
  const block = new ByteWriter();
  const encoder = new EntryEncoder(block, new MapsEncoder(() => 0));
  for (const one of entries) encoder.encode(one, encodePath(one.path), { extents: [], sums: [] });
  const place = await writer.append(block.view());
  const files = entries.filter(({ kind }) => kind === 'file').length;
  const body = new ByteWriter().varint(0).varint(1).varint(entries.length);
  body.varint(place.offset).varint(place.storedBytes).varint(place.plainBytes);
  body.varint(entries.length).varint(files).varint(0);
  const attachments: readonly (readonly [string, Uint8Array])[] = [
    ['backup_label', label],
    ['pg_control', madeUpControl()],
    ...more,
  ];
  body.varint(attachments.length);
  for (const [name, bytes] of attachments) {
    const at = await writer.append(bytes);
    body.text(name).varint(bytes.length).varint(1).varint(at.offset).varint(at.storedBytes).varint(at.plainBytes);
  }
  await writer.finish(body.view());
}

function canMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  try {
    execFileSync('unshare', ['-m', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
