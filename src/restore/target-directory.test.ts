import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { backupRecord } from '../../test/support/test-repository.ts';
import { mapTablespaces, requireEmptyDirectory, requireEmptyTablespaces } from './target-directory.ts';

const root = mkdtempSync(join(tmpdir(), 'pgr-target-'));
after(() => rmSync(root, { recursive: true, force: true }));

function directory(name: string, files: readonly string[] = []): string {
  const path = join(root, name);
  mkdirSync(path, { recursive: true });
  for (const file of files) {
    mkdirSync(join(path, file, '..'), { recursive: true });
    writeFileSync(join(path, file), 'x');
  }
  return path;
}

describe('the directory to restore to', () => {
  it('may be absent, or empty, or the root of a new file system', () => {
    requireEmptyDirectory(join(root, 'absent', 'deeper'), 'the directory');
    requireEmptyDirectory(directory('empty'), 'the directory');
    requireEmptyDirectory(directory('new', ['lost+found/x']), 'the directory');
  });

  const refused: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['used', ['notes.txt'], /is not empty$/],
    ['cluster', ['PG_VERSION', 'global/pg_control'], /it holds a PostgreSQL cluster/],
    ['half', ['PG_VERSION', 'base/5/1259'], /it holds a restore that was not finished/],
  ];
  for (const [name, files, expected] of refused) {
    it(`must not hold anything: ${name}`, () => {
      const path = directory(name, files);
      assert.throws(
        () => requireEmptyDirectory(path, 'the directory'),
        (error) => hasCode(error, 'target-not-empty') && expected.test(error.message),
      );
    });
  }

  it('must not be a file', () => {
    const path = join(directory('with-file', ['file']), 'file');
    assert.throws(
      () => requireEmptyDirectory(path, 'the directory'),
      (error) => hasCode(error, 'target-not-empty') && /is a file/.test(error.message),
    );
  });
});

describe('where tablespaces go', () => {
  const backup = backupRecord('b', {
    tablespaces: [
      { oid: 16_384, path: '/mnt/fast', name: 'fast' },
      { oid: 16_385, path: '/mnt/slow', name: 'slow' },
    ],
  });
  const mapping = (error: unknown): boolean => hasCode(error, 'tablespace-mapping');

  it('is where they were', () => {
    assert.deepEqual(
      [...mapTablespaces(backup, [])],
      [
        [16_384, '/mnt/fast'],
        [16_385, '/mnt/slow'],
      ],
    );
  });

  for (const from of ['fast', '16384', '/mnt/fast', '/mnt/fast/']) {
    it(`or where the command line says, by "${from}"`, () => {
      assert.equal(mapTablespaces(backup, [`${from}=/new=place`]).get(16_384), '/new=place');
    });
  }

  for (const wrong of ['fast', '=/new', 'fast=', 'faster=/new', '/mnt=/new']) {
    it(`but not "${wrong}"`, () => {
      assert.throws(() => mapTablespaces(backup, [wrong]), mapping);
    });
  }

  for (const place of ['/mnt/slow', '/mnt/slow/below', '/mnt']) {
    it(`and not two in one place: fast at ${place}`, () => {
      assert.throws(() => mapTablespaces(backup, [`fast=${place}`]), mapping);
    });
  }

  it('is not trusted to the record: a path that is not absolute is refused', () => {
    const hostile = backupRecord('b', { tablespaces: [{ oid: 16_384, path: '../../etc', name: 'fast' }] });
    assert.throws(() => mapTablespaces(hostile, []), mapping);
  });

  it('is neither within the data directory nor around it, nor in use', () => {
    const places = (path: string): Map<number, string> => new Map([[16_384, path]]);
    for (const path of ['/data/pg', '/data/pg/ts', '/data', '/']) {
      assert.throws(() => requireEmptyTablespaces(places(path), '/data/pg'), mapping, path);
    }
    assert.throws(() => requireEmptyTablespaces(places(directory('in-use', ['x'])), '/data/pg'), mapping);
    requireEmptyTablespaces(places('/data/pg2'), '/data/pg');
    requireEmptyTablespaces(places(join(root, 'nothing-there')), '/data/pg');
  });
});
