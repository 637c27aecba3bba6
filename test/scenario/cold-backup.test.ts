import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readControlFile } from '../../src/backup/read-control-file.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import type { TargetOptions } from '../../src/restore/target.ts';
import { waitForRecovery } from '../../src/restore/watch-recovery.ts';
import { BackupRig, checkWith } from '../support/backup-rig.ts';
import { backUpCold, crash, putToRest } from '../support/cold-rig.ts';
import { majors, type TestCluster } from '../support/cluster.ts';

/** Restores, starts, waits; gives the server. */
async function recovered(
  rig: BackupRig,
  target: TargetOptions,
  options: { readonly named?: BackupRecord; readonly tablespaces?: readonly string[] } = {},
): Promise<{ readonly server: TestCluster; readonly directory: string; readonly asItWas: boolean }> {
  const plan = await rig.plan({ targetAction: 'promote', ...target }, options.named);
  const places = plan.backup.tablespaces.map(({ oid }) => `${oid}=${rig.tablespace(`${rig.restores}-${oid}`)}`);
  const directory = await rig.restore(plan, { tablespaces: options.tablespaces ?? places });
  assert.ok(!existsSync(join(directory, 'backup_label')));
  const asItWas = plan.startsAsItWas === true;
  assert.equal(existsSync(join(directory, 'recovery.signal')), !asItWas);
  checkWith(rig.cluster.major, 'pg_verifybackup', [directory]);
  const server = await rig.start(directory);
  await waitForRecovery(
    {
      uri: server.uri(),
      isRunning: () => server.isRunning(),
      control: () => readControlFile(directory).control,
      logTail: () => server.log(),
    },
    {
      until: 'promoted',
      timeoutMs: 60_000,
      now: () => new Date(),
      onState: () => undefined,
      signal: AbortSignal.timeout(60_000),
    },
  );
  return { server, directory, asItWas };
}

async function rowsIn(server: TestCluster, table = 't'): Promise<number> {
  await using session = await server.session();
  const [row] = await session.query<{ count: number }>(`SELECT count(*)::int FROM ${table}`);
  return row?.count ?? -1;
}

function timelineOf(directory: string): number {
  return readControlFile(directory).control.timeline;
}

for (const major of majors) {
  describe(`a cold backup of PostgreSQL ${major}`, () => {
    it('starts as the cluster was; and leads to every moment after it, once the server went on', async () => {
      await using rig = await BackupRig.create({ major, walSegmentMiB: 1 });
      let databases: readonly { readonly oid: number; readonly name: string }[];
      {
        await using session = await rig.cluster.session();
        await session.query(`CREATE TABLESPACE fast LOCATION '${rig.tablespace('fast')}'`);
        await session.query('CREATE TABLE t TABLESPACE fast AS SELECT i FROM generate_series(1, 1000) i');
        await session.query('CREATE UNLOGGED TABLE cache AS SELECT i FROM generate_series(1, 1000) i');
        for (const name of ['shop', 'gone', '상점']) await session.query(`CREATE DATABASE "${name}"`);
        await session.query('ALTER DATABASE shop RENAME TO store');
        await session.query('DROP DATABASE gone');
        await session.query('BEGIN');
        await session.query('ALTER DATABASE store RENAME TO other');
        await session.query('ROLLBACK');
        databases = await session.query(
          'SELECT oid::int8::float8 AS oid, datname AS name FROM pg_database ORDER BY oid',
        );
      }
      await putToRest(rig.cluster);
      const record = await backUpCold(rig);
      const { control } = readControlFile(rig.cluster.dataDirectory);
      assert.equal(record.temperature, 'cold');
      assert.equal(record.startLsn, record.checkpointLsn);
      assert.deepEqual([record.warnings, record.badPages, record.fromStandby], [[], [], false]);
      assert.deepEqual(
        record.tablespaces.map(({ path, name }) => [path, name]),
        [[join(rig.directory, 'tablespaces', 'fast'), 'fast']],
      );
      assert.deepEqual(record.databases, databases);

      const asItWas = await recovered(rig, {});
      assert.ok(asItWas.asItWas);
      assert.equal(await rowsIn(asItWas.server), 1000);
      assert.equal(await rowsIn(asItWas.server, 'cache'), 1000, 'unlogged relations survive a shutdown');
      assert.equal(timelineOf(asItWas.directory), control.timeline, 'it is the cluster that it was');

      await rig.cluster.start();
      await using session = await rig.cluster.session();
      await session.query('INSERT INTO t SELECT i FROM generate_series(1001, 1500) i');
      await session.query("SELECT pg_create_restore_point('half way')");
      const [place] = await session.query<{ lsn: string; at: string }>(
        'SELECT pg_current_wal_insert_lsn()::text AS lsn, clock_timestamp()::text AS at',
      );
      const [row] = await session.query<{ xid: string }>(
        'INSERT INTO t VALUES (1501) RETURNING pg_current_xact_id()::text AS xid',
      );
      await session.query('INSERT INTO t SELECT i FROM generate_series(1502, 2000) i');
      await rig.archiveAll();
      const targets: readonly (readonly [TargetOptions, number])[] = [
        [{}, 2000],
        [{ targetName: 'half way' }, 1500],
        [{ targetLsn: place?.lsn ?? '', targetExclusive: true }, 1500],
        [{ targetTime: place?.at ?? '' }, 1500],
        [{ targetXid: row?.xid ?? '' }, 1501],
        [{ targetImmediate: true }, 1000],
      ];
      for (const [target, expected] of targets) {
        const { server, directory, asItWas: without } = await recovered(rig, target);
        assert.equal(await rowsIn(server), expected, JSON.stringify(target));
        assert.equal(await rowsIn(server, 'cache'), 0);
        assert.ok(!without);
        assert.equal(timelineOf(directory), control.timeline + 1);
        await server.stop();
        checkWith(major, 'pg_checksums', ['--check', '--pgdata', directory]);
      }
    });

    it('of a server that crashed has the WAL that it needs, and says so', async () => {
      await using rig = await BackupRig.create({ major, walSegmentMiB: 1, settings: { max_wal_size: '64MB' } });
      {
        await using session = await rig.cluster.session();
        await session.query('CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i');
        await session.query('CHECKPOINT');
        // More than one segment, of which the last is not full.
        await session.query('INSERT INTO t SELECT i FROM generate_series(1001, 40000) i');
      }
      await crash(rig.cluster);
      const record = await backUpCold(rig);
      assert.match(record.warnings.join(), /was not shut down \(pg_control says "in production"\)/);
      assert.ok(record.startSegment < record.stopSegment);

      const asItWas = await recovered(rig, {});
      assert.ok(asItWas.asItWas);
      assert.equal(await rowsIn(asItWas.server), 40_000);

      // The server itself is started again, on the same timeline, in the same segment.
      await rig.cluster.start();
      await using session = await rig.cluster.session();
      await session.query('INSERT INTO t SELECT i FROM generate_series(40001, 41000) i');
      await session.query("SELECT pg_create_restore_point('after the crash')");
      await session.query('INSERT INTO t SELECT i FROM generate_series(41001, 42000) i');
      await rig.archiveAll();
      const targets: readonly (readonly [TargetOptions, number])[] = [
        [{ targetName: 'after the crash' }, 41_000],
        [{ targetImmediate: true }, 40_000],
        [{}, 42_000],
      ];
      for (const [target, expected] of targets) {
        const { server, asItWas: without } = await recovered(rig, target);
        assert.equal(await rowsIn(server), expected, JSON.stringify(target));
        assert.ok(!without);
      }
      assert.match(readFileSync(join(rig.cluster.dataDirectory, 'PG_VERSION'), 'utf8'), new RegExp(`^${major}`));
    });
  });
}
