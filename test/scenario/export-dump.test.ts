import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite, type CommandResult } from '../support/command-site.ts';

/* pgrecall export of dumps, as an administrator types it; what comes is loaded by psql and pg_restore alone. */

const clients = '/usr/lib/postgresql/15/bin';
const hostile = `Ö/"shop" it's\na`;

interface Exported {
  readonly exports: readonly { readonly database: string | null; readonly path: string; readonly files: number }[];
  readonly error?: { readonly code: string; readonly message: string };
}

describe('a dump', () => {
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
      await session.query(`CREATE DATABASE "${hostile.replaceAll('"', '""')}"`);
    }
    {
      await using session = await server.session('shop');
      await session.query(`CREATE TABLE film (id int PRIMARY KEY, title text NOT NULL);
        INSERT INTO film SELECT i, 'film ' || i || repeat(md5(i::text), 20) FROM generate_series(1, 3000) i;
        CREATE TABLE "Möbel" (id serial, film_id int REFERENCES film);
        INSERT INTO "Möbel" (film_id) SELECT i FROM generate_series(1, 500) i;
        SELECT lo_from_bytea(0, 'large')`);
    }
    for (const format of ['plain', 'custom', 'tar', 'directory']) {
      const dumped = site.run(['dump', 'main', '--database', 'shop', '--format', format, '--json']);
      assert.equal(dumped.status, 0, dumped.stderr);
      dumps.set(format, (dumped.json() as { id: string }).id);
    }
  });
  after(async () => {
    site[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const path = (name: string): string => join(site.directory, name);
  const exporting = (format: string, to: string, ...words: readonly string[]): CommandResult =>
    site.run(['export', 'main', dumps.get(format) ?? format, '--to', to, '--json', ...words]);
  const exported = (...words: Parameters<typeof exporting>): Exported => {
    const done = exporting(...words);
    assert.equal(done.status, 0, done.stderr);
    return done.json() as Exported;
  };
  const failure = (...words: Parameters<typeof exporting>): NonNullable<Exported['error']> => {
    const { error } = exporting(...words).json() as Exported;
    assert.ok(error);
    return error;
  };

  /** By the words of a shell, with PostgreSQL's own programs, into a new database, which then has what "shop" has. */
  const load = async (database: string, command: string): Promise<void> => {
    {
      await using session = await server.session();
      await session.query(`CREATE DATABASE "${database}" TEMPLATE template0`);
    }
    const { PATH = '' } = process.env;
    const env = {
      PATH: `${clients}:${PATH}`,
      PGHOST: server.socketDirectory,
      PGUSER: 'postgres',
      PGDATABASE: database,
    };
    const done = spawnSync('bash', ['-euo', 'pipefail', '-c', command], { env, cwd: site.directory, encoding: 'utf8' });
    assert.equal(done.status, 0, done.stderr);
    assert.deepEqual(await contents(database), await contents('shop'));
  };
  const contents = async (database: string): Promise<unknown> => {
    await using session = await server.session(database);
    return await session.query(
      `SELECT (SELECT md5(string_agg(f::text, ',' ORDER BY id)) FROM film f) AS films,
              (SELECT md5(string_agg(m::text, ',' ORDER BY id)) FROM "Möbel" m) AS furniture,
              (SELECT count(*)::int FROM pg_constraint WHERE contype IN ('p', 'f')) AS keys,
              (SELECT string_agg(convert_from(lo_get(oid), 'UTF8'), ',') FROM pg_largeobject_metadata) AS large`,
    );
  };

  for (const [format, words, command] of [
    ['plain', [], 'psql -X -v ON_ERROR_STOP=1 -f FILE'],
    ['custom', [], 'pg_restore -d "$PGDATABASE" -e -j 2 FILE'],
    ['tar', [], 'pg_restore -d "$PGDATABASE" -e FILE'],
    ['directory', [], 'pg_restore -d "$PGDATABASE" -e -j 2 FILE'],
    ['directory', ['--compress', 'gzip'], 'pg_restore -d "$PGDATABASE" -e FILE'],
    ['plain', ['--compress', 'gzip'], 'gunzip -c < FILE | psql -X -v ON_ERROR_STOP=1'],
    ['custom', ['--compress', 'zstd'], 'zstd -dc < FILE | pg_restore -d "$PGDATABASE" -e'],
    ['tar', ['--split', '100kB'], 'cat FILE.* | pg_restore -d "$PGDATABASE" -e'],
    ['custom', ['--split', '10K', '--compress', 'gzip'], 'cat FILE.* | gunzip -c | pg_restore -d "$PGDATABASE" -e'],
  ] as const) {
    const name = [format, ...words].join(' ');
    it(`is exported as ${name}, and loaded without pgrecall`, async () => {
      const to = path(`out ${name}`);
      const { exports } = exported(format, to, ...words);
      assert.equal(exports[0]?.database, 'shop');
      await load(`from ${name}`, command.replace('FILE', `"${to}"`));
    });
  }

  it('in parts has them all of one size but the last, with numbers that sort', () => {
    const to = path('parts');
    const { exports } = exported('plain', to, '--split', '5000');
    const parts = readdirSync(site.directory).filter((name) => name.startsWith('parts.'));
    assert.equal(parts.length, exports[0]?.files);
    assert.ok(parts.length > 300);
    const sizes = parts.toSorted().map((name) => statSync(path(name)).size);
    assert.ok(sizes.slice(0, -1).every((size) => size === 5000));
    assert.equal(parts.toSorted()[0], 'parts.000');
    const script = Buffer.concat(parts.toSorted().map((name) => readFileSync(path(name))));
    exported('plain', path('whole'));
    assert.ok(script.equals(readFileSync(path('whole'))));
    assert.equal(failure('plain', to, '--split', '1M').code, 'target-not-empty');
  });

  it('goes through a pipe', () => {
    const done = exporting('plain', '-', '--compress', 'gzip');
    assert.match(done.stdout, /cannot carry both/);
    const launcher = fileURLToPath(new URL('../../bin/pgrecall', import.meta.url));
    const command = `"${launcher}" export main ${dumps.get('plain')} --to - --compress gzip --config "${site.configFile}" | gunzip -c | tail -n 8`;
    const piped = spawnSync('bash', ['-o', 'pipefail', '-c', command], { encoding: 'utf8' });
    assert.equal(piped.status, 0, piped.stderr);
    assert.match(piped.stdout, /PostgreSQL database dump complete\n--\n/);
  });

  it('of several databases and the globals is several files, whose names lead nowhere else', () => {
    const dumped = site.run(['dump', 'main', '--all', '--format', 'plain', '--json']);
    assert.equal(dumped.status, 0, dumped.stderr);
    const { id } = dumped.json() as { id: string };
    const to = path('all');
    exported(id, to);
    const names = readdirSync(to).filter((name) => !name.startsWith('from '));
    assert.deepEqual(names.toSorted(), ['globals.sql', 'postgres.sql', 'shop.sql', `Ö%2F"shop" it's%0Aa.sql`]);
    const [only] = exported(id, path('one.sql'), '--database', hostile).exports;
    assert.deepEqual([only?.database, only?.files], [hostile, 1]);
    assert.equal(failure(id, path('none'), '--database', 'Shop').code, 'database-unknown');
    assert.equal(failure(id, to).code, 'target-not-empty');
    assert.match(site.run(['export', 'main', id, '--to', '-']).stderr, /standard output takes one file/);
  });

  it('goes into a directory under the name of its database', () => {
    mkdirSync(path('place'));
    exported('custom', path('place'), '--compress', 'zstd');
    assert.deepEqual(readdirSync(path('place')), ['shop.dump.zst']);
    assert.equal(failure('custom', path('place'), '--compress', 'zstd').code, 'target-not-empty');
  });

  it('leaves what is there already, and nothing half-made', () => {
    writeFileSync(path('mine'), 'mine');
    assert.equal(failure('plain', path('mine')).code, 'target-not-empty');
    assert.equal(readFileSync(path('mine'), 'utf8'), 'mine');
    writeFileSync(path('left.partial'), 'half');
    assert.match(failure('plain', path('left')).message, /left\.partial" is there already/);
    assert.ok(!existsSync(path('left')));
    assert.equal(readFileSync(path('left.partial'), 'utf8'), 'half');
  });

  it('on a full disk is removed again', { skip: process.getuid?.() !== 0 }, () => {
    const small = path('small');
    mkdirSync(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=600k', 'tmpfs', small]);
    try {
      for (const format of ['plain', 'directory']) {
        const { code } = failure(format, format === 'plain' ? join(small, 'x') : join(small, 'd'));
        assert.equal(code, 'disk-full');
        assert.deepEqual(readdirSync(small), []);
      }
      assert.equal(failure('plain', join(small, 'x'), '--split', '100k').code, 'disk-full');
      assert.deepEqual(readdirSync(small), []);
    } finally {
      execFileSync('umount', [small]);
    }
  });

  for (const [format, words, pattern] of [
    ['directory', ['--split', '1M'], /pg_restore reads the files of a directory as they are/],
    ['plain', ['--split', 'much'], /expected a size as 2G/],
    ['plain', ['--split', '1'], /more than 100000/],
    ['plain', ['--tar'], /exported in the format that it has/],
  ] as const) {
    it(`is not exported as ${[format, ...words].join(' ')}`, () => {
      const { code, message } = failure(format, path('refused'), ...words);
      assert.equal(code, 'usage');
      assert.match(message, pattern);
      assert.ok(!existsSync(path('refused')));
    });
  }
});
