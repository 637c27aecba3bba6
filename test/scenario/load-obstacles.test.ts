import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite, type CommandResult } from '../support/command-site.ts';
import { fullPostgres } from '../support/full-postgres.ts';

/* What is in the way of a load, on real servers: roles, extensions, versions, rights, servers and processes that die. */

interface Failed {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Both servers' client programs, 18 first. */
const env = { PATH: `${fullPostgres().binDirectory}:${process.env['PATH'] ?? ''}` };

describe('a load', () => {
  let old: TestCluster;
  let young: TestCluster;
  let site: CommandSite;
  before(async () => {
    [old, young] = await Promise.all([TestCluster.create({ major: 15 }), TestCluster.create({ major: 18 })]);
    site = new CommandSite();
    for (const [name, server] of [
      ['old', old],
      ['young', young],
    ] as const) {
      const done = site.run(['init', name, '--connection', server.uri(), '--repository', site.repository]);
      assert.equal(done.status, 0, done.stderr);
      await using session = await server.session();
      await session.query('CREATE DATABASE shop');
      await session.query(
        'CREATE ROLE clerk LOGIN; CREATE ROLE "it\'s; a ""role"" 역할"; GRANT clerk TO "it\'s; a ""role"" 역할"',
      );
    }
    for (const server of [old, young]) {
      await using session = await server.session('shop');
      await session.query(`CREATE TABLE film (id serial PRIMARY KEY, title text);
        INSERT INTO film (title) SELECT repeat(md5(i::text), 30) FROM generate_series(1, 20000) i;
        CREATE TABLE rent (id int); ALTER TABLE rent OWNER TO "it's; a ""role"" 역할"; GRANT SELECT ON film TO clerk;
        SELECT lo_from_bytea(0, 'large')`);
    }
  });
  after(async () => {
    site[Symbol.dispose]();
    await Promise.all([old[Symbol.asyncDispose](), young[Symbol.asyncDispose]()]);
  });

  const run = (...words: readonly string[]): CommandResult => site.run(withJson(words), { env });
  /** With client programs of its own version: what one of 18 makes of Debian's 15, other servers do not take. */
  const dump = (name: string, ...words: readonly string[]): string => {
    const from = words.includes('--database') ? [] : ['--database', 'shop'];
    const done = site.run(['dump', name, ...from, ...words, '--json'], name === 'young' ? { env } : {});
    assert.equal(done.status, 0, done.stderr);
    return (done.json() as { id: string }).id;
  };
  const failure = (result: CommandResult): Failed => {
    assert.notEqual(result.status, 0, result.stdout);
    return (result.json() as { error: Failed }).error;
  };
  const rows = async (server: TestCluster, database: string): Promise<number> => {
    await using session = await server.session(database);
    const [row] = await session.query<{ n: number }>('SELECT count(*)::int AS n FROM film');
    return row?.n ?? -1;
  };

  it('of roles that are missing at the target is complete with the globals, which leave roles alone that are there', async () => {
    const id = dump('old', '--globals');
    await using other = await TestCluster.create({ major: 15 });
    {
      await using session = await other.session();
      await session.query('CREATE ROLE clerk NOLOGIN CONNECTION LIMIT 7');
    }
    const missing = failure(run('load', 'old', id, '--to', other.uri(), '--database', 'without', '--create'));
    assert.equal(missing.code, 'load-failed');
    assert.match(
      missing.message,
      /^pg_restore ended with status 1, and "without" is incomplete; it said: .*role "it's; a "role" 역할" does not exist/,
    );
    assert.equal(missing.details['errors'], 1);
    assert.deepEqual(missing.details['failures'], [
      {
        message: `could not execute query: ERROR:  role "it's; a "role" 역할" does not exist`,
        entry: `TABLE rent it's; a "role" 역할`,
      },
    ]);
    const words = ['load', 'old', id, '--to', other.uri(), '--globals'];
    const planned = run(...words, '--plan').json() as { globals: { roles: { made: string[]; kept: string[] } } };
    assert.deepEqual(planned.globals.roles, { made: [`it's; a "role" 역할`], kept: ['clerk', 'postgres'] });
    const done = run(...words, '--database', 'with', '--create');
    assert.equal(done.status, 0, done.stderr);
    assert.equal(await rows(other, 'with'), 20_000);
    await using session = await other.session('with');
    const [found] = await session.query(
      `SELECT (SELECT rolcanlogin FROM pg_roles WHERE rolname = 'clerk') AS login,
              (SELECT rolconnlimit FROM pg_roles WHERE rolname = 'clerk') AS limit,
              pg_has_role('it''s; a "role" 역할', 'clerk', 'MEMBER') AS member,
              (SELECT tableowner FROM pg_tables WHERE tablename = 'rent') AS owner`,
    );
    assert.deepEqual(found, { login: false, limit: 7, member: true, owner: `it's; a "role" 역할` });
    const again = run(...words);
    assert.equal(again.status, 0, again.stderr);
  });

  it('of an extension that is not installed there says which, and what to do', async () => {
    {
      await using session = await old.session();
      await session.query('CREATE DATABASE extended');
      await using extended = await old.session('extended');
      await extended.query('CREATE EXTENSION old_snapshot; CREATE TABLE film (i text)');
    }
    await using session = await young.session();
    assert.deepEqual(await session.query("SELECT FROM pg_available_extensions WHERE name = 'old_snapshot'"), []);
    for (const format of ['custom', 'plain']) {
      dump('old', '--database', 'extended', '--format', format);
      const words = ['load', 'old', 'latest', '--source', 'extended', '--to', young.uri(), '--database', format];
      const failed = failure(run(...words, '--create'));
      assert.match(failed.message, /extension "old_snapshot" is not available/);
      assert.match(failed.hint, /install the extension old_snapshot on the target.s host/);
      assert.equal(failed.details['incomplete'], format === 'custom');
      if (format === 'custom') {
        assert.ok(Number(failed.details['errors']) >= 2);
        assert.match(
          run(...words, '--force', '--plan').stdout,
          /extensions that the server does not have: \\"old_snapshot/,
        );
      }
    }
  });

  it('from one encoding into another is converted, and a database that is made gets that of the dump', async () => {
    await using session = await old.session();
    await session.query(`CREATE DATABASE latin TEMPLATE template0 ENCODING LATIN1 LOCALE "C"; `);
    {
      await using latin = await old.session('latin');
      await latin.query(
        "CREATE TABLE film (t text); INSERT INTO film VALUES ('Émile Noël'); COMMENT ON TABLE film IS 'é'",
      );
    }
    await session.query('CREATE DATABASE utf TEMPLATE template0 ENCODING UTF8');
    for (const format of ['custom', 'plain']) {
      dump('old', '--database', 'latin', '--format', format);
      const made = `latin ${format}`;
      const words = ['load', 'old', 'latest', '--source', 'latin', '--database'];
      const done = [run(...words, 'utf', '--force', '--', ...(format === 'custom' ? ['--clean', '--if-exists'] : []))];
      if (format === 'plain') assert.equal(done.pop()?.status, 1, 'the table is there already');
      done.push(run(...words, made, '--create'));
      for (const { status, stderr } of done) assert.equal(status, 0, stderr);
      for (const database of ['utf', made]) {
        await using loaded = await old.session(database);
        const [row] = await loaded.query(
          "SELECT t, obj_description('film'::regclass) AS c, current_setting('server_encoding') AS e FROM film",
        );
        assert.deepEqual(row, { t: 'Émile Noël', c: 'é', e: database === 'utf' ? 'UTF8' : 'LATIN1' });
      }
    }
  });

  it('into an older server than the dumped one says so beforehand; settings that it does not know are no failure, objects are', async () => {
    const id = dump('young');
    const wordsFor = (dumped: string, database: string): string[] => [
      ...['load', 'young', dumped, '--to', old.uri(), '--database', database, '--create'],
    ];
    const words = wordsFor(id, 'older');
    assert.match(run(...words, '--plan').stdout, /the dump is of PostgreSQL 18, the server is 15/);
    const loaded = run(...words);
    assert.equal(loaded.status, 0, loaded.stderr);
    assert.match(loaded.stderr, /the server does not know the setting transaction_timeout: it goes without/);
    assert.equal(await rows(old, 'older'), 20_000);
    const parallel = run(...wordsFor(id, 'older parallel'), '--jobs', '2');
    assert.equal(parallel.status, 0, parallel.stderr);
    const script = failure(run(...wordsFor(dump('young', '--format', 'plain'), 'older plain')));
    assert.match(
      script.message,
      /"older plain" is as it was; .*unrecognized configuration parameter "transaction_timeout"/,
    );
    assert.match(script.hint, /newer/);
    await using session = await young.session('shop');
    await session.query('CREATE TABLE newer (a int, b int GENERATED ALWAYS AS (a + 1) VIRTUAL)');
    const failed = failure(run(...wordsFor(dump('young'), 'older still')));
    assert.equal(failed.details['errors'], 3);
    assert.match(failed.message, /"older still" is incomplete; 3 errors, the first: .*syntax error/);
    await session.query('DROP TABLE newer');
  });

  for (const format of ['custom', 'tar', 'directory', 'plain']) {
    it(`of PostgreSQL 15 goes into 18, in the format ${format}`, async () => {
      const database = `from 15 ${format}`;
      const jobs = format === 'plain' ? [] : ['--jobs', '2'];
      const id = dump('old', '--format', format);
      const done = run('load', 'old', id, '--to', young.uri(), '--database', database, '--create', ...jobs);
      assert.equal(done.status, 0, done.stderr);
      assert.equal(await rows(young, database), 20_000);
      await using session = await young.session(database);
      assert.equal((await session.query('SELECT FROM pg_largeobject')).length, 1);
    });
  }

  for (const format of ['tar', 'custom', 'directory']) {
    it(`of PostgreSQL 18 goes over two connections, large objects and all, to other owners (${format})`, async () => {
      const database = `young ${format}`;
      const words = ['--database', database, '--create', '--jobs', '2', '--owner', `it's; a "role" 역할=clerk`];
      const done = run('load', 'young', dump('young', '--format', format), ...words);
      assert.equal(done.status, 0, done.stderr);
      assert.equal(await rows(young, database), 20_000);
      await using session = await young.session(database);
      assert.equal((await session.query('SELECT FROM pg_largeobject')).length, 1);
      assert.equal(
        (await session.query("SELECT FROM pg_tables WHERE tablename = 'rent' AND tableowner = 'clerk'")).length,
        1,
      );
    });
  }

  it('with a wrong password is refused before anything is made', async () => {
    await using server = await TestCluster.create({ major: 15 });
    {
      await using session = await server.session();
      await session.query("CREATE ROLE keyed LOGIN SUPERUSER PASSWORD 'right'");
    }
    writeFileSync(join(server.dataDirectory, 'pg_hba.conf'), 'local all keyed scram-sha-256\nlocal all all trust\n');
    {
      await using session = await server.session();
      await session.query('SELECT pg_reload_conf()');
    }
    const uri = server.uri().replace('user=postgres', 'user=keyed');
    const words = [
      'load',
      'old',
      dump('old'),
      '--to',
      uri,
      '--database',
      'locked',
      '--create',
      '--no-owner',
      '--no-privileges',
      '--json',
    ];
    await sleep(200);
    const wrong = failure(site.run(words, { env: { ...env, PGPASSWORD: 'wrong' } }));
    assert.equal(wrong.code, 'connection');
    assert.match(wrong.message, /password authentication failed/);
    const right = site.run(words, { env: { ...env, PGPASSWORD: 'right' } });
    assert.equal(right.status, 0, right.stderr);
    assert.equal(await rows(server, 'locked'), 20_000);
  });

  describe('that is ended in its midst', () => {
    let server: TestCluster;
    before(async () => {
      server = await TestCluster.create({ major: 15 });
      await using session = await old.session();
      await session.query('CREATE DATABASE slow');
      await using slow = await old.session('slow');
      await slow.query(slowToLoad);
    });
    after(async () => server[Symbol.asyncDispose]());

    const dumpSlow = (format: string): string => dump('old', '--database', 'slow', '--format', format);
    const wordsFor = (id: string, database: string): string[] => [
      ...['load', 'old', id, '--to', server.uri(), '--database', database],
    ];
    /** Until it builds its index, which takes a minute. */
    const start = async (id: string, database: string, ...more: readonly string[]): Promise<Running> => {
      const running = new Running(site.start([...wordsFor(id, database), '--create', '--json', ...more], { env }));
      await using session = await server.session();
      for (;;) {
        const busy = await session.query(
          "SELECT FROM pg_stat_activity WHERE datname = $1 AND query LIKE '%CREATE INDEX%' AND application_name = 'pgrecall load'",
          [database],
        );
        if (busy.length > 0) return running;
        assert.equal(running.child.exitCode, null, running.stderr);
        await sleep(20);
      }
    };
    const terminate = async (): Promise<void> => {
      await using session = await server.session();
      await session.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgrecall load'",
      );
    };

    for (const [format, ...jobs] of [['custom'], ['directory', '--jobs', '2']] as const) {
      it(`by the server: the database is named as incomplete, now and by the next load (${format})`, async () => {
        const database = `gone ${format}`;
        const id = dumpSlow(format);
        const running = await start(id, database, ...jobs);
        await terminate();
        const failed = await running.failure();
        assert.equal(failed.code, 'load-failed');
        assert.match(failed.message, new RegExp(`"${database}" is incomplete`));
        assert.match(failed.hint, /stopped or restarted/);
        const again = failure(run(...wordsFor(id, database)));
        assert.equal(again.code, 'database-not-empty');
        assert.match(again.message, new RegExp(`incomplete: a load of ${id} into it began at`));
      });

      it(`by kill -9: the next load says so, and removes what it had written (${format})`, async () => {
        const database = `killed ${format}`;
        const id = dumpSlow(format);
        const running = await start(id, database, ...jobs);
        const going = failure(run(...wordsFor(id, database)));
        assert.equal(going.code, 'locked');
        running.child.kill('SIGKILL');
        await running.ended;
        await terminate();
        const again = failure(run(...wordsFor(id, database)));
        assert.equal(again.code, 'database-not-empty');
        assert.match(again.message, new RegExp(`incomplete: a load of ${id} into it began at`));
        assert.match(again.hint, /DROP DATABASE/);
        assert.match(run(...wordsFor(id, database), '--plan').stdout, /is incomplete: a load of/);
        assert.deepEqual(leftFiles(site), []);
        // Dropped, it is forgotten.
        await using session = await server.session();
        await session.query(`DROP DATABASE "${database}" WITH (FORCE)`);
        const other = dump('old');
        const done = run(...wordsFor(other, database), '--create', '--no-owner', '--no-privileges');
        assert.equal(done.status, 0, done.stderr);
        assert.equal(failure(run(...wordsFor(id, database))).details['incomplete'], undefined);
      });
    }

    it('of a plain dump, by kill -9 or by the server, leaves the database as it was', async () => {
      const id = dumpSlow('plain');
      for (const database of ['plain killed', 'plain gone']) {
        const running = await start(id, database);
        if (database === 'plain killed') running.child.kill('SIGKILL');
        await terminate();
        await running.ended;
        await using session = await server.session(database);
        assert.deepEqual(await session.query("SELECT FROM pg_tables WHERE schemaname = 'public'"), []);
        // Nothing is in the way of another.
        const planned = run(...wordsFor(id, database), '--plan').json() as { findings: unknown[] };
        assert.deepEqual(planned.findings, []);
      }
    });

    it('by SIGTERM ends pg_restore, and says that the database is incomplete', async () => {
      const running = await start(dumpSlow('custom'), 'ended');
      running.child.kill('SIGTERM');
      const failed = await running.failure();
      assert.equal(failed.code, 'cancelled');
      assert.match(failed.message, /"ended" is incomplete/);
      assert.deepEqual(leftFiles(site), []);
    });
  });
});

/** Before what goes to pg_restore. */
function withJson(words: readonly string[]): string[] {
  const rest = words.includes('--') ? words.indexOf('--') : words.length;
  return [...words.slice(0, rest), '--json', ...words.slice(rest)];
}

/** Its index takes a minute, in a load and nowhere else. */
const slowToLoad = `CREATE TABLE film (id int);
  INSERT INTO film VALUES (1);
  CREATE FUNCTION pause(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
  BEGIN
    IF current_setting('application_name') = 'pgrecall load' THEN PERFORM pg_sleep(60); END IF;
    RETURN 1;
  END $$;
  CREATE INDEX ON film (pause(id))`;

/** A command that runs. */
class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  stdout = '';
  stderr = '';

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = once(child, 'close').then(([status]: (number | null)[]) => status ?? null);
  }

  async failure(): Promise<Failed> {
    assert.equal(await this.ended, 1, this.stderr);
    return (JSON.parse(this.stdout) as { error: Failed }).error;
  }
}

/** Of the dumps that loads have written, where somebody could look for them. */
function leftFiles(site: CommandSite): string[] {
  const all = readdirSync(site.directory, { recursive: true, encoding: 'utf8' });
  return all.filter((path) => /(?:^|\/)load-[^/]+\/files/.test(path));
}
