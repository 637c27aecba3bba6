import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { comparePaths } from '../repository/manifest-path.ts';
import { encodePath } from '../repository/path-text.ts';
import { MadeUpCluster, versionDirectory } from '../../test/support/made-up-cluster.ts';
import { walkDataDirectory, type WalkedEntry } from './data-directory-walk.ts';

function walk(made: MadeUpCluster): { readonly entries: WalkedEntry[]; readonly warnings: string[] } {
  const warnings: string[] = [];
  const entries = [
    ...walkDataDirectory({
      directory: made.dataDirectory,
      tablespaceVersionDirectory: versionDirectory,
      warn: (text) => warnings.push(text),
    }),
  ];
  return { entries, warnings };
}

const pathsOf = (made: MadeUpCluster): string[] => walk(made).entries.map(({ path }) => path);

describe('walking a data directory', () => {
  it('finds what belongs into a backup, and leaves the rest out', () => {
    using made = new MadeUpCluster();
    for (const name of ['postmaster.pid', 'backup_label', 'pg_replslot/standby/state', 'base/5/pgsql_tmp1.0']) {
      made.write(name, 'x');
    }
    made.write('base/5/1259', 'pages');
    made.write('base/5/t3_16384', 'temporary');
    assert.deepEqual(pathsOf(made), [
      '',
      'PG_VERSION',
      'base',
      'base/5',
      'base/5/1259',
      'global',
      'pg_replslot',
      'pg_stat_tmp',
      'pg_tblspc',
      'pg_wal',
      'pg_wal/archive_status',
      'postgresql.auto.conf',
      'postgresql.conf',
    ]);
  });

  it('goes in the order of the manifest, whatever characters names have', () => {
    using made = new MadeUpCluster();
    for (const name of ['a/b', 'a!', 'a-b', 'a.b', 'A', 'a0', 'ab', 'é', '가', '𐀀', '￿']) made.write(name, '');
    const paths = pathsOf(made).map((path) => encodePath(path));
    assert.deepEqual(
      paths,
      paths.toSorted((a, b) => comparePaths(a, b)),
    );
  });

  it('takes names that are not UTF-8 as they are', () => {
    using made = new MadeUpCluster();
    const name = Buffer.from([0x6c, 0xf6, 0xff, 0x67]);
    const path = Buffer.concat([Buffer.from(`${made.dataDirectory}/`), name]);
    writeFileSync(path, 'latin1');
    const found = walk(made).entries.find(({ sizeBytes }) => sizeBytes === 6);
    assert.deepEqual(found && encodePath(found.path), name);
    assert.deepEqual(found && encodePath(found.absolutePath), path);
  });

  it('leaves the content of unlogged relations to their init forks', () => {
    using made = new MadeUpCluster();
    for (const name of ['16384', '16384.1', '16384_fsm', '16384_init', '16385']) made.write(`base/5/${name}`, 'x');
    const inBase = pathsOf(made).filter((path) => path.startsWith('base/5/'));
    assert.deepEqual(inBase, ['base/5/16384_init', 'base/5/16385']);
  });

  it('follows the links of tablespaces, each to the directory of this version', () => {
    using made = new MadeUpCluster();
    const place = made.addTablespace(16_400);
    mkdirSync(join(place, 'PG_14_202107181', '5'), { recursive: true });
    const { entries, warnings } = walk(made);
    const below = entries.filter(({ path }) => path.startsWith('pg_tblspc/'));
    assert.deepEqual(
      below.map(({ path, kind, target }) => [path, kind, target]),
      [
        ['pg_tblspc/16400', 'symlink', place],
        [`pg_tblspc/16400/${versionDirectory}`, 'directory', undefined],
        [`pg_tblspc/16400/${versionDirectory}/5`, 'directory', undefined],
        [`pg_tblspc/16400/${versionDirectory}/5/16500`, 'file', undefined],
      ],
    );
    assert.deepEqual(warnings, []);
  });

  it('takes a tablespace that lies in the data directory once', () => {
    using made = new MadeUpCluster();
    const place = made.addTablespace(16_400);
    renameSync(place, made.path('inside'));
    rmSync(made.path('pg_tblspc/16400'));
    symlinkSync(made.path('inside'), made.path('pg_tblspc/16400'));
    const files = pathsOf(made).filter((path) => path.includes('16500') || path.startsWith('inside'));
    assert.deepEqual(files, ['inside', `pg_tblspc/16400/${versionDirectory}/5/16500`]);
  });

  it('takes an in-place tablespace as the directory that it is', () => {
    using made = new MadeUpCluster();
    made.write(`pg_tblspc/16401/${versionDirectory}/5/16600`, 'pages');
    made.write(`pg_tblspc/16401/${versionDirectory}/5/t1_16601`, 'temporary');
    const { entries } = walk(made);
    const below = entries.filter(({ path }) => path.startsWith('pg_tblspc/'));
    assert.deepEqual(
      below.map(({ path, kind }) => [path, kind]),
      [
        ['pg_tblspc/16401', 'directory'],
        [`pg_tblspc/16401/${versionDirectory}`, 'directory'],
        [`pg_tblspc/16401/${versionDirectory}/5`, 'directory'],
        [`pg_tblspc/16401/${versionDirectory}/5/16600`, 'file'],
      ],
    );
  });

  it('refuses a tablespace whose disk is not there', () => {
    using made = new MadeUpCluster();
    rmSync(made.addTablespace(16_400), { recursive: true });
    assert.throws(
      () => walk(made),
      (error) => hasCode(error, 'data-directory') && /16400/.test(error.message),
    );
  });

  it('makes a directory of a pg_wal that is a link, and says so', () => {
    using made = new MadeUpCluster();
    const elsewhere = join(made.root, 'wal');
    renameSync(made.path('pg_wal'), elsewhere);
    symlinkSync(elsewhere, made.path('pg_wal'));
    const { entries, warnings } = walk(made);
    const wal = entries.filter(({ path }) => path.startsWith('pg_wal'));
    assert.deepEqual(
      wal.map(({ path, kind }) => [path, kind]),
      [
        ['pg_wal', 'directory'],
        ['pg_wal/archive_status', 'directory'],
      ],
    );
    assert.match(warnings.join('\n'), /"pg_wal" is a symbolic link/);
  });

  it('backs up what other links lead to, leaves dangling ones out, and says both', () => {
    using made = new MadeUpCluster();
    mkdirSync(join(made.root, 'logs'));
    writeFileSync(join(made.root, 'logs', 'server.log'), 'line');
    symlinkSync(join(made.root, 'logs'), made.path('log'));
    symlinkSync(join(made.root, 'nothing'), made.path('nothing'));
    const { entries, warnings } = walk(made);
    assert.deepEqual(entries.find(({ path }) => path === 'log/server.log')?.sizeBytes, 4);
    assert.ok(!entries.some(({ path }) => path === 'nothing'));
    assert.match(warnings.join('\n'), /"log" is a symbolic link[^]*"nothing" is left out/);
  });

  for (const [where, target] of [
    ['the data directory', '.'],
    ['a directory above it', '../..'],
    ['the directory that it lies in', 'base'],
  ] as const) {
    it(`refuses a link that leads back to ${where}`, () => {
      using made = new MadeUpCluster();
      symlinkSync(made.path(target), made.path('base/5/loop').replace('/5/', '/'));
      assert.throws(
        () => walk(made),
        (error) => hasCode(error, 'data-directory') && /leads back/.test(error.message),
      );
    });
  }

  it('says what it leaves out because it is no file', async () => {
    using made = new MadeUpCluster();
    const { createServer } = await import('node:net');
    const server = createServer().listen(made.path('socket'));
    await new Promise((resolve) => {
      server.once('listening', resolve);
    });
    const { entries, warnings } = walk(made);
    server.close();
    assert.ok(!entries.some(({ path }) => path === 'socket'));
    assert.match(warnings.join('\n'), /"socket" is left out/);
  });

  it('tells a file from another in its place, and from itself when it was changed', () => {
    using made = new MadeUpCluster();
    const path = made.path('base/5/1259');
    made.write('base/5/1259', 'pages');
    const identity = (settledBeforeMs: number): WalkedEntry['identity'] =>
      [
        ...walkDataDirectory({
          directory: made.dataDirectory,
          tablespaceVersionDirectory: versionDirectory,
          warn: () => undefined,
          settledBeforeMs,
        }),
      ].find((entry) => entry.path === 'base/5/1259')?.identity;
    const later = Date.now() + 60_000;
    const first = identity(later);
    assert.ok(first);
    assert.equal(first.inode, statSync(path).ino);
    assert.deepEqual(identity(later), first);

    // A change that keeps size and time of modification, as nothing but a restored file has it.
    const { atime, mtime } = statSync(path);
    while (statSync(path).ctimeMs * 1000 < first.changedMicros + 1) chmodSync(path, 0o600);
    utimesSync(path, atime, mtime);
    const changed = identity(later);
    assert.deepEqual([changed?.inode, changed?.bornMicros], [first.inode, first.bornMicros]);
    assert.notEqual(changed?.changedMicros, first.changedMicros);

    made.write('base/5/new', 'pages');
    renameSync(made.path('base/5/new'), path);
    assert.notEqual(identity(later)?.inode, first.inode);

    assert.equal(identity(Date.now() - 60_000)?.changedMicros, 0, 'too recent to tell anything');
  });

  it('does not mind files and directories that vanish under way', () => {
    using made = new MadeUpCluster();
    for (const name of ['base/5/1', 'base/6/2', 'base/7/3']) made.write(name, 'x');
    const seen: string[] = [];
    const entries = walkDataDirectory({
      directory: made.dataDirectory,
      tablespaceVersionDirectory: versionDirectory,
      warn: () => undefined,
    });
    for (const { path } of entries) {
      seen.push(path);
      if (path !== 'base/5') continue;
      rmSync(made.path('base/5/1'));
      rmSync(made.path('base/6'), { recursive: true });
    }
    assert.deepEqual(
      seen.filter((path) => path.startsWith('base/')),
      ['base/5', 'base/7', 'base/7/3'],
    );
  });
});
