import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { backupServer } from '../../src/backup/backup-server.ts';
import { dropLeftOut, findLeftOut, keptFilesInLog, leftOutNotePath } from '../../src/restore/left-out-databases.ts';
import { selectDatabases } from '../../src/restore/selected-databases.ts';
import { BackupRig, checkWith } from '../support/backup-rig.ts';
import { majors, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';

/* A restore of some databases, on real servers, with WAL of every kind in those that are left out. */

/** Relations of all kinds that are there before the backup, so that WAL changes pages whose content was left out. */
const begin = [
  'CREATE TABLE rows (id bigserial, n int, filler text)',
  'INSERT INTO rows (n, filler) SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 4000) i',
  'CREATE INDEX ON rows USING btree (n)',
  'CREATE INDEX ON rows USING hash (n)',
  'CREATE INDEX ON rows USING brin (n)',
  'CREATE INDEX ON rows USING gin (string_to_array(filler, $$a$$))',
  'CREATE TABLE points (p point)',
  'INSERT INTO points SELECT point(i, i) FROM generate_series(1, 2000) i',
  'CREATE INDEX ON points USING gist (p)',
  'CREATE INDEX ON points USING spgist (p)',
  // Pages that are found to be visible to all: without checksums the record of that brings no image of them.
  'CREATE TABLE visible (n int)',
  'INSERT INTO visible SELECT generate_series(1, 20000)',
  'CREATE TABLE visible_later (n int)',
  'INSERT INTO visible_later SELECT generate_series(1, 20000)',
  'CREATE TABLE frozen (n int)',
  'INSERT INTO frozen SELECT generate_series(1, 20000)',
  'CREATE TABLE emptied (n int)',
  'INSERT INTO emptied SELECT generate_series(1, 20000)',
  'CREATE UNLOGGED TABLE unlogged AS SELECT generate_series(1, 100) i',
];

const change = [
  'UPDATE rows SET n = n + 1 WHERE id % 7 = 0',
  'DELETE FROM rows WHERE id % 11 = 0',
  'INSERT INTO rows (n, filler) SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 3000) i',
  'INSERT INTO points SELECT point(i, -i) FROM generate_series(1, 1000) i',
  'DELETE FROM points WHERE p[0] > 1500',
  'VACUUM visible',
  'VACUUM (FREEZE) frozen',
  'DELETE FROM emptied WHERE n > 100',
  'VACUUM emptied',
  'VACUUM rows',
  'CREATE INDEX CONCURRENTLY ON rows (filler)',
  'VACUUM FULL points',
  'VACUUM FULL pg_class',
  'REINDEX TABLE pg_attribute',
  'TRUNCATE unlogged',
  'CREATE TABLE later AS SELECT generate_series(1, 5000) i',
  'ANALYZE',
];

async function inDatabase(cluster: TestCluster, name: string, statements: readonly string[]): Promise<void> {
  await using session = await cluster.session(name);
  for (const statement of statements) await session.query(statement);
}

async function one<T>(cluster: TestCluster, name: string, sql: string): Promise<T> {
  await using session = await cluster.session(name);
  const [row] = await session.query<{ value: T }>(`SELECT (${sql}) AS value`);
  if (!row) throw new Error('no row');
  return row.value;
}

const state = `SELECT md5(string_agg(r::text, '' ORDER BY id)) FROM rows r`;

for (const major of majors) {
  for (const dataChecksums of major === 15 ? [false, true] : [false]) {
    describe(`some databases of PostgreSQL ${major}, page checksums ${dataChecksums ? 'on' : 'off'}`, () => {
      it('are restored, the others dropped, and the cluster is whole', { timeout: 180_000 }, async () => {
        await using rig = await BackupRig.create({
          major,
          walSegmentMiB: 1,
          dataChecksums,
          settings: { autovacuum: 'off', wal_level: 'logical' },
        });
        const { cluster } = rig;
        const place = rig.tablespace('fast');
        await inDatabase(cluster, 'postgres', [
          `CREATE TABLESPACE fast LOCATION '${place}'`,
          'CREATE DATABASE shop',
          'CREATE DATABASE wiki IS_TEMPLATE true',
          'CREATE DATABASE "the ""other"" one" TABLESPACE fast',
        ]);
        for (const name of ['shop', 'wiki', 'the "other" one']) await inDatabase(cluster, name, begin);
        await inDatabase(cluster, 'wiki', [
          'CREATE TABLE faraway (n int) TABLESPACE fast',
          "CREATE SUBSCRIPTION s CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false)",
        ]);
        await inDatabase(cluster, 'shop', ['CREATE TABLE faraway (n int) TABLESPACE fast']);

        await using session = await cluster.session();
        const server = backupServer(session);
        const record = await rig.backUp({
          server: {
            facts: async () => server.facts(),
            start: async (label) => server.start(label),
            writtenLsn: async () => server.writtenLsn(),
            onLost: (listener) => server.onLost(listener),
            stop: async () => {
              for (const name of ['shop', 'wiki', 'the "other" one']) await inDatabase(cluster, name, change);
              return server.stop();
            },
          },
        });
        for (const name of ['wiki', 'shop', 'the "other" one']) {
          await inDatabase(
            cluster,
            name,
            [
              'CHECKPOINT',
              'VACUUM visible_later',
              'VACUUM (FREEZE) later',
              ...change.filter((sql) => !sql.startsWith('CREATE')),
              'INSERT INTO faraway SELECT 1 WHERE false',
            ].filter((sql) => name !== 'the "other" one' || !sql.includes('faraway')),
          );
        }
        await inDatabase(cluster, 'postgres', [
          'ALTER DATABASE "the ""other"" one" RENAME TO renamed',
          'CREATE DATABASE copied TEMPLATE wiki' + (major >= 15 ? ' STRATEGY file_copy' : ''),
          ...(major >= 15 ? ['CREATE DATABASE logged TEMPLATE shop STRATEGY wal_log'] : []),
          'ALTER DATABASE renamed SET TABLESPACE pg_default',
        ]);
        const expected = await one(cluster, 'shop', state);
        await rig.archiveAll();

        const selected = selectDatabases(record, ['shop']);
        assert.deepEqual(
          selected.leftOut.map(({ name }) => name),
          ['wiki', 'the "other" one'],
        );
        const plan = await rig.plan({});
        const mapping = `fast=${join(rig.directory, 'restored', 'fast')}`;
        const directory = await rig.restore(plan, { tablespaces: [mapping], leftOut: selected.leftOut });
        checkWith(major, 'pg_verifybackup', ['--no-parse-wal', directory]);
        const [wiki] = selected.leftOut;
        assert.ok(wiki);
        assert.equal(statSync(join(directory, 'base', String(wiki.oid), '1259')).blocks, 0);
        assert.match(readFileSync(leftOutNotePath(directory), 'utf8'), /DROP DATABASE %I/);

        const restored = await rig.start(directory);
        await eventually(
          'the end of recovery',
          async () => !(await one(restored, 'postgres', 'SELECT pg_is_in_recovery()')),
        );
        assert.deepEqual(keptFilesInLog(restored.log(), findLeftOut(directory)), []);
        // Whoever connects to one of those is refused; the server goes on.
        await assert.rejects(restored.session('wiki'), /is not a valid data directory/);
        assert.ok(restored.isRunning());
        assert.deepEqual(await dropLeftOut(restored.uri(), directory), ['wiki', 'renamed', 'copied']);
        assert.deepEqual(findLeftOut(directory), []);
        assert.ok(!existsSync(leftOutNotePath(directory)));
        assert.doesNotMatch(readFileSync(join(directory, 'postgresql.auto.conf'), 'utf8'), /ignore_invalid_pages/);
        assert.ok(!existsSync(join(directory, 'base', String(wiki.oid))));

        assert.equal(await one(restored, 'shop', state), expected);
        if (major >= 15) assert.equal(await one(restored, 'logged', state), expected);
        const arguments_ = [
          '--host',
          restored.socketDirectory,
          '--port',
          String(restored.port),
          '--username',
          'postgres',
        ];
        checkWith(major, 'pg_amcheck', [...arguments_, '--all', '--install-missing', '--heapallindexed']);
        await inDatabase(restored, 'postgres', ['CREATE DATABASE again', 'VACUUM']);
        await inDatabase(restored, 'shop', ['VACUUM (FREEZE, ANALYZE)', 'REINDEX DATABASE shop']);
        // What was dropped does not come back, and nothing of it is in the way of a start.
        await restored.restart('immediate');
        assert.equal(await one(restored, 'shop', state), expected);
        const names = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database";
        assert.equal(
          await one(restored, 'postgres', names),
          `again${major >= 15 ? ' logged' : ''} postgres shop template0 template1`,
        );
      });
    });
  }
}
