import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { walkDataDirectory } from '../../src/backup/data-directory-walk.ts';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { BackupManifestWriter, parseBackupManifest } from '../../src/postgres/backup-manifest.ts';
import { decodeControlFile } from '../../src/postgres/control-file.ts';
import { systemIdentifier } from '../../src/postgres/system-identifier.ts';
import { majors, TestCluster } from '../support/cluster.ts';
import { fullPostgres } from '../support/full-postgres.ts';
import { giveToServer } from '../support/server-user.ts';

/*
 * What belongs into a backup, beside what servers of all versions send to pg_basebackup; and the manifests that they
 * make, beside those that we write.
 */

const programs = new Map([[15, '/usr/lib/postgresql/15/bin']]);
const programOf = (major: number, name: string): string =>
  join(programs.get(major) ?? fullPostgres().binDirectory, name);

const root = mkdtempSync(join(tmpdir(), 'pgrecall-base-'));
after(() => rmSync(root, { recursive: true, force: true }));

/** Every file and directory in a directory; a directory's path ends with a slash. Links to directories are followed. */
function tree(directory: string, path = ''): string[] {
  return readdirSync(join(directory, path)).flatMap((name) => {
    const child = path === '' ? name : `${path}/${name}`;
    const stat = lstatSync(join(directory, child));
    return stat.isFile() ? [child] : [`${child}/`, ...tree(directory, child)];
  });
}

/** Files of every kind that a backup has to leave out, or must not. */
const planted = [
  'postgresql.auto.conf.tmp',
  'current_logfiles.tmp',
  'backup_manifest',
  'backup_label.old',
  'current_logfiles',
  'mine/notes.txt',
  'mine/pgsql_tmp12.0',
  'log/postgresql.log',
  'base/pgsql_tmp/pgsql_tmp12345.0',
  'base/5/pg_internal.init.77',
  'base/5/t99_16384',
  'base/5/t99_16384_fsm',
  'base/5/99999_init',
  'base/5/99999',
  'base/5/99999.1',
  'base/5/99999_vm',
  'base/5/99998.1',
  'global/pg_internal.init.77',
  'pg_stat_tmp/mine.stat',
  'pg_replslot/mine.txt',
  'pg_dynshmem/mmap.1',
  'pg_notify/00FF',
  'pg_serial/0000',
  'pg_snapshots/00000003-1',
  'pg_subtrans/00FF',
  'pg_wal/archive_status/000000010000000000000001.done',
  'pg_wal/notes.txt',
];

for (const major of majors) {
  describe(`a backup of PostgreSQL ${major}`, () => {
    let cluster: TestCluster;
    let session: SqlSession;
    let temporary: SqlSession;
    const backup = join(root, `backup-${major}`);
    before(async () => {
      cluster = await TestCluster.create({ major, settings: { autovacuum: 'off', max_wal_senders: '4' } });
      session = await cluster.session();
      const space = join(cluster.socketDirectory, 'space');
      mkdirSync(space);
      giveToServer(space);
      await session.query(`CREATE TABLESPACE space LOCATION '${space}'`);
      await session.query(`
        CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY, filler text);
        CREATE UNLOGGED TABLE scratch_there (id int PRIMARY KEY) TABLESPACE space;
        CREATE TABLE kept TABLESPACE space AS SELECT i FROM generate_series(1, 1000) AS i;
        INSERT INTO scratch SELECT i, 'x' FROM generate_series(1, 1000) AS i`);
      await session.query("SELECT pg_create_physical_replication_slot('slot', true)");
      temporary = await cluster.session();
      await temporary.query(`
        CREATE TEMPORARY TABLE here (id int PRIMARY KEY, filler text);
        CREATE TEMPORARY TABLE there TABLESPACE space AS SELECT * FROM kept;
        INSERT INTO here SELECT i, repeat('x', 3000) FROM generate_series(1, 100) AS i`);
      for (const path of planted) {
        const whole = join(cluster.dataDirectory, path);
        mkdirSync(join(whole, '..'), { recursive: true });
        writeFileSync(whole, '');
        giveToServer(join(whole, '..'));
        giveToServer(whole);
      }
      await session.query('CHECKPOINT');
      execFileSync(
        programOf(major, 'pg_basebackup'),
        [
          `--dbname=${cluster.uri()}`,
          `--pgdata=${backup}`,
          '--checkpoint=fast',
          '--wal-method=fetch',
          '--manifest-checksums=CRC32C',
          '--no-sync',
          `--tablespace-mapping=${space}=${backup}-space`,
        ],
        { stdio: ['ignore', 'ignore', 'pipe'] },
      );
    });
    after(async () => {
      await temporary.close();
      await session.close();
      await cluster[Symbol.asyncDispose]();
    });

    it('has the files and directories that the server sends to pg_basebackup', () => {
      const control = decodeControlFile(readFileSync(join(cluster.dataDirectory, 'global/pg_control')));
      const warnings: string[] = [];
      const walked = [
        ...walkDataDirectory({
          directory: cluster.dataDirectory,
          tablespaceVersionDirectory: `PG_${major}_${control.catalogVersion}`,
          warn: (text) => warnings.push(text),
        }),
      ];
      const ours = walked.flatMap(({ path, kind }) => (path === '' ? [] : [kind === 'file' ? path : `${path}/`]));
      // what the backup itself adds, and WAL, which we keep elsewhere
      const added = new Set(['backup_label', 'backup_manifest', 'tablespace_map', 'global/pg_control']);
      const sent = tree(backup).filter(
        (path) => !added.has(path) && !/^pg_wal\/(?!archive_status\/$|summaries\/$)./.test(path),
      );
      assert.deepEqual(ours.toSorted(), sent.toSorted());
      assert.deepEqual(warnings, []);
      for (const path of ['mine/notes.txt', 'base/5/99999_init', 'base/5/99998.1', 'backup_label.old']) {
        assert.ok(sent.includes(path), path);
      }
      assert.ok(!sent.includes('base/5/99999.1'));
    });

    it('has a manifest that we read, and would have written to the byte', () => {
      const text = readFileSync(join(backup, 'backup_manifest'), 'utf8');
      const { version, systemIdentifier: identifier, files, walRanges } = parseBackupManifest(text);
      assert.equal(version, major >= 17 ? 2 : 1);
      const control = decodeControlFile(readFileSync(join(backup, 'global/pg_control')));
      if (major >= 17) assert.equal(identifier, control.systemIdentifier);
      assert.ok(files.length > 900);
      const writer = new BackupManifestWriter({
        postgresMajor: major,
        systemIdentifier: systemIdentifier(control.systemIdentifier),
      });
      const parts = files.map(({ path, sizeBytes, lastModified = '', checksum = '' }) =>
        writer.addFile({ path, sizeBytes, lastModified, crc32c: Buffer.from(checksum, 'hex').readUInt32LE() }),
      );
      assert.equal(parts.join('') + writer.finish(walRanges), text);
    });

    // with version 2 of a manifest pg_verifybackup reads pg_control too, of its own version alone
    if (major !== 17) {
      it('has a manifest that pg_verifybackup takes, with a name that is not UTF-8 in it', () => {
        const path = Buffer.concat([Buffer.from('mine/'), Buffer.from([0xff, 0xfe])]);
        writeFileSync(Buffer.concat([Buffer.from(`${backup}/`), path]), '');
        const manifest = join(backup, 'backup_manifest');
        const {
          systemIdentifier: identifier = '1',
          files,
          walRanges,
        } = parseBackupManifest(readFileSync(manifest, 'utf8'));
        const writer = new BackupManifestWriter({
          postgresMajor: major,
          systemIdentifier: systemIdentifier(identifier),
        });
        const parts = files.map(({ path: name, sizeBytes, lastModified = '', checksum = '' }) =>
          writer.addFile({ path: name, sizeBytes, lastModified, crc32c: Buffer.from(checksum, 'hex').readUInt32LE() }),
        );
        parts.push(writer.addFile({ path, sizeBytes: 0, lastModified: '2026-11-25 10:00:00 GMT', crc32c: 0 }));
        writeFileSync(manifest, parts.join('') + writer.finish(walRanges));
        const program = programOf(major, 'pg_verifybackup');
        // WAL of another version is nothing to its pg_waldump
        const options = major === 15 || major === 18 ? [] : ['--no-parse-wal'];
        execFileSync(program, [...options, backup], { stdio: ['ignore', 'pipe', 'pipe'] });
        const read = parseBackupManifest(readFileSync(manifest, 'utf8'));
        assert.deepEqual(read.files.at(-1)?.path, path);
      });
    }
  });
}
