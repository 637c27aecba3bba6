import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite, type CommandResult } from '../support/command-site.ts';
import { eventually } from '../support/eventually.ts';
import { fullPostgres } from '../support/full-postgres.ts';

/* pgrecall copy, as an administrator types it, from one server to another. */

const hostile = `Ö/"shop" it's = \na\\`;

interface Answer {
  readonly created: boolean;
  readonly singleTransaction: boolean;
  readonly differing: number | null;
  readonly tables:
    | readonly { readonly name: string; readonly fromRows: number; readonly toRows: number | null }[]
    | null;
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string };
}

describe('a database', () => {
  let source: TestCluster;
  let target: TestCluster;
  let site: CommandSite;
  before(async () => {
    [source, target] = await Promise.all([TestCluster.create({ major: 15 }), TestCluster.create({ major: 15 })]);
    site = new CommandSite();
    for (const name of ['shop', hostile]) {
      await using session = await source.session();
      if (name === 'shop') await session.query('CREATE ROLE clerk');
      await session.query(`CREATE DATABASE "${name.replaceAll('"', '""')}"`);
      await using there = await source.session(name);
      await there.query(`CREATE TABLE film (id int PRIMARY KEY, title text NOT NULL);
        INSERT INTO film SELECT i, 'film ' || i || repeat(md5(i::text), 20) FROM generate_series(1, 3000) i;
        CREATE TABLE "Möbel ""alt""" (id serial, film_id int REFERENCES film);
        INSERT INTO "Möbel ""alt""" (film_id) SELECT i FROM generate_series(1, 500) i`);
    }
    {
      await using session = await source.session('shop');
      await session.query('ALTER TABLE film OWNER TO clerk');
    }
    await using session = await target.session();
    await session.query('CREATE ROLE clerk');
  });
  after(async () => {
    site[Symbol.dispose]();
    await source[Symbol.asyncDispose]();
    await target[Symbol.asyncDispose]();
  });

  const uriOf = (server: TestCluster, database: string, user = 'postgres'): string =>
    `host='${server.socketDirectory}' user=${user} dbname='${database.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
  const copy = (database: string, ...words: readonly string[]): CommandResult =>
    site.run(['copy', '--from', uriOf(source, 'shop'), '--to', uriOf(target, database), '--json', ...words]);
  const copied = (...words: Parameters<typeof copy>): Answer => {
    const done = copy(...words);
    assert.equal(done.status, 0, done.stderr + done.stdout);
    return done.json() as Answer;
  };
  const failure = (...words: Parameters<typeof copy>): NonNullable<Answer['error']> => {
    const { error } = copy(...words).json() as Answer;
    assert.ok(error);
    return error;
  };
  const contents = async (server: TestCluster, database: string): Promise<unknown> => {
    await using session = await server.session(database);
    return await session.query(
      `SELECT (SELECT md5(string_agg(f::text, ',' ORDER BY id)) FROM film f) AS films,
              (SELECT md5(string_agg(m::text, ',' ORDER BY id)) FROM "Möbel ""alt""" m) AS furniture,
              (SELECT count(*)::int FROM pg_constraint WHERE contype IN ('p', 'f')) AS keys,
              (SELECT tableowner FROM pg_tables WHERE tablename = 'film') AS owner`,
    );
  };
  const databases = async (): Promise<readonly string[]> => {
    await using session = await target.session();
    return (await session.query<{ name: string }>('SELECT datname AS name FROM pg_database')).map(({ name }) => name);
  };
  /** What is left of directories that copies have passed through. */
  const passed = (): readonly string[] =>
    readdirSync(site.directory).filter((name) => name.startsWith('pgrecall-copy-'));

  it('is copied through a pipe in one transaction, and every table’s rows are counted at both ends', async () => {
    const done = copied('piped', '--create', '--compare');
    assert.deepEqual([done.created, done.singleTransaction, done.differing], [true, true, 0]);
    assert.deepEqual(
      done.tables?.map(({ name, toRows }) => [name, toRows]),
      [
        ['Möbel "alt"', 500],
        ['film', 3000],
      ],
    );
    assert.deepEqual(await contents(target, 'piped'), await contents(source, 'shop'));
  });

  it('is copied over two connections at each end, and leaves no file', async () => {
    const done = copied('parallel', '--create', '--jobs', '2', '--through', site.directory, '--compare');
    assert.deepEqual([done.singleTransaction, done.differing], [false, 0]);
    assert.deepEqual(await contents(target, 'parallel'), await contents(source, 'shop'));
    assert.deepEqual(passed(), []);
  });

  it('whose name is a trap keeps it', async () => {
    const to = `host='${target.socketDirectory}' user=postgres`;
    const done = site.run(['copy', '--from', uriOf(source, hostile), '--to', to, '--create', '--compare']);
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stdout, /2 tables have the same 3500 rows at both ends/);
    assert.deepEqual(await contents(target, hostile), await contents(source, hostile));
  });

  it('is copied in part: what goes after -- goes to pg_dump', async () => {
    assert.equal(copied('part', '--create', '--compare', '--', '--table=film').differing, 0);
    copied('schema', '--create', '--', '--schema-only');
    await using session = await target.session('schema');
    assert.deepEqual(await session.query('SELECT count(*)::int FROM film'), [{ count: 0 }]);
    const without = copy('without', '--create', '--compare', '--', '--exclude-table-data="M"*');
    assert.equal(without.status, 1, without.stdout);
    assert.deepEqual(
      (without.json() as Answer).tables?.map(({ fromRows, toRows }) => [fromRows, toRows]),
      [
        [500, 0],
        [3000, 3000],
      ],
    );
  });

  it('that changes meanwhile is compared as of the moment of its copy', async () => {
    const child = site.start([
      ...['copy', '--from', uriOf(source, 'shop'), '--to', uriOf(target, 'moving'), '--create', '--compare', '--json'],
    ]);
    let out = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
    await using session = await source.session('shop');
    let inserted = 0;
    const isOver = { yet: false };
    void ended.then(() => (isOver.yet = true));
    while (!isOver.yet) {
      await session.query(`INSERT INTO "Möbel ""alt""" (film_id) VALUES (1)`);
      inserted += 1;
      await sleep(10);
    }
    await session.query('DELETE FROM "Möbel ""alt""" WHERE id > 500');
    assert.equal(await ended, 0, out);
    assert.ok(inserted > 5);
    assert.equal((JSON.parse(out) as Answer).differing, 0);
  });

  it('goes into one that is there, if it is empty or that is forced', async () => {
    assert.equal(failure('absent').code, 'database-unknown');
    {
      await using session = await target.session();
      await session.query('CREATE DATABASE there');
    }
    assert.equal(copied('there').created, false);
    assert.equal(failure('there').code, 'database-not-empty');
    const forced = failure('there', '--force');
    assert.equal(forced.code, 'load-failed');
    assert.match(forced.message, /"there" is as it was; .*already exists/);
  });

  for (const words of [[], ['--jobs', '2']]) {
    it(`without its owner’s role at the target leaves nothing ${words.join(' ')}`, async () => {
      await using session = await target.session();
      await session.query('ALTER ROLE clerk RENAME TO gone');
      try {
        const { code, message, hint } = failure('undone', '--create', ...words);
        assert.equal(code, 'load-failed');
        assert.match(message, /role "clerk" does not exist.*it was made for the copy, and is dropped/);
        assert.match(hint, /CREATE ROLE "clerk" in the target first, or leave owners and privileges out: --no-owner/);
        assert.ok(!(await databases()).includes('undone'));
        copied(`unowned ${words.join('')}`, '--create', '--no-owner', ...words);
      } finally {
        await session.query('ALTER ROLE gone RENAME TO clerk');
      }
    });

    it(`that the role may not read leaves nothing ${words.join(' ')}`, async () => {
      await using session = await source.session('shop');
      await session.query('CREATE ROLE reader LOGIN');
      try {
        const done = site.run([
          ...['copy', '--from', uriOf(source, 'shop', 'reader'), '--to', uriOf(target, 'unread'), '--json', '--create'],
          ...words,
        ]);
        const { error } = done.json() as Answer;
        assert.equal(error?.code, 'server-rights');
        assert.match(error.message, /permission denied for table.*"unread" was made for the copy, and is dropped/);
        assert.ok(!(await databases()).includes('unread'));
      } finally {
        await session.query('DROP ROLE reader');
      }
    });
  }

  for (const [how, code, message] of [
    ['is interrupted', 'cancelled', /./],
    ['loses its source', 'connection', /"cut" was made for the copy, and is dropped/],
  ] as const) {
    it(`whose copy ${how} leaves nothing`, async () => {
      await using session = await source.session('shop');
      await session.query('BEGIN');
      await session.query('LOCK TABLE film');
      const words = ['copy', '--from', uriOf(source, 'shop'), '--to', uriOf(target, 'cut'), '--create', '--json'];
      const child = site.start(words);
      let out = '';
      child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
      const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
      await using other = await source.session();
      const waiting = `FROM pg_stat_activity WHERE application_name = 'pgrecall copy' AND wait_event_type = 'Lock'`;
      await eventually('pg_dump waits', async () => (await other.query(`SELECT ${waiting}`)).length > 0);
      if (code === 'cancelled') child.kill('SIGINT');
      else await other.query(`SELECT pg_terminate_backend(pid) ${waiting}`);
      assert.equal(await ended, 1, out);
      const { error } = JSON.parse(out) as Answer;
      assert.equal(error?.code, code);
      assert.match(error.message, message);
      assert.ok(!(await databases()).includes('cut'));
    });
  }

  it('that goes into one that is there over several connections, and is interrupted, leaves it incomplete, and says so', async () => {
    {
      await using session = await target.session();
      await session.query('CREATE DATABASE "half way"');
    }
    await using there = await target.session('half way');
    // Waits for us once it has begun.
    await there.query('BEGIN');
    await there.query('LOCK TABLE pg_class IN SHARE MODE');
    const words = ['--from', uriOf(source, 'shop'), '--to', uriOf(target, 'half way'), '--jobs', '2', '--json'];
    const child = site.start(['copy', ...words]);
    let out = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
    await using other = await target.session();
    const waiting = `FROM pg_stat_activity WHERE application_name = 'pgrecall copy' AND wait_event_type = 'Lock'`;
    await eventually('pg_restore waits', async () => (await other.query(`SELECT ${waiting}`)).length > 0);
    child.kill('SIGINT');
    assert.equal(await ended, 1, out);
    const { error } = JSON.parse(out) as Answer;
    assert.equal(error?.code, 'cancelled');
    assert.match(error.message, /"half way" is incomplete$/);
  });

  it('is not copied by a plan, which says what would be done', async () => {
    const done = copy('planned', '--create', '--plan');
    assert.equal(done.status, 0, done.stderr);
    const { executed, created, singleTransaction } = done.json() as Answer & { readonly executed: boolean };
    assert.deepEqual([executed, created, singleTransaction], [false, true, true]);
    assert.ok(!(await databases()).includes('planned'));
  });

  it('of another encoding is converted, where that is possible', async () => {
    {
      await using session = await target.session();
      await session.query("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    }
    const done = copy('latin', '--compare');
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stderr, /the encodings differ: text is converted from UTF8 to LATIN1/);
    await using session = await source.session('shop');
    await session.query("INSERT INTO film VALUES (0, '日本')");
    try {
      {
        await using there = await target.session();
        await there.query('DROP DATABASE latin');
        await there.query("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
      }
      const { message, hint } = failure('latin');
      assert.match(message, /"latin" is as it was.*no equivalent in encoding "LATIN1"/);
      assert.match(hint, /encodings do not match/);
    } finally {
      await session.query('DELETE FROM film WHERE id = 0');
    }
  });

  it('is not copied without room for what it passes through', { skip: process.getuid?.() !== 0 }, () => {
    const small = join(site.directory, 'small');
    mkdirSync(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small]);
    try {
      const { code } = failure('roomless', '--create', '--jobs', '2', '--through', small);
      assert.equal(code, 'disk-full');
      assert.deepEqual(readdirSync(small), []);
    } finally {
      execFileSync('umount', [small]);
    }
  });

  it('goes without tablespaces where that is said, by the client programs that are named', async () => {
    await using session = await source.session('shop');
    await session.query('SET allow_in_place_tablespaces = on');
    await session.query(`CREATE TABLESPACE fast LOCATION ''`);
    await session.query('CREATE TABLE quick (a int) TABLESPACE fast');
    try {
      assert.match(failure('spaced', '--create').hint, /or leave tablespaces out: -- --no-tablespaces/);
      const words = ['--create', '--pg-bin', source.programs.binDirectory, '--', '--no-tablespaces'];
      const done = copy('spaced', ...words);
      assert.equal(done.status, 0, done.stderr);
      const { code, hint } = failure('unprogrammed', '--create', '--pg-bin', site.directory);
      assert.equal(code, 'server-program-missing');
      assert.match(hint, /is found without --pg-bin/);
    } finally {
      await session.query('DROP TABLE quick');
      await session.query('DROP TABLESPACE fast');
    }
  });

  it('goes to a newer server, and back to an older one', async () => {
    // Servers as old as the clients: to a later one of Debian, pg_dump 18.0 is too old.
    await using older = await TestCluster.create({ major: 16 });
    await using newer = await TestCluster.create({ major: 18 });
    const { PATH = '' } = process.env;
    const env = { PATH: `${fullPostgres().binDirectory}:${PATH}` };
    {
      await using session = await older.session();
      await session.query('CREATE DATABASE shop');
      await using there = await older.session('shop');
      await there.query(`CREATE TABLE film AS SELECT i AS id, md5(i::text) AS title FROM generate_series(1, 1000) i`);
    }
    const sum = 'SELECT md5(string_agg(f::text, $1 ORDER BY id)) AS sum FROM film f';
    for (const [from, to, name, single] of [
      [older, newer, 'shop', true],
      [newer, older, 'again', false],
    ] as const) {
      const words = ['--from', uriOf(from, 'shop'), '--to', uriOf(to, name), '--create', '--compare', '--json'];
      const done = site.run(['copy', ...words], { env });
      assert.equal(done.status, 0, done.stderr);
      assert.equal((done.json() as Answer).singleTransaction, single);
    }
    await using first = await older.session('shop');
    await using last = await older.session('again');
    assert.deepEqual(await last.query(sum, [',']), await first.query(sum, [',']));
  });

  it('is not copied where it cannot be told what to what, or a password would be seen', () => {
    for (const [words, pattern] of [
      [['--to', uriOf(target, 'x')], /--from is missing/],
      [['--from', `host='${source.socketDirectory}'`, '--to', uriOf(target, 'x')], /--from names no database/],
      [['--from', 'postgresql://a:secret@h/shop', '--to', uriOf(target, 'x')], /a password on the command line/],
      [['--from', uriOf(source, 'shop'), '--to', uriOf(source, 'shop')], /are the same database/],
      [['--from', uriOf(source, 'shop'), '--to', uriOf(target, 'x'), '--', '-Fd'], /pgrecall sets that itself/],
    ] as const) {
      const refused = site.run(['copy', ...words]);
      assert.equal(refused.status, 2, refused.stderr);
      assert.match(refused.stderr, pattern);
      assert.doesNotMatch(refused.stderr, /secret/);
    }
    const absent = site.run(['copy', '--from', uriOf(source, 'absent'), '--to', uriOf(target, 'x'), '--create']);
    assert.match(absent.stderr, /the source has no database "absent"/);
  });
});
