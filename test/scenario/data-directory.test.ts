import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { formatBackupLabel, parseBackupLabel } from '../../src/postgres/backup-label.ts';
import { decodeControlFile } from '../../src/postgres/control-file.ts';
import { formatLsn, parseLsn } from '../../src/postgres/lsn.ts';
import { formatSegmentName, segmentOf } from '../../src/postgres/segment-name.ts';
import { formatTablespaceMap, parseTablespaceMap } from '../../src/postgres/tablespace-map.ts';
import { formatHistory, parseHistory } from '../../src/postgres/timeline-history.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import { majors, TestCluster } from '../support/cluster.ts';
import { controlOnServer, controlPrinted, controlWords } from '../support/control-data.ts';
import { eventually } from '../support/eventually.ts';
import { fullPostgres } from '../support/full-postgres.ts';
import { giveToServer } from '../support/server-user.ts';

/*
 * The files of a data directory as real servers of all versions write them, on a primary, on its standby and after
 * promotions, beside what the servers, pg_controldata and pg_walfile_name say.
 */

const controlData = new Map([
  [15, '/usr/lib/postgresql/15/bin/pg_controldata'],
  [18, join(fullPostgres().binDirectory, 'pg_controldata')],
]);

interface BackupFiles {
  readonly startLsn: string;
  readonly label: string;
  readonly map: string;
}

async function backUp(session: SqlSession, label: string): Promise<BackupFiles> {
  const isOld = session.major < 15;
  const [started] = await session.query<{ at: string }>(
    `SELECT ${isOld ? 'pg_start_backup($1, true, false)' : 'pg_backup_start($1, true)'}::text AS at`,
    [label],
  );
  const [stopped] = await session.query<{ labelfile: string; spcmapfile: string }>(
    `SELECT labelfile, spcmapfile FROM ${isOld ? 'pg_stop_backup(false, false)' : 'pg_backup_stop(false)'}`,
  );
  return { startLsn: started?.at ?? '', label: stopped?.labelfile ?? '', map: stopped?.spcmapfile ?? '' };
}

/** Of the file as it is now; the server must not be running. */
function assertPrinted(major: number, dataDirectory: string, state: string): void {
  const control = decodeControlFile(readFileSync(join(dataDirectory, 'global/pg_control')));
  assert.equal(control.state, state);
  const program = controlData.get(major);
  if (program === undefined) return;
  const printed = controlPrinted(program, dataDirectory);
  assert.deepEqual(controlWords(control), printed.words);
  assert.deepEqual([control.state, control.walLevel], [printed.state, printed.walLevel]);
}

for (const [index, major] of majors.entries()) {
  const walSegmentMiB = [1, 16, 2, 4, 8][index] ?? 16;

  describe(`a data directory of PostgreSQL ${major} with WAL segments of ${walSegmentMiB} MiB`, () => {
    let primary: TestCluster;
    let standby: TestCluster;
    let session: SqlSession;
    before(async () => {
      const settings = { wal_level: 'logical', max_wal_size: '1GB' };
      primary = await TestCluster.create({ major, walSegmentMiB, settings, dataChecksums: index % 2 === 0 });
      session = await primary.session();
      await session.query('CREATE TABLE kept AS SELECT i FROM generate_series(1, 1000) AS i');
      for (const [at, name] of ['plain', 'sp ace', 'back\\slash', 'line\nbreak'].entries()) {
        const directory = join(primary.socketDirectory, name);
        mkdirSync(directory);
        giveToServer(directory);
        await session.query(`CREATE TABLESPACE space_${at} LOCATION '${directory}'`);
      }
    });
    after(async () => {
      await session.close();
      await standby?.[Symbol.asyncDispose]();
      await primary[Symbol.asyncDispose]();
    });

    it('has a pg_control that says what the server says', async () => {
      await session.query('CHECKPOINT');
      const { words, bytes } = await controlOnServer(session, primary.dataDirectory);
      const control = decodeControlFile(bytes);
      assert.deepEqual(controlWords(control), words);
      assert.deepEqual([control.postgresMajor, control.state, control.walLevel], [major, 'in production', 'logical']);
      const [file] = await session.query<{ name: string }>('SELECT redo_wal_file AS name FROM pg_control_checkpoint()');
      const number = segmentOf(control.redoLsn, control.segmentBytes);
      assert.equal(formatSegmentName({ timeline: control.timeline, number }, control.segmentBytes), file?.name);
      assert.equal(control.segmentBytes, walSegmentMiB * 1_048_576);
      assert.equal(control.dataChecksums, index % 2 === 0);
    });

    it('gets a backup_label and a tablespace_map from the server, which are read and written alike', async () => {
      const files = await backUp(session, 'before the "upgrade": 이전');
      const label = parseBackupLabel(files.label);
      assert.equal(formatBackupLabel(label), files.label);
      assert.equal(label.label, 'before the "upgrade": 이전');
      assert.deepEqual([label.from, label.method, label.startTimeline], ['primary', 'streamed', 1]);
      assert.equal(label.startLsn, parseLsn(files.startLsn));
      const [server] = await session.query<{ file: string; checkpoint: string; redo: string }>(
        'SELECT redo_wal_file AS file, checkpoint_lsn::text AS checkpoint, redo_lsn::text AS redo FROM pg_control_checkpoint()',
      );
      assert.deepEqual(
        { file: label.startSegment, checkpoint: formatLsn(label.checkpointLsn), redo: formatLsn(label.startLsn) },
        server,
      );
      const spaces = await session.query<{ oid: string; path: string }>(
        "SELECT oid::text, pg_tablespace_location(oid) AS path FROM pg_tablespace WHERE spcname LIKE 'space%' ORDER BY path",
      );
      const map = parseTablespaceMap(files.map);
      assert.equal(formatTablespaceMap(map), files.map);
      assert.deepEqual(
        map.map(({ oid, path }) => ({ oid: String(oid), path })).toSorted((a, b) => (a.path < b.path ? -1 : 1)),
        spaces.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
      );
      assert.equal(map.length, 4);
    });

    it('names segments as the server does', async () => {
      const segmentBytes = walSegmentMiB * 1_048_576;
      const positions = ['0/2000028', '0/FFFFFFFF', '1/1', '16/B374D848', 'FF/12345678', '7FFFFFFF/FFFFFFFF'];
      const rows = await session.query<{ at: string; name: string }>(
        'SELECT at, pg_walfile_name(at::pg_lsn) AS name FROM unnest($1::text[]) AS at',
        [positions],
      );
      assert.equal(rows.length, positions.length);
      for (const { at, name } of rows) {
        const number = segmentOf(parseLsn(at), segmentBytes);
        assert.equal(formatSegmentName({ timeline: timeline(1), number }, segmentBytes), name, at);
      }
    });

    it('of a standby has a pg_control and a backup_label that say so', async () => {
      // a standby in its tests is made without these, whose names its tar would need
      for (const at of [0, 1, 2, 3]) await session.query(`DROP TABLESPACE space_${at}`);
      standby = await TestCluster.standbyOf(primary);
      await session.query('INSERT INTO kept SELECT i FROM generate_series(1, 5000) AS i');
      await session.query('CHECKPOINT');
      await using other = await standby.session();
      const [to] = await session.query<{ at: string }>('SELECT pg_current_wal_lsn()::text AS at');
      await eventually('the standby has replayed it', async () => {
        const [row] = await other.query<{ done: boolean }>('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS done', [
          to?.at,
        ]);
        return row?.done === true;
      });
      await other.query('CHECKPOINT');
      const { words, bytes } = await controlOnServer(other, standby.dataDirectory);
      const control = decodeControlFile(bytes);
      assert.deepEqual(controlWords(control), words);
      assert.equal(control.state, 'in archive recovery');
      assert.ok(control.minRecoveryLsn > 0n);
      const { label } = await backUp(other, 'of the standby');
      assert.equal(parseBackupLabel(label).from, 'standby');
      assert.equal(formatBackupLabel(parseBackupLabel(label)), label);
    });

    it('of a standby that is promoted has a history file, and that of its own standby one more line', async () => {
      await using other = await standby.session();
      await other.query('SELECT pg_promote()');
      const histories: string[] = [];
      const second = await TestCluster.standbyOf(standby, {
        recovery_target_name: 'before the purge',
        recovery_target_action: 'promote',
      });
      try {
        const [point] = await other.query<{ at: string }>(
          "SELECT pg_create_restore_point('before the purge')::text AS at",
        );
        await using third = await second.session();
        await eventually('the second standby has promoted itself', async () => {
          const [row] = await third.query<{ yes: boolean }>('SELECT NOT pg_is_in_recovery() AS yes');
          return row?.yes === true;
        });
        for (const [server, of] of [
          [standby, 2],
          [second, 3],
        ] as const) {
          histories.push(readFileSync(join(server.dataDirectory, 'pg_wal', `0000000${of}.history`), 'utf8'));
        }
        const history = parseHistory(histories[1] ?? '', timeline(3));
        assert.deepEqual(history.parents[0], parseHistory(histories[0] ?? '', timeline(2)).parents[0]);
        assert.deepEqual(
          history.parents.map(({ timeline: of, reason }) => [of, reason]),
          [
            [1, 'no recovery target specified'],
            [2, 'at restore point "before the purge"'],
          ],
        );
        assert.equal(formatLsn(history.parents[1]?.switchLsn ?? parseLsn('0/0')), point?.at);
        // the server leaves empty lines between
        assert.equal(formatHistory(history), (histories[1] ?? '').replaceAll(/^\n/gm, ''));
        const { words, bytes } = await controlOnServer(third, second.dataDirectory);
        assert.deepEqual(controlWords(decodeControlFile(bytes)), words);
      } finally {
        await second[Symbol.asyncDispose]();
      }
    });

    it('that lies still is as pg_controldata prints it: shut down, after a crash, after a standby stopped', async () => {
      const crashed = await TestCluster.standbyOf(primary);
      await crashed.stop();
      assertPrinted(major, crashed.dataDirectory, 'shut down in recovery');
      await crashed[Symbol.asyncDispose]();
      await session.close();
      await primary.stop('immediate');
      assertPrinted(major, primary.dataDirectory, 'in production');
      await primary.start();
      await primary.stop();
      assertPrinted(major, primary.dataDirectory, 'shut down');
      await standby.stop();
      assertPrinted(major, standby.dataDirectory, 'shut down');
    });
  });
}
