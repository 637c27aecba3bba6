import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite, type CommandResult } from '../support/command-site.ts';
import { fullPostgres } from '../support/full-postgres.ts';

/* pgrecall load, as an administrator types it: every form of a dump, and what is in the way of it. */

const hostile = `Ö "shop" it's = a\nname\\`;

interface Failed {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint: string;
    readonly details: Readonly<Record<string, unknown>>;
  };
}

describe('a dump', () => {
  let server: TestCluster;
  let site: CommandSite;
  before(async () => {
    server = await TestCluster.create({ major: 15 });
    site = new CommandSite();
    const done = site.run(['init', 'main', '--connection', server.uri(), '--repository', site.repository]);
    assert.equal(done.status, 0, done.stderr);
    {
      await using session = await server.session();
      await session.query('CREATE DATABASE shop');
      await session.query('CREATE ROLE clerk');
      await session.query('CREATE DATABASE taken');
    }
    {
      await using session = await server.session('shop');
      await session.query(`CREATE TABLE film (id int PRIMARY KEY, title text NOT NULL);
        INSERT INTO film SELECT i, 'film ' || i || repeat(md5(i::text), 20) FROM generate_series(1, 5000) i;
        CREATE TABLE "Möbel ""alt""" (id serial, film_id int REFERENCES film);
        INSERT INTO "Möbel ""alt""" (film_id) SELECT i FROM generate_series(1, 1000) i;
        ALTER TABLE film OWNER TO clerk`);
    }
    await using session = await server.session('taken');
    await session.query('CREATE TABLE t (i int)');
  });
  after(async () => {
    site[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  /** The identifier of a new dump of "shop". */
  const dump = (...words: readonly string[]): string => {
    const done = site.run(['dump', 'main', '--database', 'shop', '--json', ...words]);
    assert.equal(done.status, 0, done.stderr);
    return (done.json() as { id: string }).id;
  };
  const load = (...words: readonly string[]): CommandResult => site.run(['load', 'main', '--json', ...words]);
  const failure = (result: CommandResult): Failed['error'] => {
    assert.notEqual(result.status, 0, result.stdout);
    return (result.json() as Failed).error;
  };
  const contents = async (database: string): Promise<unknown> => {
    await using session = await server.session(database);
    return await session.query(
      `SELECT (SELECT md5(string_agg(f::text, ',' ORDER BY id)) FROM film f) AS films,
              (SELECT md5(string_agg(m::text, ',' ORDER BY id)) FROM "Möbel ""alt""" m) AS furniture,
              (SELECT count(*)::int FROM pg_constraint WHERE contype IN ('p', 'f')) AS keys,
              (SELECT tableowner FROM pg_tables WHERE tablename = 'film') AS owner`,
    );
  };

  for (const [name, format, jobs] of [
    ['plain', 'plain', []],
    ['custom', 'custom', []],
    ['custom over two connections', 'custom', ['--jobs', '2']],
    ['directory', 'directory', ['--jobs', '2']],
    ['tar', 'tar', []],
  ] as const) {
    it(`in the format ${name} is loaded into a new database, with all that was in the old one`, async () => {
      const id = dump('--format', format);
      const done = load(id, '--database', `copy ${name}`, '--create', ...jobs);
      assert.equal(done.status, 0, done.stderr);
      assert.equal((done.json() as { created: boolean }).created, true);
      assert.equal(/it is written to ".*" first/.test(done.stderr), jobs.length > 0, done.stderr);
      assert.deepEqual(await contents(`copy ${name}`), await contents('shop'));
      const left = readdirSync(site.directory, { recursive: true, encoding: 'utf8' });
      assert.deepEqual(
        left.filter((path) => /(?:^|\/)(?:load|dump)-[^/]{6}$/.test(path)),
        [],
      );
    });
  }

  for (const format of ['plain', 'custom']) {
    it(`in the format ${format} goes into a database whose name is a trap`, async () => {
      const database = `${hostile} ${format}`;
      const done = load(dump('--format', format), '--database', database, '--create');
      assert.equal(done.status, 0, done.stderr);
      assert.deepEqual(await contents(database), await contents('shop'));
    });
  }

  it('is not loaded into a database that is not there, or not empty', async () => {
    const id = dump();
    const absent = failure(load(id, '--database', 'absent'));
    assert.equal(absent.code, 'database-unknown');
    assert.match(absent.hint, /--create/);
    assert.equal(failure(load(id, '--database', 'taken', '--create')).code, 'database-not-empty');
    await using session = await server.session('taken');
    assert.equal((await session.query("SELECT FROM pg_tables WHERE schemaname = 'public'")).length, 1);
  });

  it('without its owner’s role at the target says so: a plain one leaves nothing, another is incomplete', async () => {
    const [plain, custom] = [dump('--format', 'plain'), dump()];
    await using session = await server.session();
    await session.query('ALTER ROLE clerk RENAME TO gone');
    try {
      const undone = failure(load(plain, '--database', 'undone', '--create'));
      assert.equal(undone.code, 'load-failed');
      assert.match(undone.message, /"undone" is as it was.*role "clerk" does not exist/);
      assert.match(undone.hint, /CREATE ROLE "clerk"/);
      assert.equal(undone.details['incomplete'], false);
      await using there = await server.session('undone');
      assert.deepEqual(await there.query("SELECT FROM pg_tables WHERE schemaname = 'public'"), []);
      const incomplete = failure(load(custom, '--database', 'incomplete', '--create'));
      assert.match(incomplete.message, /"incomplete" is incomplete.*role "clerk" does not exist/);
      assert.equal(incomplete.details['errors'], 1);
      const done = load(custom, '--database', 'unowned', '--create', '--', '--no-owner');
      assert.equal(done.status, 0, done.stderr);
    } finally {
      await session.query('ALTER ROLE gone RENAME TO clerk');
    }
  });

  it('as a script loads into the server that it comes from, also where newer client programs are found', async () => {
    const env = { PATH: `${fullPostgres().binDirectory}:${process.env['PATH'] ?? ''}` };
    const words = ['dump', 'main', '--database', 'shop', '--format', 'plain', '--json'];
    const done = site.run(words, { env });
    assert.equal(done.status, 0, done.stderr);
    const { id, dump: facts } = done.json() as { readonly id: string; readonly dump: { readonly dumpVersion: string } };
    assert.match(facts.dumpVersion, /^15/);
    const loaded = site.run(['load', 'main', id, '--database', 'home again', '--create', '--json'], { env });
    assert.equal(loaded.status, 0, loaded.stderr);
  });

  it('that is damaged is not loaded: of a plain one nothing stays', async () => {
    const id = dump('--format', 'plain', '--independent');
    const shown = site.run(['show', 'main', id, '--json']).json() as { packs: readonly string[] };
    const [pack = ''] = shown.packs;
    const found = readdirSync(site.repository, { recursive: true, encoding: 'utf8' }).find((path) =>
      path.endsWith(pack),
    );
    assert.ok(pack !== '' && found !== undefined);
    const path = join(site.repository, found);
    const bytes = readFileSync(path);
    // Towards the end of the script, after most of its rows.
    const at = Math.floor(bytes.length * 0.8);
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    writeFileSync(path, bytes);
    site.give(path);
    const refused = failure(load(id, '--database', 'half', '--create'));
    assert.match(refused.code, /^(?:blob|object)-damaged$/);
    await using session = await server.session('half');
    assert.deepEqual(await session.query("SELECT FROM pg_tables WHERE schemaname = 'public'"), []);
  });

  it('of several databases is loaded one by one', async () => {
    const id = dump('--database', 'taken', '--globals');
    const unsaid = failure(load(id, '--database', 'one', '--create'));
    assert.equal(unsaid.code, 'database-unknown');
    assert.match(unsaid.hint, /"shop", "taken"/);
    const done = load(id, '--database', 'one', '--source', 'taken', '--create');
    assert.equal(done.status, 0, done.stderr);
    await using session = await server.session('one');
    assert.equal((await session.query('SELECT FROM pg_tables WHERE tablename = $1', ['t'])).length, 1);
  });

  it('is refused options that would lead elsewhere', () => {
    const [custom, plain] = [dump(), dump('--format', 'plain', '--', '--create')];
    for (const words of [
      [custom, '--', '--dbname=shop'],
      [custom, '--', '-dshop'],
      [custom, '--', 'file'],
      [custom, '--', '-C'],
      [plain],
      [plain, '--jobs', '2'],
      [plain, '--', '--no-owner'],
      [custom, '--to', 'postgresql://a:secret@localhost/x'],
    ]) {
      const [id = '', ...more] = words;
      const refused = failure(load(id, '--database', 'taken', '--force', ...more));
      assert.equal(refused.code, 'usage', words.join(' '));
      assert.doesNotMatch(JSON.stringify(refused), /secret/);
    }
  });
});
