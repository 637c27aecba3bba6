import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite, type CommandResult } from '../support/command-site.ts';

/* pgrecall load --only: a table or a schema out of a dump, with what an administrator takes for a part of it. */

const contents = `CREATE TYPE mood AS ENUM ('a', 'b');
  CREATE SCHEMA other;
  CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
  CREATE TABLE film (id serial PRIMARY KEY, m mood, g int GENERATED ALWAYS AS IDENTITY, u int UNIQUE CHECK (u > 0));
  INSERT INTO film (m, u) SELECT 'a', i FROM generate_series(1, 500) i;
  CREATE INDEX film_m ON film (m);
  CREATE STATISTICS film_stat ON id, u FROM film;
  CREATE TRIGGER tr BEFORE INSERT ON film FOR EACH ROW EXECUTE FUNCTION stamp();
  ALTER TABLE film ENABLE ROW LEVEL SECURITY;
  CREATE POLICY po ON film USING (true);
  CREATE RULE ru AS ON DELETE TO film DO INSTEAD NOTHING;
  COMMENT ON COLUMN film.u IS 'a comment';
  COMMENT ON INDEX film_m IS 'another';
  GRANT SELECT ON film TO clerk;
  GRANT USAGE ON SEQUENCE film_id_seq TO clerk;
  CREATE TABLE other.rent (id int PRIMARY KEY, f int REFERENCES film);
  INSERT INTO other.rent SELECT i, i FROM generate_series(1, 100) i;
  GRANT USAGE ON SCHEMA other TO clerk;
  ALTER DEFAULT PRIVILEGES IN SCHEMA other GRANT SELECT ON TABLES TO clerk;
  CREATE TABLE p (d int) PARTITION BY RANGE (d);
  CREATE TABLE other.p1 PARTITION OF p FOR VALUES FROM (1) TO (9);
  CREATE INDEX p_d ON p (d);
  INSERT INTO p SELECT i FROM generate_series(1, 8) i;
  CREATE TABLE child () INHERITS (film);
  CREATE VIEW seen AS SELECT id FROM film;
  CREATE TABLE other."a.b ""c""
고객" (id int);
  CREATE TABLE twin (i int); CREATE TABLE other.twin (i int);
  SELECT lo_from_bytea(0, 'large')`;

/** What a database has that nobody but its users has made. */
const inventory = `SELECT array_agg(what ORDER BY what) AS all FROM (
  SELECT format('%s %s.%s', relkind, nspname, relname) AS what FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
   WHERE nspname IN ('public', 'other') AND relkind <> 't' AND pg_class.oid >= 16384
  UNION ALL SELECT 'constraint ' || conname FROM pg_constraint WHERE oid >= 16384
  UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typtype = 'e'
  UNION ALL SELECT 'routine ' || proname FROM pg_proc WHERE oid >= 16384
  UNION ALL SELECT 'statistics ' || stxname FROM pg_statistic_ext
  UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT 'policy ' || polname FROM pg_policy
  UNION ALL SELECT 'rule ' || rulename FROM pg_rules WHERE schemaname IN ('public', 'other')
  UNION ALL SELECT 'comment ' || description FROM pg_description WHERE objoid >= 16384
  UNION ALL SELECT 'granted ' || relname FROM pg_class WHERE oid >= 16384 AND relacl::text LIKE '%clerk%'
  UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_'
  UNION ALL SELECT 'default privileges' FROM pg_default_acl) found`;

const film = [
  ...['S public.film_g_seq', 'S public.film_id_seq', 'i public.film_m', 'i public.film_pkey', 'i public.film_u_key'],
  ...['r public.film', 'constraint film_pkey', 'constraint film_u_check', 'constraint film_u_key', 'type mood'],
  ...['routine stamp', 'statistics film_stat', 'trigger tr', 'policy po', 'rule ru', 'comment a comment'],
  ...['comment another', 'granted film', 'granted film_id_seq'],
];

describe('of a dump', () => {
  let server: TestCluster;
  let site: CommandSite;
  const dumps = new Map<string, string>();
  before(async () => {
    server = await TestCluster.create({ major: 15 });
    site = new CommandSite();
    const done = site.run(['init', 'main', '--connection', server.uri(), '--repository', site.repository]);
    assert.equal(done.status, 0, done.stderr);
    {
      await using session = await server.session();
      await session.query('CREATE DATABASE shop');
      await session.query('CREATE ROLE clerk; CREATE ROLE boss SUPERUSER; CREATE ROLE "배달 ""원"""');
    }
    {
      await using session = await server.session('shop');
      await session.query(contents);
    }
    for (const format of ['plain', 'custom', 'directory', 'tar']) {
      const dumped = site.run(['dump', 'main', '--database', 'shop', '--format', format, '--json']);
      assert.equal(dumped.status, 0, dumped.stderr);
      dumps.set(format, (dumped.json() as { id: string }).id);
    }
  });
  after(async () => {
    site[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const load = (format: string, database: string, ...words: readonly string[]): CommandResult =>
    site.run(['load', 'main', dumps.get(format) ?? '', '--database', database, '--json', ...words]);
  const found = async (database: string): Promise<readonly string[]> => {
    await using session = await server.session(database);
    const [row] = await session.query<{ all: string[] }>(inventory);
    return row?.all ?? [];
  };
  const count = async (database: string, table: string): Promise<number> => {
    await using session = await server.session(database);
    const [row] = await session.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${table}`);
    return row?.n ?? -1;
  };
  const error = (result: CommandResult): { code: string; message: string; hint: string } =>
    (result.json() as { error: { code: string; message: string; hint: string } }).error;

  for (const [format, ...jobs] of [
    ['custom'],
    ['custom', '--jobs', '2'],
    ['directory', '--jobs', '2'],
    ['tar'],
    ['tar', '--jobs', '2'],
  ] as const) {
    const name = [format, ...jobs].join(' ');
    it(`(${name}) a table is loaded with all that belongs to it, and what it needs, and nothing else`, async () => {
      const database = `film ${name}`;
      const done = load(format, database, '--create', '--only', 'film', ...jobs);
      assert.equal(done.status, 0, done.stderr);
      assert.deepEqual(await found(database), film.toSorted());
      assert.equal(await count(database, 'film'), 500);
      assert.match(done.stderr, /needed, and loaded, too: type public\.mood, function public\.stamp\(\)/);
      await using session = await server.session(database);
      const [next] = await session.query<{ id: number }>('INSERT INTO film (u) VALUES (999) RETURNING id');
      assert.equal(next?.id, 501);
    });

    it(`(${name}) the whole is loaded, large objects too`, async () => {
      const done = load(format, `whole ${name}`, '--create', ...jobs);
      assert.equal(done.status, 0, done.stderr);
      assert.deepEqual(await found(`whole ${name}`), await found('shop'));
      assert.equal(await count(`whole ${name}`, 'pg_largeobject'), 1);
    });
  }

  it('a schema is loaded whole; what refers out of it is left out, and said', async () => {
    const done = load('custom', 'other', '--create', '--only', 'other');
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stderr, /left out, since what it refers to is: fk constraint other\.rent rent_f_fkey/);
    assert.match(done.stderr, /left out, since what it refers to is: table attach other\.p1/);
    const there = await found('other');
    assert.deepEqual(
      there.filter((what) => !/^[ri] other\.|^granted /.test(what)),
      ['constraint rent_pkey', 'default privileges', 'schema other'],
    );
    assert.equal(await count('other', 'other.rent'), 100);
    assert.equal(await count('other', 'other.p1'), 8);
  });

  it('two tables come with the foreign key and the partition between them', async () => {
    const words = ['--only', 'public.film', '--only', 'other.rent', '--only', 'p', '--only', 'other.p1'];
    const done = load('directory', 'two', '--create', ...words);
    assert.equal(done.status, 0, done.stderr);
    assert.doesNotMatch(done.stderr, /left out/);
    assert.ok((await found('two')).includes('constraint rent_f_fkey'));
    assert.equal(await count('two', 'p'), 8);
  });

  it('one table that was dropped is loaded back among the others, which stay as they are', async () => {
    const whole = load('custom', 'live', '--create');
    assert.equal(whole.status, 0, whole.stderr);
    {
      await using session = await server.session('live');
      await session.query('DROP TABLE other.rent; UPDATE film SET m = $$b$$');
    }
    assert.equal(error(load('custom', 'live', '--only', 'rent')).code, 'database-not-empty');
    const done = load('custom', 'live', '--force', '--only', 'rent');
    assert.equal(done.status, 0, done.stderr);
    assert.doesNotMatch(done.stderr, /needed|left out/);
    // What the target grants by default is granted there.
    const there = (await found('live')).filter((what) => what !== 'granted rent');
    assert.deepEqual(there, await found('shop'));
    assert.equal(await count('live', "film WHERE m = 'b'"), 500);
  });

  for (const [format, ...jobs] of [
    ['custom'],
    ['custom', '--jobs', '2'],
    ['directory'],
    ['tar'],
    ['tar', '--jobs', '2'],
  ] as const) {
    it(`(${[format, ...jobs].join(' ')}) what belongs or is granted to one role goes to another, and nothing else changes`, async () => {
      const database = `mapped ${format} ${jobs.join(' ')}`;
      const words = ['--create', '--owner', 'clerk=배달 "원"', '--owner', 'postgres=boss', ...jobs];
      const done = load(format, database, ...words);
      assert.equal(done.status, 0, done.stderr);
      await using session = await server.session(database);
      const [row] = await session.query(
        `SELECT (SELECT array_agg(DISTINCT tableowner) FROM pg_tables WHERE schemaname IN ('public', 'other')) AS owners,
                (SELECT relacl::text FROM pg_class WHERE relname = 'film_id_seq') AS granted,
                (SELECT defaclacl::text FROM pg_default_acl) AS by_default,
                (SELECT count(*)::int FROM film) AS films`,
      );
      assert.deepEqual(row, {
        owners: '{boss}',
        granted: String.raw`{boss=rwU/boss,"\"배달 \"\"원\"\"\"=U/boss"}`,
        by_default: String.raw`{"\"배달 \"\"원\"\"\"=r/boss"}`,
        films: 500,
      });
      const all = (await found(database)).filter((what) => !what.startsWith('granted'));
      assert.deepEqual(
        all,
        (await found('shop')).filter((what) => !what.startsWith('granted')),
      );
    });
  }

  it('a role that nothing belongs to is not mapped', () => {
    const absent = error(load('custom', 'refused', '--create', '--owner', 'clark=boss'));
    assert.equal(absent.code, 'object-unknown');
    assert.match(absent.hint, /did you mean "clerk"/);
  });

  it('names are found as they are, and in quotes as SQL has them', async () => {
    const name = `other."a.b ""c""\n고객"`;
    const plain = `other.a.b "c"\n고객`;
    for (const [database, word] of [
      ['quoted', name],
      ['unquoted', plain],
    ] as const) {
      const done = load('custom', database, '--create', '--only', word);
      assert.equal(done.status, 0, done.stderr);
      assert.deepEqual(await found(database), ['granted a.b "c"\n고객', 'r other.a.b "c"\n고객', 'schema other']);
    }
  });

  it('what is not there, ambiguous, or cannot be made alone is refused before anything is made', async () => {
    const absent = error(load('custom', 'refused', '--create', '--only', 'films'));
    assert.equal(absent.code, 'object-unknown');
    assert.match(absent.hint, /did you mean "film"/);
    const twin = error(load('custom', 'refused', '--create', '--only', 'twin'));
    assert.match(twin.message, /can be other\.twin or public\.twin/);
    for (const word of ['seen', 'child']) {
      const lacking = error(load('custom', 'refused', '--create', '--only', word));
      assert.equal(lacking.code, 'objects-lacking');
      assert.match(lacking.hint, /--only 'public\.film'/);
    }
    for (const word of ['--only=film', '--no-owner', '--no-privileges', '--role=clerk', '--owner=clerk=boss']) {
      const script = error(load('plain', 'refused', '--create', word));
      assert.equal(script.code, 'usage');
      assert.match(script.message, /a plain dump has no table of contents/);
    }
    await using session = await server.session();
    assert.deepEqual(await session.query("SELECT FROM pg_database WHERE datname = 'refused'"), []);
  });
});
