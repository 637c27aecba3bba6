import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readControlFile } from '../../src/backup/read-control-file.ts';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import type { RestorePlan } from '../../src/restore/restore-plan.ts';
import type { TargetOptions } from '../../src/restore/target.ts';
import { resumeRecovery, stoppedWhere, waitForRecovery, type WatchedServer } from '../../src/restore/watch-recovery.ts';
import { isServerRunning } from '../../src/server/running.ts';
import { startServer } from '../../src/server/start-server.ts';
import { stopServer } from '../../src/server/stop-server.ts';
import { BackupRig, checkWith } from '../support/backup-rig.ts';
import { majors, type TestCluster } from '../support/cluster.ts';
import { Load } from '../support/load.ts';

/** A moment to come back to: everything that names it, and what the tables held. */
interface Moment {
  readonly at: string;
  readonly xid: string;
  readonly lsn: string;
  readonly content: string;
}

/** Commits a row and notes the moment: `lsn` is where the next record will start. */
async function commitAndNote(session: SqlSession, note: string): Promise<Moment> {
  const [row] = await session.query<{ xid: string }>(
    'INSERT INTO ledger (note) VALUES ($1) RETURNING pg_current_xact_id()::text AS xid',
    [note],
  );
  const [place] = await session.query<{ lsn: string; at: string }>(
    'SELECT pg_current_wal_insert_lsn()::text AS lsn, clock_timestamp()::text AS at',
  );
  return { at: place?.at ?? '', xid: row?.xid ?? '', lsn: place?.lsn ?? '', content: await contentOf(session) };
}

/** What the tables hold that the test writes to; those of the load differ with every run. */
async function contentOf(session: SqlSession): Promise<string> {
  const [row] = await session.query<{ content: string }>(
    `SELECT (SELECT md5(string_agg(note, ',' ORDER BY id)) || ' ' || count(*) FROM ledger) || ' ' ||
            (SELECT md5(string_agg(i || v, ',' ORDER BY i)) || ' ' || count(*) FROM spread) AS content`,
  );
  return row?.content ?? '';
}

/** The last notes of the ledger, in words. */
async function lastNote(session: SqlSession): Promise<string> {
  const [row] = await session.query<{ note: string }>('SELECT note FROM ledger ORDER BY id DESC LIMIT 1');
  return row?.note ?? '';
}

function watched(cluster: TestCluster): WatchedServer {
  return {
    uri: cluster.uri(),
    isRunning: () => cluster.isRunning(),
    control: () => readControlFile(cluster.dataDirectory).control,
    logTail: () => cluster.log(),
  };
}

const waiting = { timeoutMs: 60_000, now: () => new Date(), onState: () => undefined };

interface Prepared {
  readonly rig: BackupRig;
  readonly backup: BackupRecord;
  readonly moments: readonly [Moment, Moment, Moment];
}

/** A cluster with a tablespace, backed up under load; three moments after it, the second with a restore point. */
async function prepare(rig: BackupRig): Promise<Prepared> {
  await using session = await rig.cluster.session();
  await session.query(`CREATE TABLESPACE fast LOCATION '${rig.tablespace('fast')}'`);
  await session.query('CREATE TABLE ledger (id bigserial PRIMARY KEY, note text)');
  await session.query('CREATE TABLE spread (i int PRIMARY KEY, v text) TABLESPACE fast');
  await session.query('INSERT INTO spread SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 5000) i');
  await session.query('CREATE UNLOGGED TABLE cache AS SELECT i FROM generate_series(1, 1000) i');
  const load = await Load.start(rig.cluster);
  await commitAndNote(session, 'before the backup');
  const backup = await rig.backUp();
  const first = await commitAndNote(session, 'first');
  await sleep(20);
  const second = await commitAndNote(session, 'second');
  await session.query("SELECT pg_create_restore_point('the second moment')");
  await session.query('UPDATE spread SET v = v WHERE i % 7 = 0');
  await sleep(20);
  const third = await commitAndNote(session, 'third');
  await load.stop();
  await rig.archiveAll();
  return { rig, backup, moments: [first, second, third] };
}

for (const major of majors) {
  describe(`a hot backup of PostgreSQL ${major} under load`, () => {
    it('restores every target as PostgreSQL means it', async () => {
      await using rig = await BackupRig.create({ major, walSegmentMiB: 1, settings: { max_wal_size: '32MB' } });
      const prepared = await prepare(rig);
      const { backup, moments } = prepared;
      const [first, second, third] = moments;
      assert.deepEqual(backup.badPages, []);
      assert.deepEqual(
        backup.tablespaces.map(({ name }) => name),
        ['fast'],
      );

      const recovered = async (target: TargetOptions, note: string, content?: string): Promise<TestCluster> => {
        const plan = await rig.plan({ targetAction: 'pause', ...target });
        const cluster = await restoreAndStart(rig, plan);
        const state = await waitForRecovery(watched(cluster), {
          ...waiting,
          until: 'paused',
          signal: AbortSignal.timeout(60_000),
        });
        assert.equal(state.state, 'paused');
        await using session = await cluster.session();
        assert.equal(await lastNote(session), note, JSON.stringify(target));
        if (content !== undefined) assert.equal(await contentOf(session), content, JSON.stringify(target));
        await checkStop(session, plan);
        return cluster;
      };

      await recovered({ targetTime: second.at }, 'second', second.content);
      await recovered({ targetXid: second.xid }, 'second', second.content);
      await recovered({ targetXid: second.xid, targetExclusive: true }, 'first', first.content);
      await recovered({ targetLsn: second.lsn, targetExclusive: true }, 'second', second.content);
      await recovered({ targetLsn: third.lsn }, 'third');
      await recovered({ targetName: 'the second moment' }, 'second', second.content);
      const resumed = await recovered({ targetImmediate: true }, 'before the backup');
      const state = await resumeRecovery(watched(resumed), { ...waiting, signal: AbortSignal.timeout(60_000) });
      assert.deepEqual([state.state, state.timeline], ['promoted', 2]);

      await checkLatest(prepared);
      await checkShutdown(prepared);
    });
  });
}

/** Restores with the tablespace elsewhere, and checks the files before the server touches them. */
async function restoreAndStart(rig: BackupRig, plan: RestorePlan): Promise<TestCluster> {
  const place = rig.tablespace(`restored-${rig.restores}`);
  const directory = await rig.restore(plan, { tablespaces: [`fast=${place}`] });
  const { major } = rig.cluster;
  checkWith(major, 'pg_verifybackup', [directory]);
  return rig.start(directory);
}

/** Replay went exactly as far as the plan said it would. */
async function checkStop(session: SqlSession, plan: RestorePlan): Promise<void> {
  if (plan.stop.kind !== 'record') return;
  const [row] = await session.query<{ replayed: bigint }>(
    "SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn AS replayed",
  );
  assert.ok(row);
  // A page header may lie between the end of what is replayed and the start of the record that is not.
  const distance = Number(plan.stop.lsn) - Number(row.replayed);
  assert.ok(distance >= 0 && distance <= 40, `planned ${plan.stop.lsn}, replayed ${row.replayed}`);
}

/** Everything that was archived, promoted at once: pages, indexes and the unlogged relation are in order. */
async function checkLatest({ rig, moments }: Prepared): Promise<void> {
  const cluster = await restoreAndStart(rig, await rig.plan({}));
  await waitForRecovery(watched(cluster), { ...waiting, until: 'promoted', signal: AbortSignal.timeout(60_000) });
  await using session = await cluster.session();
  await session.query("INSERT INTO ledger (note) VALUES ('after the recovery')");
  assert.deepEqual(await session.query('SELECT count(*)::int FROM cache'), [{ count: 0 }]);
  const [third] = await session.query<{ note: string }>('SELECT note FROM ledger ORDER BY id DESC OFFSET 1 LIMIT 1');
  assert.equal(third?.note, 'third');
  assert.ok(moments[2].content.length > 0);
  // The embedded servers come without the extension.
  const connection = [`--host=${cluster.socketDirectory}`, `--port=${cluster.port}`, '--username=postgres'];
  if (cluster.major === 15)
    checkWith(15, 'pg_amcheck', [...connection, '--install-missing', '--heapallindexed', 'postgres']);
  await cluster.stop();
  checkWith(cluster.major, 'pg_checksums', ['--check', '--pgdata', cluster.dataDirectory]);
}

/** A server that shuts down at its target takes connections for a moment at most. */
async function checkShutdown({ rig, moments }: Prepared): Promise<void> {
  const plan = await rig.plan({ targetXid: moments[1].xid, targetAction: 'shutdown' });
  const dataDirectory = await rig.restore(plan, { tablespaces: [`fast=${rig.tablespace('shut-down')}`] });
  const { programs } = rig.cluster;
  const logFile = `${dataDirectory}.log`;
  const settings = { listen_addresses: '', unix_socket_directories: rig.tablespace('sockets'), fsync: 'off' };
  const signal = AbortSignal.timeout(60_000);
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const { port, socketDirectory } = await startServer({ programs, dataDirectory, logFile, signal, options });
  const server: WatchedServer = {
    uri: `postgresql:///postgres?host=${encodeURIComponent(socketDirectory)}&port=${port}&user=postgres`,
    isRunning: () => isServerRunning(dataDirectory),
    control: () => readControlFile(dataDirectory).control,
    logTail: () => readFileSync(logFile, 'utf8'),
  };
  try {
    const state = await waitForRecovery(server, { ...waiting, until: 'shut down', signal });
    assert.equal(state.state, 'shut down');
    assert.match(stoppedWhere(server.logTail()) ?? '', new RegExp(`after commit of transaction ${moments[1].xid}`));
  } finally {
    await stopServer({ programs, dataDirectory, mode: 'immediate', timeoutMs: 30_000 });
  }
}
