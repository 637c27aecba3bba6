import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { CopyItem, Copying } from '../../src/backup/copy-items.ts';
import { copyInThreads } from '../../src/backup/copying.ts';
import { readControlFile } from '../../src/backup/read-control-file.ts';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { hasCode } from '../../src/errors/pgrecall-error.ts';
import type { Lsn } from '../../src/postgres/lsn.ts';
import { BackupRig, checkWith } from '../support/backup-rig.ts';
import { backUpCold, crash, putToRest, type ColdChanges } from '../support/cold-rig.ts';
import { majors, TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { giveToServer } from '../support/server-user.ts';

/** Copies as ever, and does something once the first batch is copied. */
function meanwhile(rig: BackupRig, act: () => Promise<void>): NonNullable<ColdChanges['copying']> {
  return (startLsn: Lsn): Copying => {
    const access = rig.repository.access({ kind: 'local', directory: rig.repositoryDirectory });
    const inner = copyInThreads(access, 'main', startLsn, 1);
    let acted: Promise<void> | undefined;
    return {
      ...inner,
      copy: async (items: readonly CopyItem[]) => {
        const result = await inner.copy(items);
        acted ??= act();
        await acted;
        return result;
      },
    };
  };
}

async function refused(work: Promise<unknown>, code: ErrorCode, pattern: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(hasCode(error, code), String(error));
    assert.match(error.message, pattern);
    return true;
  });
}

/** Nothing is listed, and no pack is left. */
async function nothingIn(rig: BackupRig): Promise<void> {
  assert.deepEqual(await rig.clusterRepository.listBackups(), []);
  assert.deepEqual(await rig.clusterRepository.listPacks(), []);
}

async function fill(rig: BackupRig): Promise<void> {
  await using session = await rig.cluster.session();
  await session.query('CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i');
}

async function rowsIn(server: TestCluster): Promise<number> {
  await using session = await server.session();
  const [row] = await session.query<{ count: number }>('SELECT count(*)::int FROM t');
  return row?.count ?? -1;
}

for (const major of majors) {
  describe(`a cold backup of a standby of PostgreSQL ${major}`, () => {
    for (const end of ['stopped', 'crashed'] as const) {
      it(`that was ${end} is recovered on a timeline of its own, and follows the primary’s archive`, async () => {
        await using rig = await BackupRig.create({ major, walSegmentMiB: 1 });
        await fill(rig);
        await using standby = await TestCluster.standbyOf(rig.cluster);
        await using session = await rig.cluster.session();
        await session.query('INSERT INTO t SELECT i FROM generate_series(1001, 1100) i');
        await eventually('the standby has it', async () => (await rowsIn(standby)) === 1100);
        if (end === 'stopped') await putToRest(standby);
        else await crash(standby);
        const record = await backUpCold(rig, { dataDirectory: standby.dataDirectory });
        assert.equal(record.fromStandby, true);
        assert.equal(record.warnings.length, end === 'stopped' ? 0 : 1);

        const early = await rig.plan({ targetImmediate: true });
        assert.equal(early.startsAsItWas, undefined);
        const first = await rig.restore(early);
        checkWith(major, 'pg_verifybackup', [first]);
        const one = await rig.start(first);
        await eventually('it is promoted', () => !existsSync(join(first, 'recovery.signal')));
        assert.ok((await rowsIn(one)) >= 1000);
        await eventually('its timeline is its own', () => readControlFile(first).control.timeline === 2);

        await session.query('INSERT INTO t SELECT i FROM generate_series(1101, 1200) i');
        await rig.archiveAll();
        const second = await rig.restore(await rig.plan({}));
        const server = await rig.start(second);
        await eventually('it is promoted', () => !existsSync(join(second, 'recovery.signal')));
        assert.equal(await rowsIn(server), 1200);
      });
    }
  });

  describe(`a cluster of PostgreSQL ${major} with wal_level = minimal`, () => {
    it('is backed up cold, stopped or crashed, and started as it was', async () => {
      await using rig = await BackupRig.create({
        major,
        settings: { wal_level: 'minimal', max_wal_senders: '0', archive_mode: 'off' },
      });
      await fill(rig);
      for (const end of [putToRest, crash]) {
        await end(rig.cluster);
        const record = await backUpCold(rig);
        assert.equal(record.walLevel, 'minimal');
        const plan = await rig.plan({}, record);
        assert.equal(plan.startsAsItWas, true);
        const server = await rig.start(await rig.restore(plan));
        assert.equal(await rowsIn(server), 1000);
        await refused(rig.plan({ targetXid: '700' }, record), 'target-unreachable', /wal_level = minimal/);
        await rig.cluster.start();
      }
    });
  });
}

describe('a cold backup', () => {
  it('is refused while the server runs, and fails where one is started meanwhile, whatever becomes of it', async () => {
    await using rig = await BackupRig.create({ major: 15 });
    await fill(rig);
    await refused(backUpCold(rig), 'server-running', /a server runs on/);
    await putToRest(rig.cluster);
    const started = backUpCold(rig, { copying: meanwhile(rig, async () => rig.cluster.start()) });
    await refused(started, 'server-running', /a server runs on/);
    await nothingIn(rig);
    await putToRest(rig.cluster);
    const restarted = meanwhile(rig, async () => {
      await rig.cluster.start();
      await putToRest(rig.cluster);
    });
    await refused(backUpCold(rig, { copying: restarted }), 'server-changed', /a server was started/);
    await nothingIn(rig);
    // One that ends before it has changed anything.
    const failed = meanwhile(rig, async () => {
      const { programs, dataDirectory } = rig.cluster;
      assert.throws(() =>
        execFileSync(
          'setpriv',
          [
            '--reuid=postgres',
            '--regid=postgres',
            '--clear-groups',
            programs.postgres,
            '-D',
            dataDirectory,
            '-c',
            'port=0',
          ],
          { stdio: 'pipe', cwd: dataDirectory },
        ),
      );
      writeFileSync(join(dataDirectory, 'postmaster.opts'), 'started\n');
    });
    await refused(backUpCold(rig, { copying: failed }), 'server-changed', /a server was started/);
    await nothingIn(rig);
    assert.equal((await backUpCold(rig)).temperature, 'cold');
  });

  it('of another cluster is none of this one', async () => {
    await using rig = await BackupRig.create({ major: 15 });
    await using other = await TestCluster.create({ major: 15 });
    await putToRest(other);
    await refused(backUpCold(rig, { dataDirectory: other.dataDirectory }), 'cluster-mismatch', /system identifier/);
    await refused(backUpCold(rig, { dataDirectory: rig.directory }), 'data-directory', /cannot read/);
  });

  it('is not taken of what lacks the WAL that it needs', async () => {
    await using rig = await BackupRig.create({ major: 18, walSegmentMiB: 1, settings: { archive_mode: 'off' } });
    await fill(rig);
    const wal = join(rig.cluster.dataDirectory, 'pg_wal');
    const segments = (): string[] => readdirSync(wal).filter((name) => /^[0-9A-F]{24}$/.test(name));
    await putToRest(rig.cluster);
    const { control } = readControlFile(rig.cluster.dataDirectory);
    const away = segments().map((name) => [join(wal, name), join(rig.directory, name)] as const);
    for (const [here, there] of away) renameSync(here, there);
    await refused(backUpCold(rig), 'wal-gap', /is missing in pg_wal or damaged/);
    for (const [here, there] of away) renameSync(there, here);
    // The checkpoint’s record itself.
    const offset = Number(control.checkpointLsn % 1_048_576n);
    const name = segments().find(
      (one) => readFileSync(join(wal, one)).readBigUInt64LE(8) === control.checkpointLsn - BigInt(offset),
    );
    const path = join(wal, name ?? '');
    const bytes = readFileSync(path);
    writeFileSync(path, Buffer.from(bytes).fill(0xff, offset + 40, offset + 48));
    await refused(backUpCold(rig), 'wal-gap', /cannot be read at/);
    writeFileSync(path, bytes);
    await backUpCold(rig);

    await rig.cluster.start();
    {
      await using session = await rig.cluster.session();
      await session.query('CHECKPOINT');
      await session.query('CREATE TABLE u AS SELECT i FROM generate_series(1, 100000) i');
    }
    await crash(rig.cluster);
    const crashed = readControlFile(rig.cluster.dataDirectory).control;
    const redoOffset = Number(crashed.redoLsn % 1_048_576n);
    const redo = segments().find(
      (one) => readFileSync(join(wal, one)).readBigUInt64LE(8) === crashed.redoLsn - BigInt(redoOffset),
    );
    const whole = readFileSync(join(wal, redo ?? ''));
    writeFileSync(join(wal, redo ?? ''), Buffer.from(whole).fill(0xff, redoOffset + 4, redoOffset + 8));
    await refused(backUpCold(rig), 'wal-gap', /cannot be read at/);
    writeFileSync(join(wal, redo ?? ''), whole);
    const record = await backUpCold(rig);
    const server = await rig.start(await rig.restore(await rig.plan({}, record)));
    await using session = await server.session();
    assert.deepEqual(await session.query('SELECT count(*)::int FROM u'), [{ count: 100_000 }]);
  });

  it('is not taken of what was restored and never started', async () => {
    await using rig = await BackupRig.create({ major: 16 });
    await fill(rig);
    await rig.backUp();
    const directory = await rig.restore(await rig.plan({}));
    await refused(backUpCold(rig, { dataDirectory: directory }), 'data-directory', /backup_label/);
  });

  it('keeps the history of its timeline', async () => {
    await using rig = await BackupRig.create({ major: 17, settings: { archive_mode: 'off' } });
    await fill(rig);
    await putToRest(rig.cluster);
    const { dataDirectory } = rig.cluster;
    writeFileSync(join(dataDirectory, 'recovery.signal'), '');
    rig.cluster.configure({ restore_command: 'false' });
    giveToServer(join(dataDirectory, 'recovery.signal'));
    await rig.cluster.start();
    await eventually('it is promoted', () => !existsSync(join(dataDirectory, 'recovery.signal')));
    await putToRest(rig.cluster);
    const record = await backUpCold(rig);
    assert.equal(record.timeline, 2);
    assert.ok(await rig.store.getHistory('00000002.history'));
    const server = await rig.start(await rig.restore(await rig.plan({})));
    assert.equal(await rowsIn(server), 1000);
  });

  it('does not mix the WAL of two lives of a cluster on one timeline', async () => {
    await using rig = await BackupRig.create({
      major: 15,
      settings: { wal_level: 'minimal', max_wal_senders: '0', archive_mode: 'off' },
    });
    await fill(rig);
    await putToRest(rig.cluster);
    const first = await backUpCold(rig);
    await rig.cluster.start();
    {
      await using session = await rig.cluster.session();
      await session.query('INSERT INTO t SELECT i FROM generate_series(1, 500) i');
    }
    await putToRest(rig.cluster);
    const second = await backUpCold(rig);
    assert.equal(second.stopSegment, first.stopSegment);

    // Brought back to the first; wal_level = minimal leaves it no timeline of its own.
    const dataDirectory = await rig.restore(await rig.plan({}, first));
    const server = await rig.start(dataDirectory);
    {
      await using session = await server.session();
      await session.query('INSERT INTO t SELECT i FROM generate_series(1, 100) i');
    }
    await putToRest(server);
    await refused(backUpCold(rig, { dataDirectory }), 'wal-other-content', /archived with other content/);
    await server.start();
    {
      await using session = await server.session();
      await session.query('SELECT pg_switch_wal()');
    }
    await putToRest(server);
    const third = await backUpCold(rig, { dataDirectory });
    for (const [record, rows] of [
      [first, 1000],
      [second, 1500],
      [third, 1100],
    ] as const) {
      const restored = await rig.start(await rig.restore(await rig.plan({}, record)));
      assert.equal(await rowsIn(restored), rows, record.id);
    }
  });
});
