import assert from 'node:assert/strict';
import { existsSync, lstatSync, mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { backupServer } from '../../src/backup/backup-server.ts';
import { copyInThreads } from '../../src/backup/copying.ts';
import type { Copying } from '../../src/backup/copy-items.ts';
import { readControlFile } from '../../src/backup/read-control-file.ts';
import { hasCode } from '../../src/errors/pgrecall-error.ts';
import type { Lsn } from '../../src/postgres/lsn.ts';
import { waitForRecovery } from '../../src/restore/watch-recovery.ts';
import { requireUnusedReplayed } from '../../src/restore/target-directory.ts';
import { BackupRig, checkWith, type BackupChanges } from '../support/backup-rig.ts';
import { majors, TestCluster } from '../support/cluster.ts';
import { giveToServer } from '../support/server-user.ts';

/** Copies as ever, and does something once the first batch is copied. */
function meanwhile(rig: BackupRig, act: () => Promise<void>): NonNullable<BackupChanges['copying']> {
  return (startLsn: Lsn): Copying => {
    const access = rig.repository.access({ kind: 'local', directory: rig.repositoryDirectory });
    const inner = copyInThreads(access, 'main', startLsn, 1);
    let acted: Promise<void> | undefined;
    return {
      ...inner,
      copy: async (items) => {
        const result = await inner.copy(items);
        acted ??= act();
        await acted;
        return result;
      },
    };
  };
}

/** Starts what was restored, waits until it is open for work, and asks it. */
async function ask<T extends object>(rig: BackupRig, directory: string, sql: string): Promise<T[]> {
  const cluster = await rig.start(directory);
  await waitForRecovery(
    {
      uri: cluster.uri(),
      isRunning: () => cluster.isRunning(),
      control: () => readControlFile(directory).control,
      logTail: () => cluster.log(),
    },
    {
      until: 'promoted',
      timeoutMs: 60_000,
      now: () => new Date(),
      onState: () => undefined,
      signal: AbortSignal.timeout(60_000),
    },
  );
  await using session = await cluster.session();
  return await session.query<T>(sql);
}

for (const major of majors) {
  describe(`a standby of PostgreSQL ${major}`, () => {
    it('is backed up instead of its primary, and followed no further than it has promised', async () => {
      await using rig = await BackupRig.create({ major, walSegmentMiB: 1 });
      await using session = await rig.cluster.session();
      await session.query('CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i');
      await using standby = await TestCluster.standbyOf(rig.cluster);
      await using onStandby = await standby.session();
      const caughtUp = async (): Promise<void> => {
        const [row] = await session.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
        for (;;) {
          const [here] = await onStandby.query<{ there: boolean }>(
            'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS there',
            [row?.lsn],
          );
          if (here?.there === true) return;
          await sleep(20);
        }
      };
      await session.query('CHECKPOINT');
      await caughtUp();
      const record = await rig.backUp({
        server: backupServer(onStandby),
        dataDirectory: standby.dataDirectory,
        copying: meanwhile(rig, async () => {
          await session.query('INSERT INTO t SELECT i FROM generate_series(1001, 1500) i');
          await caughtUp();
        }),
      });
      assert.equal(record.fromStandby, true);
      await session.query('INSERT INTO t SELECT i FROM generate_series(1501, 2000) i');
      await rig.archiveAll();
      const directory = await rig.restore(await rig.plan({}));
      checkWith(major, 'pg_verifybackup', [directory]);
      assert.deepEqual(await ask(rig, directory, 'SELECT count(*)::int FROM t'), [{ count: 2000 }]);

      // The primary's connection with the standby's directory would make a backup of neither.
      await session.query('SELECT pg_switch_wal()');
      await assert.rejects(rig.backUp({ dataDirectory: standby.dataDirectory }), (error) =>
        hasCode(error, 'data-directory'),
      );

      const promoted = rig.backUp({
        server: backupServer(onStandby),
        dataDirectory: standby.dataDirectory,
        copying: meanwhile(rig, async () => {
          await onStandby.query('SELECT pg_promote()');
        }),
      });
      await assert.rejects(promoted, (error) => hasCode(error, 'server-changed') && /promoted/.test(error.message));
      assert.deepEqual(
        (await rig.clusterRepository.listBackups()).map(({ id }) => id),
        [record.id],
      );
    });
  });
}

describe('a backup while the server', () => {
  for (const mode of ['fast', 'immediate'] as const) {
    it(`is restarted (${mode}) is none, and the next one is`, async () => {
      await using rig = await BackupRig.create({ major: 15 });
      const interrupted = rig.backUp({ copying: meanwhile(rig, async () => rig.cluster.restart(mode)) });
      await assert.rejects(interrupted, (error) => hasCode(error, 'server-changed'));
      assert.deepEqual(await rig.clusterRepository.listBackups(), []);
      assert.deepEqual(await rig.clusterRepository.listPacks(), []);
      const { id } = await rig.backUp();
      assert.deepEqual(
        (await rig.clusterRepository.listBackups()).map((record) => record.id),
        [id],
      );
    });
  }

  it('drops and makes databases and tablespaces is whole', async () => {
    await using rig = await BackupRig.create({ major: 17 });
    await using session = await rig.cluster.session();
    await session.query('CREATE DATABASE gone');
    const record = await rig.backUp({
      copying: meanwhile(rig, async () => {
        await session.query('DROP DATABASE gone');
        await session.query('CREATE DATABASE made STRATEGY file_copy');
        await session.query(`CREATE TABLESPACE late LOCATION '${rig.tablespace('late')}'`);
        await session.query('CREATE TABLE t TABLESPACE late AS SELECT i FROM generate_series(1, 100) i');
      }),
    });
    await rig.archiveAll();
    const plan = await rig.plan({});
    // The tablespace was made while files were copied: perhaps the copy has it, WAL has it for certain.
    const place = join(rig.directory, 'tablespaces', 'late');
    assert.deepEqual(
      plan.replayedTablespaces.map(({ path }) => path),
      [place],
    );
    assert.throws(
      () => requireUnusedReplayed(plan.replayedTablespaces),
      (error) => hasCode(error, 'tablespace-mapping') && /is in use/.test(error.message),
    );
    await rig.cluster.stop();
    renameSync(place, `${place}-of-the-lost-server`);
    requireUnusedReplayed(plan.replayedTablespaces);
    const mappings = record.tablespaces.map(({ oid }) => `${oid}=${rig.tablespace(`at-${oid}`)}`);
    const directory = await rig.restore(plan, { tablespaces: mappings });
    assert.deepEqual(
      await ask(
        rig,
        directory,
        "SELECT (SELECT count(*)::int FROM t), string_agg(datname, ',' ORDER BY datname) AS names FROM pg_database",
      ),
      [{ count: 100, names: 'made,postgres,template0,template1' }],
    );
  });
});

describe('a data directory', () => {
  it('with tablespaces in it and in place, and pg_wal elsewhere, is restored as plain directories', async () => {
    await using rig = await BackupRig.create({ major: 16, settings: { allow_in_place_tablespaces: 'on' } });
    await rig.cluster.stop();
    const wal = rig.tablespace('wal');
    renameSync(join(rig.cluster.dataDirectory, 'pg_wal'), join(wal, 'pg_wal'));
    symlinkSync(join(wal, 'pg_wal'), join(rig.cluster.dataDirectory, 'pg_wal'));
    await rig.cluster.start();
    await using session = await rig.cluster.session();
    const inside = join(rig.cluster.dataDirectory, 'inside');
    mkdirSync(inside, { mode: 0o700 });
    giveToServer(inside);
    await session.query(`CREATE TABLESPACE inside LOCATION '${inside}'`);
    await session.query("CREATE TABLESPACE in_place LOCATION ''");
    await session.query('CREATE TABLE a TABLESPACE inside AS SELECT i FROM generate_series(1, 1000) i');
    await session.query('CREATE TABLE b TABLESPACE in_place AS SELECT i FROM generate_series(1, 2000) i');
    const record = await rig.backUp();
    assert.deepEqual(
      record.tablespaces.map(({ name }) => name),
      ['inside'],
    );
    assert.match(record.warnings.join('\n'), /"pg_wal" is a symbolic link/);
    const directory = await rig.restore(await rig.plan({}), { tablespaces: [`inside=${rig.tablespace('outside')}`] });
    assert.ok(lstatSync(join(directory, 'pg_wal')).isDirectory());
    assert.ok(existsSync(join(directory, 'inside')));
    assert.deepEqual(
      await ask(rig, directory, 'SELECT (SELECT count(*)::int FROM a) AS a, (SELECT count(*)::int FROM b) AS b'),
      [{ a: 1000, b: 2000 }],
    );
  });

  it('in an encrypted repository comes back as it was', async () => {
    await using rig = await BackupRig.create({ major: 18, passphrase: 'correct horse battery staple' });
    await using session = await rig.cluster.session();
    await session.query('CREATE TABLE t AS SELECT i FROM generate_series(1, 3000) i');
    await rig.backUp();
    const directory = await rig.restore(await rig.plan({}));
    checkWith(18, 'pg_verifybackup', [directory]);
    assert.deepEqual(await ask(rig, directory, 'SELECT count(*)::int FROM t'), [{ count: 3000 }]);
  });

  it('with targets and standby settings of the administrator’s own recovers to the one that was asked for', async () => {
    await using rig = await BackupRig.create({ major: 15 });
    await using session = await rig.cluster.session();
    await session.query('CREATE TABLE t AS SELECT i FROM generate_series(1, 10) i');
    rig.cluster.configure({
      recovery_target_time: '2020-01-01 00:00:00+00',
      recovery_target_action: 'shutdown',
      recovery_min_apply_delay: '1h',
      archive_cleanup_command: `touch ${rig.directory}/spool/cleaned`,
    });
    await rig.backUp();
    const [row] = await session.query<{ xid: string }>(
      'INSERT INTO t VALUES (11) RETURNING pg_current_xact_id()::text AS xid',
    );
    await session.query('INSERT INTO t VALUES (12)');
    await rig.archiveAll();
    const plan = await rig.plan({ targetXid: row?.xid ?? '', targetAction: 'promote' });
    const directory = await rig.restore(plan);
    assert.deepEqual(await ask(rig, directory, 'SELECT count(*)::int FROM t'), [{ count: 11 }]);
    assert.ok(!existsSync(join(rig.directory, 'spool', 'cleaned')));
  });
});
