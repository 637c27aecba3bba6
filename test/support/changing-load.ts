import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import type { TestCluster } from './cluster.ts';
import { giveToServer } from './server-user.ts';

/*
 * A cluster with something of everything, and what can become of it: rows changed here and there, relations that
 * shrink, grow, are rewritten, moved, dropped and made anew, databases likewise, another timeline.
 */

/** Debian's serves every version. */
const pgbench = '/usr/lib/postgresql/15/bin/pgbench';

function runPgbench(cluster: TestCluster, ...options: readonly string[]): void {
  const where = ['-h', cluster.socketDirectory, '-p', String(cluster.port), '-U', 'postgres'];
  execFileSync(pgbench, [...options, ...where, 'postgres'], { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Tablespaces of the load lie beside the data directory. */
function makeDirectory(cluster: TestCluster, name: string): string {
  const directory = join(cluster.socketDirectory, name);
  mkdirSync(directory);
  giveToServer(directory);
  return directory;
}

/** What is there before anything changes. */
export async function makeWhatChanges(cluster: TestCluster): Promise<void> {
  runPgbench(cluster, '--initialize', '--quiet');
  await using session = await cluster.session();
  await session.query(`CREATE TABLESPACE far LOCATION '${makeDirectory(cluster, 'far')}'`);
  await session.query(`
    CREATE TABLE shelf (id int PRIMARY KEY, account int, amount int, note text, tags int[], place point, span int4range);
    CREATE INDEX ON shelf USING hash (account);
    CREATE INDEX ON shelf USING gin (tags);
    CREATE INDEX ON shelf USING gist (place);
    CREATE INDEX ON shelf USING spgist (span);
    CREATE INDEX ON shelf USING brin (amount) WITH (pages_per_range = 4)`);
  await fillShelf(session, 1, 4000);
  for (const name of ['untouched', 'shrinking', 'cut', 'rewritten', 'clustered', 'dropped', 'dropped_by_two_phases']) {
    await session.query(
      `CREATE TABLE ${name} AS SELECT i AS id, repeat(md5(i::text), 15) AS filler FROM generate_series(1, 1500) AS i`,
    );
    await session.query(`ALTER TABLE ${name} ADD PRIMARY KEY (id)`);
  }
  await session.query('CREATE UNLOGGED TABLE unlogged_one AS SELECT i AS id FROM generate_series(1, 5000) AS i');
  await session.query('CREATE SEQUENCE numbers');
  await session.query(
    'SELECT lo_from_bytea(n::oid, decode(repeat($1, 5000), $2)) FROM generate_series(500001, 500020) AS n',
    ['0badcafe', 'hex'],
  );
  for (const name of ['leaving', 'moving', 'staying']) {
    await session.query(`CREATE DATABASE ${name}`);
    await using inside = await cluster.session(name);
    await inside.query('CREATE TABLE inside AS SELECT i AS id FROM generate_series(1, 3000) AS i');
  }
  // hint bits and maps are set now, not while WAL is watched; of one table they will be
  await session.query('VACUUM ANALYZE');
  await session.query('CREATE TABLE unread AS SELECT i AS id FROM generate_series(1, 2000) AS i');
  // what comes is in segments of its own
  await session.query('SELECT pg_switch_wal()');
}

/** Rows here and there, in tables and in indexes of every access method. */
export async function changeRows(cluster: TestCluster): Promise<void> {
  runPgbench(cluster, '--no-vacuum', '--client=2', '--transactions=150');
  await using session = await cluster.session();
  const [count] = await session.query<{ last: number }>('SELECT max(id) AS last FROM shelf');
  await fillShelf(session, (count?.last ?? 0) + 1, 300);
  await session.query('UPDATE shelf SET amount = amount + 1, place = point(id % 13, id % 17) WHERE id % 97 = 0');
  await session.query('DELETE FROM shelf WHERE id % 211 = 0');
  await session.query('BEGIN; UPDATE shelf SET note = md5(note) WHERE id % 89 = 0; ROLLBACK');
  await session.query('SELECT count(*) FROM unread');
  await session.query('VACUUM shelf');
  await session.query("SELECT nextval('numbers') FROM generate_series(1, 100)");
  await session.query('SELECT lo_put(max(oid), 100, $1), lo_unlink(min(oid)) FROM pg_largeobject_metadata', [
    Buffer.from('changed'),
  ]);
}

async function fillShelf(session: SqlSession, from: number, rows: number): Promise<void> {
  await session.query(
    `INSERT INTO shelf
     SELECT i, i % 97, i, md5(i::text), ARRAY[i % 50, i % 7, i % 3], point(i % 211, i % 83), int4range(i, i + i % 40 + 1)
     FROM generate_series($1::int, $2::int) AS i`,
    [from, from + rows - 1],
  );
}

/** Relations shrink, grow again, are rewritten, come and go, in transactions of every kind; so do databases. */
export async function changeFiles(cluster: TestCluster): Promise<void> {
  await using session = await cluster.session();
  await session.query('DELETE FROM shrinking WHERE id > 200');
  await session.query('VACUUM shrinking');
  await session.query("INSERT INTO shrinking SELECT i, repeat('n', 400) FROM generate_series(3000, 3400) AS i");
  await session.query('TRUNCATE cut');
  await session.query("INSERT INTO cut SELECT i, repeat('n', 400) FROM generate_series(1, 500) AS i");
  await session.query('VACUUM FULL rewritten');
  await session.query('CLUSTER clustered USING clustered_pkey');
  await session.query('REINDEX TABLE shelf');
  await session.query('DROP TABLE dropped');
  await session.query(
    "BEGIN; DROP TABLE dropped_by_two_phases; CREATE TABLE made_by_two_phases AS SELECT * FROM cut; PREPARE TRANSACTION 'kept'",
  );
  await session.query("BEGIN; DROP TABLE untouched; CREATE TABLE never (id int); PREPARE TRANSACTION 'given up'");
  await session.query("COMMIT PREPARED 'kept'");
  await session.query("ROLLBACK PREPARED 'given up'");
  await session.query('ALTER TABLE unlogged_one SET LOGGED');
  await session.query('CREATE UNLOGGED TABLE unlogged_too AS SELECT i AS id FROM generate_series(1, 5000) AS i');
  await session.query('DROP DATABASE leaving');
  await session.query('ALTER DATABASE moving SET TABLESPACE far');
  const strategies = cluster.major >= 15 ? ['STRATEGY wal_log', 'STRATEGY file_copy'] : [''];
  for (const [i, strategy] of strategies.entries()) {
    await session.query(`CREATE DATABASE copied_${i} TEMPLATE staying ${strategy}`);
    await session.query(`CREATE DATABASE copied_far_${i} TEMPLATE moving ${strategy} TABLESPACE far`);
  }
  for (const method of [
    'hash (account)',
    'gin (tags)',
    'gist (place)',
    'spgist (span)',
    'brin (amount)',
    'btree (note)',
  ]) {
    await session.query(`CREATE INDEX ON shelf USING ${method}`);
  }
}

/** The recovery of an archive that has nothing more: the server goes on along the next timeline. */
export async function changeTimeline(cluster: TestCluster): Promise<void> {
  await cluster.stop();
  cluster.configure({ restore_command: 'false' });
  const signal = join(cluster.dataDirectory, 'recovery.signal');
  writeFileSync(signal, '');
  giveToServer(signal);
  await cluster.start();
  // It answers before it takes changes.
  await using session = await cluster.session();
  for (;;) {
    const [row] = await session.query<{ recovers: boolean }>('SELECT pg_is_in_recovery() AS recovers');
    if (row?.recovers === false) return;
    await sleep(20);
  }
}
