import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { backupRecord } from '../../test/support/test-repository.ts';
import { databaseOf, selectDatabases } from './selected-databases.ts';

const databases = [
  { oid: 1, name: 'template1' },
  { oid: 13_760, name: 'renamed by the administrator' },
  { oid: 16_390, name: 'shop' },
  { oid: 16_400, name: 'postgres' },
  { oid: 16_410, name: 'wiki' },
  { oid: 16_420, name: 'template0' },
];
const backup = backupRecord('b', { databases });

function namesOf(some: readonly { readonly name: string }[]): string[] {
  return some.map(({ name }) => name);
}

describe('restoring some databases', () => {
  it('keeps those named, and those without which a cluster is none', () => {
    const { kept, leftOut } = selectDatabases(backup, ['shop']);
    assert.deepEqual(namesOf(kept), ['template1', 'renamed by the administrator', 'shop', 'postgres', 'template0']);
    assert.deepEqual(namesOf(leftOut), ['wiki']);
    assert.deepEqual(namesOf(selectDatabases(backup, ['wiki', 'shop']).leftOut), []);
    assert.deepEqual(namesOf(selectDatabases(backup, ['template1']).leftOut), ['shop', 'wiki']);
  });

  it('refuses a name that the backup does not have, and says which it has', () => {
    assert.throws(
      () => selectDatabases(backup, ['shop', 'Shop', 'blog']),
      (error) => {
        assert.ok(error instanceof PgrecallError && error.code === 'database-unknown');
        assert.match(error.message, /has no database "Shop", "blog"$/);
        assert.match(error.hint ?? '', /databases of this backup: template1, renamed by the administrator, shop, /);
        return true;
      },
    );
  });

  it('refuses where the record does not say which databases there are', () => {
    assert.throws(() => selectDatabases(backupRecord('b'), ['shop']), /does not say which databases/);
  });
});

describe('the database of a file', () => {
  for (const [path, expected] of [
    ['base/16390/1259', 16_390],
    ['base/16390/PG_VERSION', 16_390],
    ['base/16390/pg_filenode.map', 16_390],
    ['pg_tblspc/16500/PG_15_202209061/16390/16501_fsm.1', 16_390],
    ['base/16390', undefined],
    ['base/pgsql_tmp/16390/x', undefined],
    ['global/1260', undefined],
    ['pg_tblspc/16500/PG_15_202209061/PG_VERSION', undefined],
    ['base/016390/1259', undefined],
    ['old/base/16390/1259', undefined],
  ] as const) {
    it(`of "${path}" is ${expected ?? 'none'}`, () => assert.equal(databaseOf(path), expected));
  }
});
