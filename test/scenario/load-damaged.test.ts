import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite, type CommandResult } from '../support/command-site.ts';

/* Dumps that are not what they were, and dumps that pg_dump has made elsewhere: what a load makes of them. */

const bin = '/usr/lib/postgresql/15/bin';

interface Failed {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly details: Readonly<Record<string, unknown>>;
}

describe('an archive', () => {
  let server: TestCluster;
  let site: CommandSite;
  before(async () => {
    server = await TestCluster.create({ major: 15 });
    site = new CommandSite();
    const done = site.run(['init', 'main', '--connection', server.uri(), '--repository', site.repository]);
    assert.equal(done.status, 0, done.stderr);
    {
      await using session = await server.session();
      await session.query('CREATE DATABASE shop; ');
      await session.query('CREATE ROLE clerk; CREATE ROLE boss');
    }
    await using session = await server.session('shop');
    await session.query(`CREATE TABLE film (id serial PRIMARY KEY, title text); ALTER TABLE film OWNER TO clerk;
      INSERT INTO film (title) SELECT 'film ' || md5(i::text) || md5((-i)::text) FROM generate_series(1, 30000) i;
      CREATE TABLE rent (id int REFERENCES film); INSERT INTO rent SELECT i FROM generate_series(1, 500) i`);
  });
  after(async () => {
    site[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const run = (...words: readonly string[]): CommandResult => {
    // What stands after -- is for pg_restore.
    const rest = words.includes('--') ? words.indexOf('--') : words.length;
    return site.run([...words.slice(0, rest), '--json', ...words.slice(rest)]);
  };
  const idOf = (done: CommandResult): string => {
    assert.equal(done.status, 0, done.stderr);
    return (done.json() as { id: string }).id;
  };
  const failure = (result: CommandResult): Failed => {
    assert.notEqual(result.status, 0, result.stdout);
    return (result.json() as { error: Failed }).error;
  };
  /** Made by pg_dump as people call it, then perhaps edited. */
  const made = (name: string, words: readonly string[], edit?: (bytes: Buffer) => void): string => {
    const path = join(site.directory, name);
    execFileSync(join(bin, 'pg_dump'), [...words, '-f', path, '-h', server.socketDirectory, '-U', 'postgres', 'shop']);
    if (!edit) return path;
    const bytes = readFileSync(path);
    edit(bytes);
    writeFileSync(path, bytes);
    return path;
  };
  const imported = (path: string): string => idOf(run('import', 'main', path, '--database', 'shop'));
  const films = async (database: string): Promise<number> => {
    await using session = await server.session(database);
    const [row] = await session.query<{ n: number }>('SELECT count(*)::int AS n FROM film');
    return row?.n ?? -1;
  };

  for (const [format, ...jobs] of [['c'], ['c', '--jobs', '2'], ['t'], ['d', '--jobs', '2']] as const) {
    it(`that pg_dump has made (-F${format}, ${jobs.join(' ')}) is loaded whole or in part, and for other owners`, async () => {
      const id = imported(made(`native-${format}-${jobs.length}`, [`-F${format}`]));
      for (const [index, words] of [[], ['--only', 'film'], ['--owner', 'clerk=boss']].entries()) {
        const database = `native ${format} ${jobs.length} ${index}`;
        const done = run('load', 'main', id, '--database', database, '--create', ...jobs, ...words);
        assert.equal(done.status, 0, done.stderr);
        assert.equal(await films(database), 30_000);
        await using session = await server.session(database);
        const tables = await session.query<{ t: string; o: string }>(
          "SELECT tablename AS t, tableowner AS o FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
        );
        assert.deepEqual(
          tables.map(({ t, o }) => `${t} ${o}`),
          [`film ${index === 2 ? 'boss' : 'clerk'}`, ...(index === 1 ? [] : ['rent postgres'])],
        );
      }
    });
  }

  /** A byte that no text of UTF-8 has. */
  const spoil = (bytes: Buffer): void => {
    const at = bytes.indexOf('film ', Math.floor(bytes.length / 2));
    assert.ok(at > 0);
    bytes[at] = 0xff;
  };

  it('whose rows somebody has edited is loaded without that table: which one is told', async () => {
    const id = imported(made('edited', ['-Fc', '-Z0'], spoil));
    const failed = failure(run('load', 'main', id, '--database', 'edited', '--create'));
    assert.equal(failed.code, 'load-failed');
    assert.match(failed.message, /"edited" is incomplete; .*invalid byte sequence/);
    const [first] = failed.details['failures'] as { entry: string }[];
    assert.equal(first?.entry, 'TABLE DATA film clerk');
    assert.equal(await films('edited'), 0);
    // A row is not there that another refers to.
    assert.ok(Number(failed.details['errors']) >= 2);
    const words = ['--create', '--', '--single-transaction'];
    const undone = failure(run('load', 'main', id, '--database', 'undone', ...words));
    assert.match(undone.message, /"undone" is as it was; .*invalid byte sequence/);
    await using session = await server.session('undone');
    assert.deepEqual(await session.query("SELECT FROM pg_tables WHERE schemaname = 'public'"), []);
  });

  it('that is a script, and was edited, leaves the database as it was', async () => {
    const id = imported(made('edited.sql', ['-Fp'], spoil));
    const failed = failure(run('load', 'main', id, '--database', 'edited script', '--create'));
    assert.match(failed.message, /"edited script" is as it was; .*invalid byte sequence/);
    await using session = await server.session('edited script');
    assert.deepEqual(await session.query("SELECT FROM pg_tables WHERE schemaname = 'public'"), []);
  });

  /** One bit, so far into what it has stored. */
  const damagePack = (id: string, fraction: number): void => {
    const { packs } = run('show', 'main', id).json() as { packs: readonly string[] };
    const found = readdirSync(site.repository, { recursive: true, encoding: 'utf8' }).find((path) =>
      path.endsWith(packs[0] ?? ' '),
    );
    assert.ok(found);
    const path = join(site.repository, found);
    const bytes = readFileSync(path);
    const at = Math.floor(bytes.length * fraction);
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    writeFileSync(path, bytes);
    site.give(path);
  };

  it('that is a script with large objects, whose transactions end ours, is named as incomplete, too', async () => {
    await using session = await server.session();
    await session.query('CREATE DATABASE objects');
    {
      await using objects = await server.session('objects');
      await objects.query(`SELECT lo_from_bytea(0, convert_to(string_agg(md5(i::text), ''), 'UTF8'))
        FROM generate_series(1, 150000) i`);
    }
    const id = idOf(run('dump', 'main', '--database', 'objects', '--independent', '--format', 'plain'));
    damagePack(id, 0.9);
    const failed = failure(run('load', 'main', id, '--database', 'half of them', '--create'));
    assert.match(failed.code, /^(?:blob|object)-damaged$/);
    assert.match(failed.message, /"half of them" is incomplete$/);
  });

  it('that is damaged in the repository is told from one that was dumped so, and the database named as incomplete', async () => {
    // More than is read with the table of contents.
    {
      await using session = await server.session();
      await session.query('CREATE DATABASE large');
      await using large = await server.session('large');
      await large.query(`CREATE TABLE film AS
        SELECT 'film ' || md5(i::text) || md5((-i)::text) AS title FROM generate_series(1, 150000) i`);
    }
    const id = idOf(run('dump', 'main', '--database', 'large', '--independent'));
    damagePack(id, 0.6);
    for (const [database, ...jobs] of [['damaged'], ['damaged files', '--jobs', '2']] as const) {
      const words = ['load', 'main', id, '--database', database] as const;
      const result = run(...words, '--create', ...jobs);
      assert.equal(result.status, 3, result.stderr);
      const failed = failure(result);
      assert.match(failed.code, /^(?:blob|object)-damaged$/);
      // With files, nothing was begun.
      const isBegun = jobs.length === 0;
      assert.ok(
        failed.message.endsWith(isBegun ? 'is incomplete' : `"${database}" was made for this load, and is empty`),
        failed.message,
      );
      const again = failure(run(...words, ...jobs));
      if (isBegun) assert.match(again.message, /is not empty, and incomplete: a load of/);
      else assert.match(again.code, /^(?:blob|object)-damaged$/);
    }
  });
});
