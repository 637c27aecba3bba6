import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { endings, FileOutput, type ExportCompression } from '../../src/export/byte-output.ts';
import { exportTar } from '../../src/export/export-tar.ts';
import { encodePath, fileSystemPath } from '../../src/repository/path-text.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { findConfiguration } from '../../src/server/find-configuration.ts';
import { BackupRig, checkWith } from '../support/backup-rig.ts';
import { backUpCold, noPlaces, putToRest } from '../support/cold-rig.ts';
import { majors, type Major, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { fullPostgres } from '../support/full-postgres.ts';
import { Load } from '../support/load.ts';
import { giveToServer, serverOwner } from '../support/server-user.ts';

/* Archives that tar unpacks and pg_ctl starts, without anything of pgrecall's. */

let exports_ = 0;

async function exported(
  rig: BackupRig,
  record: BackupRecord,
  compression: ExportCompression = 'none',
): Promise<string> {
  exports_ += 1;
  const to = join(rig.directory, `export-${exports_}`);
  mkdirSync(to);
  const { uid, gid } = serverOwner() ?? { uid: 0, gid: 0 };
  await exportTar({
    cluster: rig.clusterRepository,
    store: rig.store,
    record,
    segmentBytes: rig.incarnation.segmentBytes,
    open: (name) => new FileOutput(join(to, `${name}.tar${endings[compression]}`)),
    manifestFile: join(to, 'backup_manifest'),
    compression,
    owner: () => ({ uid, gid }),
    signal: AbortSignal.timeout(60_000),
    onProgress: () => undefined,
  });
  return to;
}

/** Unpacks an export as the guide says, its tablespaces to places of their own; gives the data directory. */
function unpack(rig: BackupRig, from: string): string {
  const directory = rig.tablespace(`unpacked-${exports_}`);
  const mapped = new Map<string, string>();
  for (const name of readdirSync(from).toSorted()) {
    if (!name.includes('.tar')) continue;
    const oid = name.slice(0, name.indexOf('.'));
    const place = oid === 'base' ? directory : rig.tablespace(`unpacked-${exports_}-${oid}`);
    execFileSync('tar', ['-xpf', join(from, name), '-C', place], { stdio: 'pipe' });
    if (oid !== 'base') mapped.set(oid, place);
  }
  for (const [oid, place] of mapped) {
    const link = join(directory, 'pg_tblspc', oid);
    rmSync(link);
    symlinkSync(place, link);
  }
  const map = join(directory, 'tablespace_map');
  if (existsSync(map)) writeFileSync(map, [...mapped].map(([oid, place]) => `${oid} ${place}\n`).join(''));
  return directory;
}

async function contentOf(server: TestCluster): Promise<string> {
  await using session = await server.session();
  const [row] = await session.query<{ content: string }>(
    `SELECT (SELECT md5(string_agg(i || v, ',' ORDER BY i)) || ' ' || count(*) FROM spread) AS content`,
  );
  return row?.content ?? '';
}

async function prepare(rig: BackupRig): Promise<void> {
  await using session = await rig.cluster.session();
  await session.query(`CREATE TABLESPACE fast LOCATION '${rig.tablespace('fast')}'`);
  await session.query('CREATE TABLE spread (i int PRIMARY KEY, v text) TABLESPACE fast');
  await session.query('INSERT INTO spread SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 5000) i');
  await session.query('CREATE UNLOGGED TABLE cache AS SELECT i FROM generate_series(1, 1000) i');
}

/** What pg_verifybackup of 18 says of the archives themselves. From version 17 on it wants a pg_control of its own. */
function verifyArchives(major: Major, directory: string): void {
  if (major === 17) return;
  const program = join(fullPostgres().binDirectory, 'pg_verifybackup');
  // It does not look into WAL in archives.
  execFileSync(program, ['--no-parse-wal', '--format=tar', directory], { stdio: 'pipe' });
}

/** And of what they unpack to, but for tablespace_map, which was changed for its new place. */
function verifyUnpacked(major: Major, directory: string, from: string): void {
  checkWith(major, 'pg_verifybackup', ['--ignore=tablespace_map', '-m', join(from, 'backup_manifest'), directory]);
}

for (const major of majors) {
  describe(`an export of PostgreSQL ${major}`, () => {
    it('of a hot backup under load is unpacked by tar and starts by itself', async () => {
      await using rig = await BackupRig.create({ major, walSegmentMiB: 1 });
      await prepare(rig);
      const expected = await contentOf(rig.cluster);
      const load = await Load.start(rig.cluster);
      const record = await rig.backUp();
      await load.stop();
      const from = await exported(rig, record);
      assert.deepEqual(
        readdirSync(from).toSorted(),
        [`${record.tablespaces[0]?.oid}.tar`, 'backup_manifest', 'base.tar'].toSorted(),
      );
      verifyArchives(major, from);
      const directory = unpack(rig, from);
      assert.equal(statSync(join(directory, 'PG_VERSION')).uid, statSync(rig.cluster.dataDirectory).uid);
      assert.equal(lstatSync(join(directory, 'base')).mode & 0o777, 0o700);
      verifyUnpacked(major, directory, from);
      const server = await rig.start(directory);
      await eventually('it is consistent', () => !existsSync(join(directory, 'backup_label')));
      assert.equal(await contentOf(server), expected);
      const [link] = readdirSync(join(directory, 'pg_tblspc'));
      assert.match(readlinkSync(join(directory, 'pg_tblspc', link ?? '')), /unpacked-/);
      await using session = await server.session();
      assert.deepEqual(await session.query('SELECT count(*)::int FROM cache'), [{ count: 0 }]);
      await server.stop();
      checkWith(major, 'pg_checksums', ['--check', '--pgdata', directory]);
    });

    it('of a cold backup is the stopped cluster', async () => {
      await using rig = await BackupRig.create({ major });
      await prepare(rig);
      const expected = await contentOf(rig.cluster);
      await putToRest(rig.cluster);
      // What an administrator may have left there.
      const odd = [
        `${'long-'.repeat(30)}name`,
        `${'directory-'.repeat(18)}/${'name-'.repeat(30)}`,
        '데이터베이스 '.repeat(8),
      ];
      const raw = Buffer.concat([encodePath(`${rig.cluster.dataDirectory}/`), Buffer.from([0xff, 0x80, 0x41])]);
      mkdirSync(join(rig.cluster.dataDirectory, 'directory-'.repeat(18)), { mode: 0o750 });
      for (const name of odd) writeFileSync(join(rig.cluster.dataDirectory, name), `content of ${name}`);
      writeFileSync(raw, 'of no encoding', { mode: 0o640 });
      const record = await backUpCold(rig);
      const from = await exported(rig, record);
      const directory = unpack(rig, from);
      assert.ok(!existsSync(join(directory, 'backup_label')) && !existsSync(join(directory, 'tablespace_map')));
      for (const name of odd) assert.equal(readFileSync(join(directory, name), 'utf8'), `content of ${name}`);
      const rawThere = Buffer.concat([encodePath(`${directory}/`), Buffer.from([0xff, 0x80, 0x41])]);
      assert.equal(readFileSync(rawThere, 'utf8'), 'of no encoding');
      assert.equal(statSync(rawThere).mode & 0o777, 0o640);
      assert.equal(statSync(join(directory, 'directory-'.repeat(18))).mode & 0o777, 0o750);
      const before = statSync(fileSystemPath(`${rig.cluster.dataDirectory}/PG_VERSION`));
      assert.equal(statSync(join(directory, 'PG_VERSION')).mtimeMs, Math.floor(before.mtimeMs / 1000) * 1000);
      verifyUnpacked(major, directory, from);
      const server = await rig.start(directory);
      assert.equal(await contentOf(server), expected);
      await using session = await server.session();
      assert.deepEqual(await session.query('SELECT count(*)::int FROM cache'), [{ count: 1000 }]);
    });
  });
}

describe('an export', () => {
  for (const compression of ['gzip', 'zstd'] as const) {
    it(`compressed by ${compression} is what it is without`, async () => {
      await using rig = await BackupRig.create({ major: 18 });
      await prepare(rig);
      const expected = await contentOf(rig.cluster);
      const record = await rig.backUp();
      const plain = await exported(rig, record);
      const from = await exported(rig, record, compression);
      const program = compression === 'gzip' ? 'gzip' : 'zstd';
      for (const name of readdirSync(plain).filter((one) => one.endsWith('.tar'))) {
        const unpacked = execFileSync(program, ['-dc', join(from, `${name}${endings[compression]}`)], {
          maxBuffer: 2 ** 30,
        });
        assert.ok(unpacked.equals(readFileSync(join(plain, name))), name);
      }
      verifyArchives(18, from);
      const server = await rig.start(unpack(rig, from));
      assert.equal(await contentOf(server), expected);
    });
  }

  it('has configuration that lay outside, and nothing in it that leads back there', async () => {
    await using rig = await BackupRig.create({ major: 15 });
    await prepare(rig);
    const { dataDirectory } = rig.cluster;
    const expected = await contentOf(rig.cluster);
    await putToRest(rig.cluster);
    const etc = rig.tablespace('etc');
    for (const name of ['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf']) {
      renameSync(join(dataDirectory, name), join(etc, name));
    }
    mkdirSync(join(etc, 'conf.d'), { mode: 0o755 });
    writeFileSync(join(etc, 'conf.d', 'memory.conf'), "work_mem = '5MB'\n");
    const conf = join(etc, 'postgresql.conf');
    const own = [
      `data_directory = '${dataDirectory}'`,
      `hba_file = '${etc}/pg_hba.conf'`,
      `ident_file = '${etc}/pg_ident.conf'`,
      "include_dir = 'conf.d'",
    ];
    writeFileSync(conf, `${readFileSync(conf, 'utf8')}${own.join('\n')}\n`);
    for (const path of [conf, join(etc, 'conf.d'), join(etc, 'conf.d', 'memory.conf')]) giveToServer(path);
    writeFileSync(join(dataDirectory, 'postmaster.opts'), `/bin/postgres "-D" "${etc}"\n`);
    const found = findConfiguration(dataDirectory, {});
    const record = await backUpCold(rig, {
      places: { ...noPlaces, configurationFiles: found?.files ?? {}, settingsFiles: found?.settingsFiles ?? [] },
    });
    assert.equal(record.outsideFiles.length, 4);
    const from = await exported(rig, record);
    const directory = unpack(rig, from);
    assert.match(readFileSync(join(directory, 'postgresql.conf'), 'utf8'), /^# not of this copy: data_directory/m);
    verifyUnpacked(15, directory, from);
    const server = await rig.start(directory);
    assert.equal(await contentOf(server), expected);
    await using session = await server.session();
    assert.deepEqual(
      await session.query("SELECT current_setting('work_mem') AS m, current_setting('data_directory') AS d"),
      [{ m: '5MB', d: directory }],
    );
  });

  it('that fails leaves nothing that looks whole', async () => {
    await using rig = await BackupRig.create({ major: 15 });
    await prepare(rig);
    const record = await rig.backUp();
    const to = join(rig.directory, 'failed');
    mkdirSync(to);
    let opened = 0;
    const failing = exportTar({
      cluster: rig.clusterRepository,
      store: rig.store,
      record,
      segmentBytes: rig.incarnation.segmentBytes,
      open: (name) => {
        const inner = new FileOutput(join(to, `${name}.tar`));
        opened += 1;
        const isLast = opened === 2;
        return {
          write: (bytes) => {
            if (isLast) throw new Error('the disk is gone');
            return inner.write(bytes);
          },
          finish: async () => inner.finish(),
          abort: async () => inner.abort(),
        };
      },
      manifestFile: join(to, 'backup_manifest'),
      compression: 'none',
      owner: () => ({ uid: 0, gid: 0 }),
      signal: AbortSignal.timeout(60_000),
      onProgress: () => undefined,
    });
    await assert.rejects(failing, /the disk is gone/);
    assert.deepEqual(readdirSync(to), []);
  });
});
