import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { hasCode } from '../../src/errors/pgrecall-error.ts';
import type { TestCluster } from './cluster.ts';
import type { Random } from './random.ts';
import { giveToServer } from './server-user.ts';

/*
 * What users and administrators do to a cluster, by chance: statements of every kind that changes pages, files or
 * databases. A statement may fail (a table is gone, a prepared transaction holds a lock): that is a load, too.
 */

const methods = ['btree (note)', 'hash (account)', 'gin (tags)', 'gist (place)', 'spgist (span)', 'brin (amount)'];
const maxTables = 12;

/** What is there in the beginning: tables, a tablespace, databases to copy. */
export async function makeRandomLoad(cluster: TestCluster): Promise<void> {
  const far = join(cluster.socketDirectory, 'far');
  mkdirSync(far);
  giveToServer(far);
  if (cluster.major === 15) await installChecks(cluster);
  await using session = await cluster.session();
  await session.query(`CREATE TABLESPACE far LOCATION '${far}'`);
  await session.query('CREATE SEQUENCE tables START 1');
  await session.query('CREATE SEQUENCE databases START 1');
  for (let i = 0; i < 4; i += 1) await createTable(session, i % 2 === 0 ? 'pg_default' : 'far', '');
  for (const name of ['staying', 'moving']) {
    await session.query(`CREATE DATABASE ${name}${name === 'moving' ? ' TABLESPACE far' : ''}`);
    await using inside = await cluster.session(name);
    await inside.query(
      'CREATE TABLE inside AS SELECT i AS id, md5(i::text) AS note FROM generate_series(1, 3000) AS i',
    );
  }
}

/** What pg_amcheck calls, and what looks at visibility maps: in the databases that are there, and in copies of them. A restored one is not to be changed. */
async function installChecks(cluster: TestCluster): Promise<void> {
  for (const database of ['postgres', 'template1']) {
    await using session = await cluster.session(database);
    await session.query('CREATE EXTENSION amcheck');
    await session.query('CREATE EXTENSION pg_visibility');
  }
}

async function createTable(session: SqlSession, tablespace: string, persistence: string): Promise<void> {
  const [row] = await session.query<{ number: string }>("SELECT nextval('tables')::text AS number");
  const name = `t${row?.number}`;
  await session.query(
    `CREATE ${persistence} TABLE ${name} (id bigserial PRIMARY KEY, account int, amount int, note text, tags int[], place point, span int4range) TABLESPACE ${tablespace}`,
  );
  await insert(session, name, 1500);
}

async function insert(session: SqlSession, table: string, rows: number): Promise<void> {
  await session.query(
    `INSERT INTO ${table} (account, amount, note, tags, place, span)
     SELECT i % 97, i, repeat(md5(random()::text), 1 + i % 12), ARRAY[i % 50, i % 7], point(i % 211, i % 83), int4range(i, i + i % 40 + 1)
     FROM generate_series(1, $1::int) AS i`,
    [rows],
  );
}

type Statement = (session: SqlSession, table: string) => Promise<unknown>;

/** What may also run while a backup is being taken. Databases that are copied do not change meanwhile: PostgreSQL forbids that. */
function everyday(random: Random): readonly (readonly [number, Statement])[] {
  const part = random.between(2, 400);
  const sql =
    (text: (table: string) => string): Statement =>
    async (session, table) => {
      // One by one: VACUUM refuses to be one of several.
      for (const statement of text(table).split('; ')) await session.query(statement);
    };
  return [
    [6, (session, table) => insert(session, table, random.between(1, 1500))],
    [8, sql((t) => `UPDATE ${t} SET amount = amount + 1, note = md5(note) WHERE id % ${part} = 0`)],
    [3, sql((t) => `UPDATE ${t} SET place = point(id % 13, id % 17), tags = tags || 5 WHERE id % ${part} = 1`)],
    [4, sql((t) => `DELETE FROM ${t} WHERE id % ${part} = 3`)],
    [2, sql((t) => `BEGIN; UPDATE ${t} SET note = repeat(md5(note), 3) WHERE id % ${part} = 0; ROLLBACK`)],
    [1, sql((t) => `BEGIN; SAVEPOINT a; DELETE FROM ${t} WHERE id % 5 = 0; ROLLBACK TO a; COMMIT`)],
    [2, sql((t) => `SELECT count(*) FROM ${t} WHERE note <> 'x'`)],
    [1, sql((t) => `BEGIN; SELECT FROM ${t} WHERE id % ${part} = 0 FOR UPDATE; COMMIT`)],
    [4, sql((t) => `VACUUM ${t}`)],
    [1, sql((t) => `VACUUM (FREEZE, ANALYZE) ${t}`)],
    [1, sql((t) => `DELETE FROM ${t} WHERE id > (SELECT max(id) * ${random.next()} FROM ${t}); VACUUM ${t}`)],
    [2, sql((t) => `VACUUM FULL ${t}`)],
    [1, sql((t) => `CLUSTER ${t} USING ${t}_pkey`)],
    [2, sql((t) => `TRUNCATE ${t}`)],
    [1, sql((t) => `BEGIN; TRUNCATE ${t}; ROLLBACK`)],
    [3, sql((t) => `CREATE INDEX ON ${t} USING ${random.pick(methods)}`)],
    [1, sql((t) => `CREATE INDEX CONCURRENTLY ON ${t} USING ${random.pick(methods)}`)],
    [1, sql((t) => `REINDEX TABLE ${t}`)],
    [2, sql((t) => `ALTER TABLE ${t} SET TABLESPACE ${random.pick(['far', 'pg_default'])}`)],
    [1, sql((t) => `ALTER TABLE ${t} SET ${random.pick(['UNLOGGED', 'LOGGED'])}`)],
    [2, (session) => createTable(session, random.pick(['far', 'pg_default']), random.pick(['', '', 'UNLOGGED']))],
    [2, sql((t) => `DROP TABLE ${t}`)],
    [1, sql((t) => `BEGIN; CREATE TABLE never AS SELECT * FROM ${t}; ROLLBACK`)],
    [1, sql((t) => `SELECT nextval('${t}_id_seq') FROM generate_series(1, ${part})`)],
    [1, sql(() => `VACUUM FULL ${random.pick(['pg_class', 'pg_attribute', 'pg_proc'])}`)],
    [1, sql(() => 'CREATE TEMPORARY TABLE mine AS SELECT generate_series(1, 2000) AS i; DROP TABLE mine')],
    [1, sql(() => `SELECT lo_from_bytea(0, decode(repeat('0badcafe', ${part * 10}), 'hex'))`)],
    [
      1,
      sql(
        (t) =>
          `BEGIN; DELETE FROM ${t} WHERE id % 7 = 0; CREATE TABLE two_${t} AS SELECT 1 AS i; PREPARE TRANSACTION 'p${part}'`,
      ),
    ],
    [2, endPrepared(random)],
    [2, sql(() => 'CHECKPOINT')],
    [2, sql(() => 'SELECT pg_switch_wal()')],
  ];
}

/** What changes whole databases, and what they are made of. */
function seldom(random: Random, cluster: TestCluster): readonly (readonly [number, Statement])[] {
  return [
    [3, createDatabase(random, cluster.major)],
    [2, (session) => withDatabase(session, (name) => session.query(`DROP DATABASE ${name}`))],
    [
      1,
      (session) =>
        withDatabase(session, (name) =>
          session.query(`ALTER DATABASE ${name} SET TABLESPACE ${random.pick(['far', 'pg_default'])}`),
        ),
    ],
    [2, () => changeInside(cluster, random.pick(['staying', 'moving']), random.between(2, 90))],
    [2, (session) => withDatabase(session, (name) => changeInside(cluster, name, random.between(2, 90)))],
  ];
}

function createDatabase(random: Random, major: number): Statement {
  return async (session) => {
    const [row] = await session.query<{ number: string }>("SELECT nextval('databases')::text AS number");
    const strategy = major >= 15 ? `STRATEGY ${random.pick(['wal_log', 'file_copy'])}` : '';
    const template = random.pick(['staying', 'moving', 'template1']);
    const tablespace = random.pick(['', 'TABLESPACE far']);
    await session.query(`CREATE DATABASE copied_${row?.number} TEMPLATE ${template} ${strategy} ${tablespace}`);
  };
}

async function changeInside(cluster: TestCluster, database: string, part: number): Promise<void> {
  await using session = await cluster.session(database);
  await session.query('CREATE TABLE IF NOT EXISTS inside (id int, note text)');
  await session.query('INSERT INTO inside SELECT i, md5(i::text) FROM generate_series(1, 500) AS i');
  await session.query(`UPDATE inside SET note = md5(note) WHERE id % ${part} = 0`);
}

async function withDatabase(session: SqlSession, change: (name: string) => Promise<unknown>): Promise<void> {
  const [row] = await session.query<{ name: string }>(
    "SELECT datname AS name FROM pg_database WHERE datname LIKE 'copied%' ORDER BY random() LIMIT 1",
  );
  if (row) await change(row.name);
}

function endPrepared(random: Random): Statement {
  return async (session) => {
    for (const { gid } of await session.query<{ gid: string }>('SELECT gid FROM pg_prepared_xacts')) {
      await session.query(`${random.pick(['COMMIT', 'ROLLBACK'])} PREPARED '${gid}'`);
    }
  };
}

/** So many statements on tables that are there. */
export async function runRandomLoad(
  cluster: TestCluster,
  random: Random,
  options: { readonly statements: number; readonly databases: boolean; readonly signal?: AbortSignal },
): Promise<void> {
  await using session = await cluster.session();
  // What waits for a prepared transaction gives up.
  await session.query("SET lock_timeout = '200ms'");
  for (let i = 0; i < options.statements && options.signal?.aborted !== true; i += 1) {
    const tables = await session.query<{ name: string }>(
      "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relname ~ '^t[0-9]+$' ORDER BY 1",
    );
    if (tables.length < 3) await createTable(session, 'pg_default', '');
    const choices = options.databases ? [...everyday(random), ...seldom(random, cluster)] : everyday(random);
    const statement = random.weighted(choices);
    const table = tables.length === 0 ? 't0' : random.pick(tables).name;
    if (tables.length > maxTables) await attempt(session, () => session.query(`DROP TABLE ${table}`));
    else await attempt(session, () => statement(session, table));
  }
}

async function attempt(session: SqlSession, statement: () => Promise<unknown>): Promise<void> {
  try {
    await statement();
  } catch (error) {
    if (hasCode(error, 'connection')) throw error;
    await session.query('ROLLBACK');
  }
}
