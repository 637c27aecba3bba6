import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isChecksummed, parseRelationPath, unloggedToLeaveOut, type RelationFile } from './relation-file.ts';

type Row = readonly [string, RelationFile['tablespaceOid'], number, number, RelationFile['fork'], number];

const relations: readonly Row[] = [
  ['base/5/1259', 1663, 5, 1259, 'main', 0],
  ['base/5/1259_fsm', 1663, 5, 1259, 'fsm', 0],
  ['base/5/1259_vm', 1663, 5, 1259, 'vm', 0],
  ['base/5/16384_init', 1663, 5, 16_384, 'init', 0],
  ['base/5/16384.1', 1663, 5, 16_384, 'main', 1],
  ['base/16400/16384_fsm.12', 1663, 16_400, 16_384, 'fsm', 12],
  ['base/1/4294967295', 1663, 1, 4_294_967_295, 'main', 0],
  ['global/1260', 1664, 0, 1260, 'main', 0],
  ['global/1260_vm', 1664, 0, 1260, 'vm', 0],
  ['pg_tblspc/16500/PG_15_202209061/5/16401', 16_500, 5, 16_401, 'main', 0],
  ['pg_tblspc/16500/PG_15_202209061/5/16401_init', 16_500, 5, 16_401, 'init', 0],
  ['pg_tblspc/16500/PG_15_202209061/16390/16401_vm.3', 16_500, 16_390, 16_401, 'vm', 3],
];

const others = [
  '',
  '1259',
  'base',
  'base/5',
  'base/1259',
  'base/5/PG_VERSION',
  'base/5/pg_filenode.map',
  'base/5/pg_internal.init',
  'base/5/t3_16384',
  'base/5/0',
  'base/5/01259',
  'base/5/1259_',
  'base/5/1259_xyz',
  'base/5/1259_fsm_vm',
  'base/5/1259.',
  'base/5/1259.0',
  'base/5/1259.01',
  'base/5/1259.1.1',
  'base/5/1259.1_fsm',
  'base/5/4294967296',
  'base/5/12345678901',
  'base/5/1259.4294967296',
  'base/5/1259\n',
  'base/5/-1',
  'base/5x/1259',
  'base/5/6/1259',
  'base/pgsql_tmp/1259',
  'global/pg_control',
  'global/5/1260',
  'pg_xact/0000',
  'pg_wal/000000010000000000000001',
  'pg_tblspc/16500',
  'pg_tblspc/16500/5/16401',
  'pg_tblspc/16500/PG_15_202209061/16401',
  'pg_tblspc/16500/PG_15_202209061/5/6/16401',
  'pg_tblspc/16500/other/5/16401',
  'mine/base/5/1259',
  './base/5/1259',
  '/base/5/1259',
];

describe('the path of a relation file', () => {
  it('tells tablespace, database, relation, fork and segment', () => {
    for (const [path, tablespaceOid, databaseOid, relfilenode, fork, segment] of relations) {
      assert.deepEqual(parseRelationPath(path), { tablespaceOid, databaseOid, relfilenode, fork, segment }, path);
      assert.equal(isChecksummed(path), true, path);
    }
  });

  it('is not seen in that of another file: these have no pages with checksums', () => {
    for (const path of others) {
      assert.equal(parseRelationPath(path), undefined, JSON.stringify(path));
      assert.equal(isChecksummed(path), false, JSON.stringify(path));
    }
  });
});

describe('unlogged relations', () => {
  it('are left out but for the fork that they are made anew from', () => {
    const logged = ['1259', '1259_fsm', '1259_vm', '1259.1', '16390', '16384x', 't3_16384', 'PG_VERSION'];
    const unlogged = ['16384', '16384.1', '16384.2', '16384_fsm', '16384_vm', '16385'];
    const kept = ['16384_init', '16385_init'];
    assert.deepEqual([...unloggedToLeaveOut([...logged, ...unlogged, ...kept])].toSorted(), unlogged.toSorted());
  });

  it('are only those with such a fork: another relation whose number begins alike stays', () => {
    assert.deepEqual([...unloggedToLeaveOut(['16384', '163840', '1638', '1638_init'])], ['1638']);
  });

  it('are none where there are none', () => {
    assert.equal(unloggedToLeaveOut([]).size, 0);
    assert.equal(unloggedToLeaveOut(['1259', '1259_fsm', '_init', '0_init', 'x_init']).size, 0);
  });
});
