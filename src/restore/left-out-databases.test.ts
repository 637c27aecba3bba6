import assert from 'node:assert/strict';
import { mkdirSync, mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { findLeftOut, keptFilesInLog, leftOutNote } from './left-out-databases.ts';

describe('databases that were left out', () => {
  it('are known by their empty PG_VERSION, wherever their files lie', () => {
    using directory = mkdtempDisposableSync(join(tmpdir(), 'pgr-left-out-'));
    const put = (path: string, content: string): void => {
      mkdirSync(dirname(join(directory.path, path)), { recursive: true });
      writeFileSync(join(directory.path, path), content);
    };
    assert.deepEqual(findLeftOut(directory.path), []);
    put('base/1/PG_VERSION', '15\n');
    put('base/16390/PG_VERSION', '\0\0\0');
    put('base/16391/PG_VERSION', '');
    put('base/16392/1259', 'being made');
    put('base/pgsql_tmp/PG_VERSION', '\0\0\0');
    put('pg_tblspc/16400/PG_15_202209061/16389/PG_VERSION', '\0\0\0');
    put('pg_tblspc/16400/PG_15_202209061/16390/16500', 'no database of its own');
    put('pg_tblspc/16400/lost+found/16395/PG_VERSION', '\0\0\0');
    assert.deepEqual(findLeftOut(directory.path), [16_389, 16_390]);
  });

  it('are dropped by number, whatever their names say by then, and a name is no statement', () => {
    const note = leftOutNote([
      { oid: 16_390, name: 'wiki' },
      { oid: 16_391, name: 'x\nDROP DATABASE shop' },
    ]);
    assert.match(
      note,
      /^SELECT format\('DROP DATABASE %I WITH \(FORCE\)', datname\) FROM pg_database WHERE oid IN \(16390, 16391\) \\gexec$/m,
    );
    assert.match(note, /^--   16391  x DROP DATABASE shop$/m);
    assert.doesNotMatch(note, /^DROP/m);
  });

  it('are expected in the log of a recovery, others are not', () => {
    const log = `WARNING:  page 58 of relation pg_tblspc/16384/PG_15_202209061/16387/16466 is uninitialized
WARNING:  page 5 of relation base/16390/16435_vm does not exist
LOG:  could not stat file "base/pgsql_tmp/16390/x"
WARNING:  page 5 of relation base/5/1259 is uninitialized
경고:  페이지 7 릴레이션 pg_tblspc/16384/PG_15_202209061/16388/2619_fsm
WARNING:  page 1 of relation global/1260 is uninitialized
WARNING:  page 2 of relation base/5/1259 is uninitialized
`;
    assert.deepEqual(keptFilesInLog(log, [16_387, 16_390]), [
      'base/5/1259',
      'pg_tblspc/16384/PG_15_202209061/16388/2619_fsm',
      'global/1260',
    ]);
    assert.deepEqual(keptFilesInLog(log, [16_387, 16_390], 1), ['base/5/1259']);
  });
});
