import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { isSegmentName } from '../../src/postgres/segment-name.ts';
import type { TestCluster } from './cluster.ts';

/*
 * A load that writes WAL of every kind: each resource manager, records of a few bytes and of megabytes, transactions
 * that end in every way, relations and databases that come and go, a crash.
 */

/** What the cluster of a test needs to take the load, and to keep all the WAL that it writes. */
export const loadSettings: Readonly<Record<string, string>> = {
  max_prepared_transactions: '10',
  wal_level: 'logical',
  wal_log_hints: 'on',
  track_commit_timestamp: 'on',
  autovacuum: 'off',
  max_wal_size: '2GB',
  wal_keep_size: '1GB',
  checkpoint_timeout: '1h',
};

export interface RestorePointMade {
  readonly name: string;
  /** What pg_create_restore_point returned: where its record ends. */
  readonly endLsn: string;
}

export interface Load {
  readonly cluster: TestCluster;
  /** Methods of wal_compression that the server has. */
  readonly compression: readonly string[];
  /** Where a tablespace may lie: a directory of the servers' user. */
  readonly tablespace: string;
}

/** Runs all of it but for crashes; returns the restore points that it made, in order. */
export async function writeAllKindsOfWal(load: Load): Promise<RestorePointMade[]> {
  const { cluster } = load;
  const points: RestorePointMade[] = [];
  await using session = await cluster.session();
  const point = async (name: string): Promise<void> => {
    const [made] = await session.query<{ lsn: string }>('SELECT pg_create_restore_point($1) AS lsn', [name]);
    points.push({ name, endLsn: made?.lsn ?? '' });
  };
  await indexes(session);
  await point('after the indexes');
  await smallTransactions(session, cluster);
  await relations(session, load.tablespace);
  await point('한글, and: punctuation; "quoted"');
  await transactionsPrepared(session);
  await largeRecords(session);
  await images(session, load.compression);
  await databases(session, cluster.major);
  await maintenance(session);
  await point('x'.repeat(63));
  return points;
}

/** Crashes: one between records, one in a record, one in a record that goes on in another segment of 1 MiB. */
export async function crash(cluster: TestCluster, walSegmentMiB: number): Promise<void> {
  await cluster.restart('immediate');
  await loseEndOfRecord(cluster, 100_000, 16_384);
  if (walSegmentMiB === 1) await loseEndOfRecord(cluster, 1_500_000, 1_048_576);
  await using session = await cluster.session();
  await session.query('INSERT INTO ledger (account, amount) SELECT i, i FROM generate_series(1, 500) AS i');
  await session.query('SELECT pg_switch_wal()');
}

/** An index of every access method, with inserts, updates and deletes. */
async function indexes(session: SqlSession): Promise<void> {
  await session.query(`
    CREATE TABLE ledger (id bigserial PRIMARY KEY, account int, amount int, note text, tags int[], place point, span int4range);
    CREATE INDEX ON ledger USING hash (account);
    CREATE INDEX ON ledger USING gin (tags) WITH (fastupdate = on);
    CREATE INDEX ON ledger USING gist (place);
    CREATE INDEX ON ledger USING spgist (span);
    CREATE INDEX ON ledger USING brin (amount) WITH (pages_per_range = 2, autosummarize = on);
    CREATE INDEX ON ledger (note text_pattern_ops)`);
  await session.query(`
    INSERT INTO ledger (account, amount, note, tags, place, span)
    SELECT i % 97, i, md5(i::text), ARRAY[i % 50, i % 7, i % 3], point(i % 211, i % 83), int4range(i, i + i % 40 + 1)
    FROM generate_series(1, 3000) AS i`);
  await session.query('UPDATE ledger SET amount = amount + 1, place = point(id % 13, id % 17) WHERE id % 5 = 0');
  await session.query('DELETE FROM ledger WHERE id % 7 = 0');
  await session.query('VACUUM ledger');
  await session.query(
    "INSERT INTO ledger (account, note) SELECT i, repeat('n', i % 900) FROM generate_series(1, 400) AS i",
  );
  await session.query(
    'SELECT brin_summarize_new_values(indexrelid) FROM pg_index WHERE indrelid = $1::regclass AND indexrelid::regclass::text ~ $2',
    ['ledger', 'amount'],
  );
}

/** Like pgbench's, some of which fail or roll back; with subtransactions, shared row locks, sequences, an origin. */
async function smallTransactions(session: SqlSession, cluster: TestCluster): Promise<void> {
  for (let i = 0; i < 150; i += 1) {
    const end = i % 10 === 9 ? 'ROLLBACK' : 'COMMIT';
    await session.query(
      `BEGIN; UPDATE ledger SET amount = amount + ${i} WHERE id = ${i * 3 + 1}; INSERT INTO ledger (account) VALUES (${i}); ${end}`,
    );
  }
  await session.query(`
    CREATE SEQUENCE tickets CACHE 1;
    SELECT nextval('tickets') FROM generate_series(1, 100);
    SELECT setval('tickets', 5000);
    ALTER SEQUENCE tickets RESTART`);
  // more subtransactions than a record of a running transaction holds, with errors that end some of them
  await session.query(`
    DO $$ BEGIN
      FOR i IN 1..200 LOOP
        BEGIN
          INSERT INTO ledger (account) VALUES (i);
          IF i % 3 = 0 THEN RAISE division_by_zero; END IF;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
      END LOOP;
    END $$`);
  await session.query(
    'BEGIN; SAVEPOINT a; INSERT INTO ledger (account) VALUES (1); SAVEPOINT b; INSERT INTO ledger (account) VALUES (2); ROLLBACK TO b; RELEASE a; COMMIT',
  );
  await using other = await cluster.session();
  await session.query('BEGIN; SELECT FROM ledger WHERE id = 1 FOR SHARE');
  await other.query('BEGIN; SELECT FROM ledger WHERE id = 1 FOR SHARE; COMMIT');
  await session.query('COMMIT');
  await session.query(`
    SELECT pg_replication_origin_create('elsewhere');
    SELECT pg_replication_origin_session_setup('elsewhere');
    BEGIN; SELECT pg_replication_origin_xact_setup('0/1234', now()); INSERT INTO ledger (account) VALUES (3); COMMIT;
    SELECT pg_replication_origin_session_reset();
    SELECT pg_replication_origin_drop('elsewhere')`);
}

/** Made, filled, cut, rewritten, moved and dropped, by transactions that commit and others that do not. */
async function relations(session: SqlSession, tablespace: string): Promise<void> {
  await session.query('CREATE TABLE short (id int PRIMARY KEY, filler text)');
  await session.query("INSERT INTO short SELECT i, repeat('f', 500) FROM generate_series(1, 2000) AS i");
  await session.query('VACUUM short');
  await session.query('DELETE FROM short WHERE id > 100');
  await session.query('VACUUM short');
  await session.query('TRUNCATE short');
  await session.query('BEGIN; TRUNCATE ledger RESTART IDENTITY; ROLLBACK');
  await session.query('BEGIN; CREATE TABLE never (id int PRIMARY KEY); INSERT INTO never VALUES (1); ROLLBACK');
  await session.query(`
    CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY, filler text);
    INSERT INTO scratch SELECT i, 'x' FROM generate_series(1, 1000) AS i`);
  await session.query('CREATE TEMPORARY TABLE mine AS SELECT * FROM ledger LIMIT 100');
  await session.query('DROP TABLE scratch');
  await session.query(`CREATE TABLESPACE elsewhere LOCATION '${tablespace}'`);
  await session.query('CREATE TABLE moved TABLESPACE elsewhere AS SELECT * FROM ledger LIMIT 500');
  await session.query('ALTER TABLE moved SET TABLESPACE pg_default');
  await session.query('DROP TABLESPACE elsewhere');
  // one commit that removes many relations, longer than a page
  await session.query(
    "DO $$ BEGIN FOR i IN 1..120 LOOP EXECUTE format('CREATE TABLE many_%s (id int PRIMARY KEY)', i); END LOOP; END $$",
  );
  await session.query("DO $$ BEGIN FOR i IN 1..120 LOOP EXECUTE format('DROP TABLE many_%s', i); END LOOP; END $$");
  await session.query('CREATE MATERIALIZED VIEW summary AS SELECT account, sum(amount) FROM ledger GROUP BY account');
  await session.query('REFRESH MATERIALIZED VIEW summary');
  await session.query('SELECT lo_from_bytea(0, decode(repeat($1, 20000), $2))', ['0badcafe', 'hex']);
}

async function transactionsPrepared(session: SqlSession): Promise<void> {
  await session.query("BEGIN; INSERT INTO ledger (account) VALUES (10); PREPARE TRANSACTION 'kept'");
  await session.query(
    "BEGIN; SAVEPOINT s; CREATE TABLE lost (id int PRIMARY KEY); RELEASE s; PREPARE TRANSACTION 'given up'",
  );
  await session.query("BEGIN; DROP TABLE moved; PREPARE TRANSACTION 'dropping'");
  await session.query("COMMIT PREPARED 'kept'");
  await session.query("ROLLBACK PREPARED 'given up'");
  await session.query("COMMIT PREPARED 'dropping'");
}

/** Longer than a page, than a segment of 1 MiB, than two of them. */
async function largeRecords(session: SqlSession): Promise<void> {
  for (const bytes of [100, 8000, 8192, 30_000, 900_000, 1_100_000, 3_500_000]) {
    await session.query('SELECT pg_logical_emit_message(true, $1, repeat($2, $3))', ['large', 'm', bytes]);
    await session.query('SELECT pg_logical_emit_message(false, $1, repeat($2, $3))', ['', 'm', Math.ceil(bytes / 3)]);
    await session.query('INSERT INTO ledger (account) VALUES ($1)', [bytes]);
  }
}

/** Full-page images in every compression, with holes and without, and those for wal_consistency_checking. */
async function images(session: SqlSession, compression: readonly string[]): Promise<void> {
  for (const method of ['off', ...compression]) {
    await session.query('CHECKPOINT');
    await session.query(`SET wal_compression = ${method}`);
    await session.query('UPDATE ledger SET amount = amount + 1 WHERE id % 11 = 0');
    await session.query('INSERT INTO ledger (account, note) SELECT i, md5(i::text) FROM generate_series(1, 200) AS i');
  }
  await session.query('RESET wal_compression');
  await session.query("SET wal_consistency_checking = 'all'");
  await session.query('UPDATE ledger SET amount = amount + 1, tags = ARRAY[id] WHERE id < 100');
  await session.query('DELETE FROM ledger WHERE id % 41 = 0');
  await session.query('RESET wal_consistency_checking');
}

async function databases(session: SqlSession, major: number): Promise<void> {
  const strategies = major >= 15 ? ['STRATEGY wal_log', 'STRATEGY file_copy'] : [''];
  for (const [index, strategy] of strategies.entries()) {
    await session.query(`CREATE DATABASE another_${index} ${strategy}`);
    await session.query(`DROP DATABASE another_${index}`);
  }
}

/** What rewrites: catalogs too, whose file numbers lie in the relation map. */
async function maintenance(session: SqlSession): Promise<void> {
  await session.query('VACUUM FULL pg_class');
  await session.query('REINDEX TABLE ledger');
  await session.query('CLUSTER ledger USING ledger_pkey');
  await session.query('CREATE INDEX CONCURRENTLY ON ledger (amount)');
  await session.query('VACUUM (FREEZE, ANALYZE) ledger');
  await session.query('SELECT pg_switch_wal()');
  await session.query('CHECKPOINT');
  // the background writer's snapshot of running transactions
  await sleep(50);
}

/**
 * A crash that loses the end of a record of `recordBytes` bytes at the beginning of a segment: nothing from `keptBytes` on
 * has reached the disk. Recovery gives such a record up and says so in WAL.
 */
async function loseEndOfRecord(cluster: TestCluster, recordBytes: number, keptBytes: number): Promise<void> {
  const segment = await (async () => {
    await using session = await cluster.session();
    await session.query('SELECT pg_switch_wal()');
    const [at] = await session.query<{ name: string }>('SELECT pg_walfile_name(pg_current_wal_insert_lsn()) AS name');
    await session.query('SELECT pg_logical_emit_message(false, $1, repeat($2, $3))', ['', 'm', recordBytes]);
    await session.query('SELECT pg_switch_wal()');
    return at?.name ?? '';
  })();
  await cluster.stop('immediate');
  const directory = join(cluster.dataDirectory, 'pg_wal');
  for (const name of readdirSync(directory).filter((candidate) => isSegmentName(candidate) && candidate >= segment)) {
    const path = join(directory, name);
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.fill(0, name === segment ? keptBytes : 0));
  }
  await cluster.start();
}
