import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isRelationDirectory, isTemporaryRelation, ruleFor, type PathRule } from './data-directory-rules.ts';

type Kind = 'file' | 'directory' | 'symlink';

/*
 * After excludeDirContents, excludeFiles and sendDir of PostgreSQL's basebackup.c: src/backend/replication/basebackup.c
 * up to 14, src/backend/backup/basebackup.c since 15. The lists are the same in all five versions.
 */
const rules: readonly (readonly [string, Kind, PathRule])[] = [
  // what a cluster is made of
  ['PG_VERSION', 'file', 'file'],
  ['postgresql.conf', 'file', 'file'],
  ['postgresql.auto.conf', 'file', 'file'],
  ['pg_hba.conf', 'file', 'file'],
  ['pg_ident.conf', 'file', 'file'],
  ['current_logfiles', 'file', 'file'],
  ['log', 'directory', 'directory'],
  ['log/postgresql-2026-11-25.log', 'file', 'file'],
  ['server.key', 'file', 'file'],
  ['conf.d', 'directory', 'directory'],
  ['conf.d/memory.conf', 'file', 'file'],
  ['base', 'directory', 'directory'],
  ['base/5', 'directory', 'directory'],
  ['base/5/PG_VERSION', 'file', 'file'],
  ['base/5/1259', 'file', 'file'],
  ['base/5/1259_fsm', 'file', 'file'],
  ['base/5/pg_filenode.map', 'file', 'file'],
  ['global', 'directory', 'directory'],
  ['global/1260', 'file', 'file'],
  ['global/pg_filenode.map', 'file', 'file'],
  ['pg_commit_ts/0000', 'file', 'file'],
  ['pg_logical', 'directory', 'directory'],
  ['pg_logical/replorigin_checkpoint', 'file', 'file'],
  ['pg_multixact/members/0000', 'file', 'file'],
  ['pg_multixact/offsets/0000', 'file', 'file'],
  ['pg_stat', 'directory', 'directory'],
  ['pg_stat/pgstat.stat', 'file', 'file'],
  ['pg_twophase/000002D5', 'file', 'file'],
  ['pg_xact/0000', 'file', 'file'],
  ['pg_tblspc', 'directory', 'directory'],
  ['pg_tblspc/16400/PG_15_202209061', 'directory', 'directory'],
  ['pg_tblspc/16400/PG_15_202209061/5', 'directory', 'directory'],
  ['pg_tblspc/16400/PG_15_202209061/5/16401', 'file', 'file'],

  // copied last
  ['global/pg_control', 'file', 'control-file'],
  ['base/5/pg_control', 'file', 'file'],

  // made anew at the next start, or worth nothing elsewhere
  ['pg_wal', 'directory', 'empty-directory'],
  ['pg_wal', 'symlink', 'empty-directory'],
  ['pg_replslot', 'directory', 'empty-directory'],
  ['pg_dynshmem', 'directory', 'empty-directory'],
  ['pg_notify', 'directory', 'empty-directory'],
  ['pg_serial', 'directory', 'empty-directory'],
  ['pg_snapshots', 'directory', 'empty-directory'],
  ['pg_stat_tmp', 'directory', 'empty-directory'],
  ['pg_stat_tmp', 'symlink', 'empty-directory'],
  ['pg_subtrans', 'directory', 'empty-directory'],
  ['pg_wal/archive_status', 'directory', 'empty-directory'],
  ['pg_wal/summaries', 'directory', 'empty-directory'],
  ['pg_wal/000000010000000000000001', 'file', 'leave-out'],
  ['pg_wal/00000002.history', 'file', 'leave-out'],
  ['pg_wal/archive_status/000000010000000000000001.ready', 'file', 'leave-out'],
  ['pg_wal/summaries/0000000100000000010000280000000001016A48.summary', 'file', 'leave-out'],
  ['pg_wal/mine', 'directory', 'leave-out'],
  ['pg_replslot/standby', 'directory', 'leave-out'],
  ['pg_replslot/standby/state', 'file', 'leave-out'],
  ['pg_stat_tmp/pgss_query_texts.stat', 'file', 'leave-out'],
  ['pg_subtrans/0000', 'file', 'leave-out'],
  ['pg_notify/0000', 'file', 'leave-out'],

  // files of the running server
  ['postmaster.pid', 'file', 'leave-out'],
  ['postmaster.opts', 'file', 'leave-out'],
  ['postgresql.auto.conf.tmp', 'file', 'leave-out'],
  ['current_logfiles.tmp', 'file', 'leave-out'],
  // files of another backup, or of a recovery
  ['backup_label', 'file', 'leave-out'],
  ['tablespace_map', 'file', 'leave-out'],
  ['backup_manifest', 'file', 'leave-out'],
  ['recovery.signal', 'file', 'leave-out'],
  ['standby.signal', 'file', 'leave-out'],
  ['backup_label.old', 'file', 'file'],
  ['tablespace_map.old', 'file', 'file'],

  // caches of the catalog
  ['global/pg_internal.init', 'file', 'leave-out'],
  ['global/pg_internal.init.12345', 'file', 'leave-out'],
  ['base/5/pg_internal.init', 'file', 'leave-out'],
  ['pg_tblspc/16400/PG_15_202209061/5/pg_internal.init', 'file', 'leave-out'],

  // temporary files and relations
  ['base/pgsql_tmp', 'directory', 'leave-out'],
  ['base/pgsql_tmp/pgsql_tmp12345.0', 'file', 'leave-out'],
  ['pg_tblspc/16400/PG_15_202209061/pgsql_tmp', 'directory', 'leave-out'],
  ['pgsql_tmp', 'directory', 'leave-out'],
  ['base/5/t3_16384', 'file', 'leave-out'],
  ['base/5/t3_16384_fsm', 'file', 'leave-out'],
  ['base/5/t3_16384_vm.1', 'file', 'leave-out'],
  ['base/5/t128_16384.2', 'file', 'leave-out'],
  ['pg_tblspc/16400/PG_15_202209061/5/t3_16384', 'file', 'leave-out'],
  ['global/t3_16384', 'file', 'file'],
  ['base/t3_16384', 'file', 'file'],
  ['t3_16384', 'file', 'file'],

  // of macOS, which 18 leaves out
  ['.DS_Store', 'file', 'leave-out'],
  ['base/.DS_Store', 'file', 'leave-out'],

  // what the administrator keeps there with such a name, but elsewhere or of another kind
  ['mine/postmaster.pid', 'file', 'file'],
  ['mine/pg_wal', 'directory', 'directory'],
  ['mine/pg_wal/000000010000000000000001', 'file', 'file'],
  ['backup_label', 'directory', 'directory'],
  ['pg_stat_tmp', 'file', 'file'],
  ['pg_wal2', 'directory', 'directory'],
];

describe('what belongs into a base backup', () => {
  for (const wanted of ['file', 'directory', 'empty-directory', 'leave-out', 'control-file'] as const) {
    it(`is decided by the path: ${wanted}`, () => {
      const rows = rules.filter(([, , rule]) => rule === wanted);
      assert.ok(rows.length > 0);
      for (const [path, kind] of rows) assert.equal(ruleFor(path, kind), wanted, `${kind} ${path}`);
    });
  }
});

describe('a temporary relation', () => {
  it('is known by its name', () => {
    for (const name of [
      't3_16384',
      't0_1',
      't3_16384_fsm',
      't3_16384_vm',
      't3_16384_init',
      't3_16384.1',
      't3_16384_fsm.1',
    ]) {
      assert.equal(isTemporaryRelation(name), true, name);
    }
    for (const name of [
      't3',
      't_3',
      't3_',
      't3_x',
      'tx_3',
      't3_16384_',
      't3_16384_abc',
      't3_16384.',
      't3_16384.x',
      '16384',
      'T3_16384',
    ]) {
      assert.equal(isTemporaryRelation(name), false, name);
    }
  });
});

describe('a directory of relations', () => {
  it('is global, a database, or a database in a tablespace', () => {
    const is = (path: string) => isRelationDirectory(path.split('/'));
    for (const path of ['global', 'base/5', 'base/16400', 'pg_tblspc/16400/PG_18_202506291/5'])
      assert.ok(is(path), path);
    for (const path of [
      '',
      'base',
      'base/pgsql_tmp',
      'base/5/6',
      'global/5',
      'pg_tblspc',
      'pg_tblspc/16400',
      'pg_tblspc/16400/5',
      'pg_tblspc/16400/PG_18_202506291',
      'pg_xact',
    ]) {
      assert.equal(is(path), false, path);
    }
  });
});
