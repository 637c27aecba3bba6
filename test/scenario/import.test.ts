import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite, type CommandResult } from '../support/command-site.ts';
import { fullPostgres } from '../support/full-postgres.ts';

/* pgrecall import, as an administrator types it, of what pg_dump has made without pgrecall. */

const clients = '/usr/lib/postgresql/15/bin';

interface Answer {
  readonly id: string;
  readonly storedBytes: number;
  readonly dump: {
    readonly format: string;
    readonly databases: readonly { readonly name: string }[];
    readonly globals: boolean;
    readonly content: string;
    readonly imported: { readonly file: string };
  };
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string };
}

describe('a file of pg_dump', () => {
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
    }
    await using session = await server.session('shop');
    await session.query(`CREATE TABLE film (id int PRIMARY KEY, title text NOT NULL);
      INSERT INTO film SELECT i, 'film ' || i || repeat(md5(i::text), 20) FROM generate_series(1, 3000) i;
      CREATE TABLE "Möbel" (id serial, film_id int REFERENCES film);
      INSERT INTO "Möbel" (film_id) SELECT i FROM generate_series(1, 500) i;
      SELECT lo_from_bytea(0, convert_to('large ' || i, 'UTF8')) FROM generate_series(1, 3) i`);
    shell(
      'pg_dump -Fp shop > shop.sql; pg_dump -Fp -C shop > create.sql; pg_dumpall -g > globals.sql; pg_dumpall > all.sql',
    );
    shell('pg_dump -Fc shop -f shop.dump; pg_dump -Fc -Z0 shop > piped.dump; pg_dump -Ft shop > shop.tar');
    shell('pg_dump -Fd shop -f shop.dir; pg_dump -Fd -Z0 -j 2 shop -f raw.dir; pg_dump -s -Fc shop -f schema.dump');
    shell(
      'gzip -k shop.sql; gzip -k piped.dump; zstd -q shop.sql; zstd -q shop.tar; split -b 50000 -a 3 -d piped.dump parts.',
    );
    // Only who asks can read some of them.
    shell('split -b 9000 shop.sql.gz gz.; chmod 600 shop.dump; chmod -R go= shop.dir');
  });
  after(async () => {
    site[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const shell = (command: string): void => {
    const { PATH = '' } = process.env;
    const env = { PATH: `${clients}:${PATH}`, PGHOST: server.socketDirectory, PGUSER: 'postgres' };
    execFileSync('bash', ['--norc', '-ec', command], { env, cwd: site.directory });
  };
  const path = (name: string): string => join(site.directory, name);
  const importing = (name: string, ...words: readonly string[]): CommandResult =>
    site.run(['import', 'main', path(name), '--json', ...words]);
  const imported = (...words: Parameters<typeof importing>): Answer => {
    const done = importing(...words);
    assert.equal(done.status, 0, done.stderr);
    return done.json() as Answer;
  };
  const failure = (...words: Parameters<typeof importing>): NonNullable<Answer['error']> => {
    const counted = count();
    const { error } = importing(...words).json() as Answer;
    assert.ok(error);
    assert.deepEqual(count(), counted);
    return error;
  };
  /** Dumps that are listed, and objects in the repository. */
  const count = (): unknown => {
    const listed = site.run(['list', 'main', '--json']).json() as { backups: readonly unknown[] };
    const objects = readdirSync(site.repository, { recursive: true, withFileTypes: true });
    return [listed.backups.length, objects.filter((entry) => entry.isFile()).length];
  };
  const contents = async (database: string): Promise<unknown> => {
    await using session = await server.session(database);
    return await session.query(
      `SELECT (SELECT md5(string_agg(f::text, ',' ORDER BY id)) FROM film f) AS films,
              (SELECT md5(string_agg(m::text, ',' ORDER BY id)) FROM "Möbel" m) AS furniture,
              (SELECT count(*)::int FROM pg_constraint WHERE contype IN ('p', 'f')) AS keys,
              (SELECT count(*)::int FROM pg_largeobject_metadata) AS large`,
    );
  };

  for (const [name, format, words] of [
    ['shop.sql', 'plain', ['--database', 'shop']],
    ['shop.sql.gz', 'plain', ['--database', 'shop']],
    ['shop.sql.zst', 'plain', ['--database', 'shop']],
    ['gz.aa', 'plain', ['--database', 'shop']],
    ['shop.dump', 'custom', []],
    ['piped.dump', 'custom', []],
    ['piped.dump.gz', 'custom', []],
    ['parts.000', 'custom', []],
    ['parts.*', 'custom', []],
    ['shop.tar', 'tar', []],
    ['shop.tar.zst', 'tar', []],
    ['shop.dir', 'directory', []],
    ['raw.dir', 'directory', []],
  ] as const) {
    it(`that is ${name} is imported in the format ${format}, and loaded`, async () => {
      const { id, dump } = imported(name, ...words, '--note', name);
      assert.deepEqual([dump.format, dump.databases.map((one) => one.name), dump.content], [format, ['shop'], 'all']);
      assert.equal(dump.imported.file, name);
      const loaded = site.run(['load', 'main', id, '--database', `from ${name}`, '--source', 'shop', '--create']);
      assert.equal(loaded.status, 0, loaded.stderr);
      assert.deepEqual(await contents(`from ${name}`), await contents('shop'));
    });
  }

  it('that the repository knows from a dump of its own stores little', () => {
    const dumped = site.run(['dump', 'main', '--database', 'shop', '--format', 'plain']);
    assert.equal(dumped.status, 0, dumped.stderr);
    const { storedBytes } = imported('shop.sql', '--database', 'shop');
    assert.ok(storedBytes < 60_000, String(storedBytes));
  });

  it('is shown and verified like a dump of ours', () => {
    const { id } = imported('shop.tar');
    assert.match(site.run(['show', 'main', id]).stdout, /imported +from shop\.tar/);
    const verified = site.run(['verify', 'main', id]);
    assert.equal(verified.status, 0, verified.stderr);
  });

  it('with the schema alone is told as that', () => {
    assert.equal(imported('schema.dump').dump.content, 'schema');
  });

  it('that makes its database itself tells its name, and is not loaded into another', () => {
    const { id, dump } = imported('create.sql');
    assert.deepEqual(
      dump.databases.map((one) => one.name),
      ['shop'],
    );
    const refused = site.run(['load', 'main', id, '--database', 'x', '--source', 'shop', '--create']);
    assert.match(refused.stderr, /it would make a database of its own name/);
  });

  it('of the globals is imported; one of all databases is not', () => {
    const { dump } = imported('globals.sql');
    assert.deepEqual([dump.globals, dump.databases], [true, []]);
    const { code, message } = failure('all.sql');
    assert.equal(code, 'usage');
    assert.match(message, /pg_dumpall, with databases in it/);
  });

  it('is exported as it was', () => {
    const { id } = imported('shop.dump');
    const done = site.run(['export', 'main', id, '--to', path('again.dump')]);
    assert.equal(done.status, 0, done.stderr);
    assert.ok(readFileSync(path('again.dump')).equals(readFileSync(path('shop.dump'))));
  });

  it('that is cut off is not listed, and leaves nothing', () => {
    for (const name of ['shop.sql.zst', 'shop.dump', 'shop.tar']) {
      const whole = readFileSync(path(name));
      writeFileSync(path(`cut-${name}`), whole.subarray(0, Math.floor(whole.length * 0.97)));
      assert.equal(failure(`cut-${name}`, '--database', 'shop').code, 'dump-contents', name);
    }
  });

  it('that was changed is not listed, where its compression or its structure tells', () => {
    for (const name of ['shop.dump', 'shop.tar']) {
      const bytes = readFileSync(path(name));
      const at = name === 'shop.tar' ? bytes.indexOf('ustar', 600) : Math.floor(bytes.length * 0.6);
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
      writeFileSync(path(`changed-${name}`), bytes);
      assert.equal(failure(`changed-${name}`, '--database', 'shop').code, 'dump-contents', name);
    }
  });

  it('is not listed where a part or a file of it is missing, which is named', () => {
    renameSync(path('parts.002'), path('lost'));
    assert.match(failure('parts.000').message, /"parts\.002" is missing/);
    renameSync(path('lost'), path('parts.002'));
    execFileSync('cp', ['-r', path('shop.dir'), path('half.dir')]);
    const rows = readdirSync(path('half.dir')).find((name) => /^\d+\.dat\.gz$/.test(name)) ?? '';
    rmSync(path(join('half.dir', rows)));
    assert.match(failure('half.dir').message, /has no "\d+\.dat", of "TABLE DATA /);
    copyFileSync(path(join('shop.dir', rows)), path(join('half.dir', rows)));
    const object = readdirSync(path('half.dir')).find((name) => name.startsWith('blob_')) ?? '';
    rmSync(path(join('half.dir', object)));
    assert.match(failure('half.dir').message, /lists 3 large objects and has 2/);
  });

  it('that is none is told as that', () => {
    writeFileSync(path('letter'), 'Dear Sir');
    writeFileSync(path('nothing'), '');
    mkdirSync(path('empty'));
    assert.match(failure('letter').message, /neither an archive nor a script/);
    assert.match(failure('nothing').message, /is empty/);
    assert.match(failure('empty').message, /no toc\.dat/);
    assert.match(failure('absent').message, /there is no file/);
    assert.match(failure('parts').hint, /did you mean ".*parts\.000"/);
    assert.match(failure('shop.sql').message, /does not tell which database/);
    assert.match(failure(join('shop.dir', 'toc.dat')).message, /toc\.dat of a dump in the directory format/);
  });
});

describe('a file of pg_dump 18', () => {
  it('is imported in every form, and loaded again', async () => {
    await using server = await TestCluster.create({ major: 18 });
    using site = new CommandSite();
    const bin = fullPostgres().binDirectory;
    const { PATH = '' } = process.env;
    const done = site.run(['init', 'main', '--connection', server.uri(), '--repository', site.repository]);
    assert.equal(done.status, 0, done.stderr);
    {
      await using session = await server.session();
      await session.query('CREATE DATABASE shop');
    }
    await using session = await server.session('shop');
    await session.query(`CREATE TABLE film AS SELECT i AS id, md5(i::text) AS title FROM generate_series(1, 2000) i;
      SELECT lo_from_bytea(0, convert_to('large ' || i, 'UTF8')) FROM generate_series(1, 3) i; ANALYZE`);
    const kinds = [
      ...['-Fc --compress=gzip', '-Fc --compress=lz4 --statistics', '-Fc --compress=zstd', '-Ft'],
      ...['-Fd --compress=gzip', '-Fd --compress=lz4'],
    ];
    for (const [at, words] of kinds.entries()) {
      const file = join(site.directory, `file${at}`);
      const env = { PATH, PGHOST: server.socketDirectory, PGUSER: 'postgres' };
      const dumped = spawnSync(join(bin, 'pg_dump'), [...words.split(' '), 'shop', '-f', file], {
        env,
        encoding: 'utf8',
      });
      // Not every build has every method.
      if (/not supported|support for/.test(dumped.stderr)) continue;
      assert.equal(dumped.status, 0, dumped.stderr);
      const stored = site.run(['import', 'main', file, '--json']);
      assert.equal(stored.status, 0, words + stored.stderr);
      const { id } = stored.json() as Answer;
      const loaded = site.run(['load', 'main', id, '--database', `from ${words}`, '--create'], {
        env: { PATH: `${bin}:${PATH}` },
      });
      assert.equal(loaded.status, 0, words + loaded.stderr);
      await using there = await server.session(`from ${words}`);
      assert.deepEqual(
        await there.query(
          'SELECT count(*)::int, (SELECT count(*)::int FROM pg_largeobject_metadata) AS large FROM film',
        ),
        [{ count: 2000, large: 3 }],
      );
      // Of a directory the file of its rows alone is taken, whatever its ending.
      const only = ['load', 'main', id, '--database', `part ${words}`, '--create', '--only', 'film'];
      const part = site.run(only, { env: { PATH: `${bin}:${PATH}` } });
      assert.equal(part.status, 0, words + part.stderr);
      await using parted = await server.session(`part ${words}`);
      assert.deepEqual(await parted.query('SELECT count(*)::int FROM film'), [{ count: 2000 }]);
    }
  });
});
