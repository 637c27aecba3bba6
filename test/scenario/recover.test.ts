import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ArchivingSite, archivingCluster } from '../support/archiving-site.ts';
import { SqlSession } from '../../src/connection/sql-session.ts';
import { startServer } from '../../src/server/start-server.ts';
import { TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { differingFiles, everyFile } from '../support/every-file.ts';
import { giveToServer } from '../support/server-user.ts';

interface Answer {
  readonly outcome: string;
  readonly timeline: number | null;
  readonly stopped: string | null;
  readonly assertions: readonly { readonly holds: boolean }[];
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string };
}

const kept = (directory: string): string => `${directory}.pgrecall-recovery`;

async function rows(server: TestCluster): Promise<string> {
  await using session = await server.session();
  const [row] = await session.query<{ rows: string }>("SELECT count(*) || ' ' || sum(n) AS rows FROM t");
  return row?.rows ?? '';
}

async function momentOf(server: TestCluster): Promise<string> {
  await using session = await server.session();
  const [row] = await session.query<{ moment: string }>('SELECT clock_timestamp()::text AS moment');
  await session.query('SELECT pg_sleep(0.05)');
  return row?.moment ?? '';
}

async function run(server: TestCluster, statement: string): Promise<void> {
  await using session = await server.session();
  await session.query(statement);
}

/** A cluster with a backup, a change that is wanted, and one that is not; what is not archived stays so. */
async function accident(server: TestCluster, site: ArchivingSite): Promise<{ wanted: string; between: string }> {
  await run(server, 'CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n');
  assert.equal(site.run(['backup', 'main']).status, 0);
  await run(server, 'INSERT INTO t VALUES (1001)');
  const wanted = await momentOf(server);
  await run(server, 'UPDATE t SET n = 0');
  const between = await momentOf(server);
  await run(server, 'DELETE FROM t');
  await run(server, 'INSERT INTO t VALUES (7)');
  return { wanted, between };
}

describe('recover', () => {
  it('brings a running cluster to the moment before the accident, lets users in at the end, and can still be undone', async () => {
    await using server = await archivingCluster(15);
    await using site = await ArchivingSite.of(server);
    const { wanted } = await accident(server, site);
    const target = ['--target-time', wanted];
    const planned = site.run(['recover', 'main', ...target, '--plan']);
    // The target lies in WAL that is not archived: a plan does not archive it, but knows of it.
    assert.equal(planned.status, 0, planned.stderr);
    assert.match(planned.stdout, /lies behind what is archived, maybe in WAL that the directory alone has: 0000000100/);
    assert.equal(site.run(['recover', 'main', '--target-time', '2100-01-01', '--plan']).status, 4);
    assert.ok(!existsSync(kept(server.dataDirectory)));
    const result = site.run(['recover', 'main', ...target, '--yes', '--json']);
    assert.equal(result.status, 0, result.stdout + result.stderr);
    const answer = result.json() as Answer;
    assert.equal(answer.outcome, 'opened');
    assert.equal(answer.timeline, 2);
    assert.match(answer.stopped ?? '', /recovery stopping before commit/);
    assert.equal(await rows(server), '1001 501501');
    // In the server's environment is what its tester gave it; the journal has what is known to be no secret.
    assert.match(result.stderr, /without these words of its environment, which may be secret: .*NODE_TEST_CONTEXT/);
    const written = readFileSync(join(kept(server.dataDirectory), 'journal.json'), 'utf8');
    assert.ok(written.includes('"PATH"') && !written.includes('NODE_TEST_CONTEXT'));
    await run(server, 'INSERT INTO t VALUES (1)');
    assert.match(site.run(['check', 'main']).stdout, /a fresh backup is due/);
    assert.ok((await (await site.store()).getHistory('00000002.history')) !== undefined);

    const again = site.run(['recover', 'main', '--yes', '--json']);
    assert.equal((again.json() as Answer).error?.code, 'recovery-unfinished');
    assert.match((again.json() as Answer).error?.hint ?? '', /--forget removes it, --undo brings it back/);
    const over = site.run(['restore', 'main', '--to', server.dataDirectory, '--delta', '--plan', '--json']);
    assert.equal((over.json() as Answer).error?.code, 'recovery-unfinished');
    const undone = site.run(['recover', 'main', '--undo']);
    assert.equal(undone.status, 0, undone.stderr);
    assert.match(undone.stderr, /what was committed since stays in the repository: --target-timeline 2/);
    assert.equal(await rows(server), '1 7');
    assert.ok(!existsSync(kept(server.dataDirectory)));
  });

  it('pauses, closed to users, and goes to a later and to an earlier moment, with tablespaces and pg_wal where they were', async () => {
    await using server = await archivingCluster(15);
    await using site = await ArchivingSite.of(server);
    const place = await withPlaces(server, site);
    const { wanted, between } = await accident(server, site);
    await run(server, 'INSERT INTO f VALUES (2)');
    appendFileSync(site.configFile, "assertions = ['SELECT count(*) = 1001 FROM t', 'SELECT sum(n) > 0 FROM t']\n");
    await server.stop();
    const places = [server.dataDirectory, place.fast, place.wal];
    const before = places.map((path) => everyFile(path));

    const first = site.run(['recover', 'main', '--target-time', between, '--yes', '--json']);
    assert.equal(first.status, 3, first.stdout + first.stderr);
    assert.deepEqual(
      (first.json() as Answer).assertions.map(({ holds }) => holds),
      [true, false],
    );
    assert.match(first.stderr, /DOES NOT HOLD: SELECT sum\(n\) > 0 FROM t \(false\)/);
    // The role that pgrecall comes as, by a user that is not the server's: nobody else comes in.
    await assert.rejects(
      SqlSession.connect(server.uri().replace('user=postgres', 'user=other')),
      /no pg_hba.conf entry/,
    );

    const earlier = site.run(['recover', 'main', '--continue', '--target-time', wanted, '--pause', '--json']);
    assert.equal(earlier.status, 0, earlier.stderr);
    assert.match(earlier.stderr, /again, by what differs/);
    const later = site.run(['recover', 'main', '--continue', '--target-time', between, '--pause', '--json']);
    assert.equal(later.status, 3, later.stderr);
    assert.match(later.stderr, /going on from where it is/);
    const open = site.run(['recover', 'main', '--continue', '--target-time', wanted, '--yes', '--json']);
    assert.equal(open.status, 0, open.stderr);
    assert.equal(await rows(server), '1001 501501');
    await run(server, 'INSERT INTO f VALUES (3)');
    assert.match(site.run(['recover', 'main', '--status']).stdout, /the recovery is over/);

    assert.equal(site.run(['recover', 'main', '--undo']).status, 0);
    for (const [i, path] of places.entries()) {
      assert.deepEqual(differingFiles(everyFile(path), before[i] ?? new Map()), [], path);
    }
    // The clone of what was kept is brought to the backup.
    const delta = site.run(['recover', 'main', '--target-time', wanted, '--delta', '--yes']);
    assert.equal(delta.status, 0, delta.stderr);
    assert.match(delta.stderr, /differ, /);
    assert.equal(await rows(server), '1001 501501');
    assert.equal(site.run(['recover', 'main', '--forget']).status, 0);
    assert.ok(!existsSync(kept(server.dataDirectory)) && !existsSync(join(place.fast, 'pgrecall-kept')));
  });

  it('recovers a server that has crashed to its last commit, which was archived nowhere', async () => {
    await using server = await archivingCluster(15);
    await using site = await ArchivingSite.of(server);
    await accident(server, site);
    await site.archiveAll(server);
    await run(server, 'INSERT INTO t VALUES (10), (100)');
    await server.stop('immediate');
    const unreadable = join(server.dataDirectory, 'pg_wal', '0000000100000000000000F0');
    writeFileSync(unreadable, Buffer.alloc(16_777_216, 0xff));
    giveToServer(unreadable);
    const result = site.run(['recover', 'main', '--yes', '--json']);
    assert.equal(result.status, 0, result.stdout + result.stderr);
    assert.equal((result.json() as Answer).outcome, 'opened');
    assert.match(
      result.stderr,
      /cannot be read as WAL, and is kept with the old directory only: 0000000100000000000000F0/,
    );
    assert.match(result.stderr, /stored what only this directory had|it opens there by itself/);
    assert.equal(await rows(server), '3 117');
  });

  it('leaves a configuration outside the data directory as it is, with PostgreSQL 18', async () => {
    await using server = await archivingCluster(18);
    await using site = await ArchivingSite.of(server);
    const etc = join(site.directory, 'etc');
    await server.stop();
    mkdirSync(etc, { mode: 0o755 });
    const files = ['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf'];
    for (const name of files) renameSync(join(server.dataDirectory, name), join(etc, name));
    const own = {
      data_directory: server.dataDirectory,
      hba_file: `${etc}/pg_hba.conf`,
      ident_file: `${etc}/pg_ident.conf`,
    };
    for (const [name, value] of Object.entries(own))
      appendFileSync(join(etc, 'postgresql.conf'), `${name} = '${value}'\n`);
    const { programs, dataDirectory, logFile } = server;
    const options = ['-c', `config_file=${etc}/postgresql.conf`];
    await startServer({ programs, dataDirectory, logFile, options, signal: AbortSignal.timeout(60_000) });
    await eventually('it takes connections', async () => answers(server));
    const before = everyFile(etc);
    const { wanted } = await accident(server, site);
    const result = site.run(['recover', 'main', '--target-time', wanted, '--yes', '--json']);
    assert.equal(result.status, 0, result.stdout + result.stderr);
    assert.equal(await rows(server), '1001 501501');
    assert.deepEqual(differingFiles(everyFile(etc), before), []);
    for (const name of files) assert.ok(!existsSync(join(dataDirectory, name)), name);
    await using session = await server.session();
    const [row] = await session.query<{ hba: string }>("SELECT current_setting('hba_file') AS hba");
    assert.equal(row?.hba, `${etc}/pg_hba.conf`);
  });

  it('refuses before anything is touched', async () => {
    await using server = await archivingCluster(15);
    await using site = await ArchivingSite.of(server);
    const { wanted } = await accident(server, site);
    const codeOf = (...words: readonly string[]): [number | null, string | undefined] => {
      const result = site.run(['recover', 'main', ...words, '--json']);
      return [result.status, (result.json() as Answer).error?.code];
    };
    assert.deepEqual(codeOf('--target-time', '2001-01-01', '--yes'), [4, 'target-unreachable']);
    assert.deepEqual(codeOf('--target-time', wanted), [2, 'usage']);
    assert.deepEqual(codeOf('--continue', '--yes'), [1, 'recovery-unfinished']);
    assert.deepEqual(codeOf('--undo'), [1, 'recovery-unfinished']);
    {
      await using standby = await TestCluster.standbyOf(server, { hot_standby: 'on' });
      assert.ok(standby.isRunning());
      assert.deepEqual(codeOf('--target-time', wanted, '--yes'), [1, 'standby-connected']);
    }
    {
      const another = createServer().listen(join(server.socketDirectory, '.s.PGSQL.6543'));
      await once(another, 'listening');
      chmodSync(join(server.socketDirectory, '.s.PGSQL.6543'), 0o777);
      assert.deepEqual(codeOf('--target-time', wanted, '--yes', '--port', '6543'), [1, 'port-taken']);
      another.close();
    }
    await using other = await TestCluster.create({ major: 15 });
    const words = ['--target-time', wanted, '--yes'];
    const result = site.run(['recover', 'main', ...words, '--json'], {
      env: { PGRECALL_DATA_DIRECTORY: other.dataDirectory },
    });
    assert.equal((result.json() as Answer).error?.code, 'cluster-mismatch', result.stderr);
    assert.ok(server.isRunning() && other.isRunning());
    assert.ok(!existsSync(kept(server.dataDirectory)) && !existsSync(kept(other.dataDirectory)));

    // Two at once: one of them does it.
    const both = [1, 2].map(async () => {
      const [status] = (await once(site.start(['recover', 'main', ...words, '--json']), 'exit')) as [number | null];
      return status;
    });
    const statuses = await Promise.all(both);
    assert.equal(statuses.filter((status) => status === 0).length, 1, String(statuses));
    assert.equal(await rows(server), '1001 501501');
  });
});

/** A tablespace, and a pg_wal on a disk of its own. */
async function withPlaces(server: TestCluster, site: ArchivingSite): Promise<{ fast: string; wal: string }> {
  const [fast, wal] = [join(site.directory, 'fast'), join(site.directory, 'wal')];
  mkdirSync(fast, { mode: 0o700 });
  giveToServer(fast);
  await run(server, `CREATE TABLESPACE fast LOCATION '${fast}'`);
  await run(server, 'CREATE TABLE f TABLESPACE fast AS SELECT 1 AS n');
  await server.stop();
  renameSync(join(server.dataDirectory, 'pg_wal'), wal);
  symlinkSync(wal, join(server.dataDirectory, 'pg_wal'));
  await server.start();
  return { fast, wal };
}

async function answers(server: TestCluster): Promise<boolean> {
  try {
    await using session = await server.session();
    return (await session.query('SELECT 1')).length === 1;
  } catch {
    return false;
  }
}
