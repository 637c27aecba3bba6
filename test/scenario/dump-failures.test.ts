import assert from 'node:assert/strict';
import { execFileSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite } from '../support/command-site.ts';

/*
 * What is in the way of a dump: each has its own error, nothing half-made is listed, and nothing is left over. A table takes a
 * while, and pg_dump is stopped where it has to stay alive.
 */

const hostile = 'Ö "shop" it\'s = a\nname\\ 고객';

interface Failed {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

interface Ended {
  readonly status: number | null;
  readonly error: Failed;
}

/** Waits until something is so; a test that waits in vain says for what. */
async function eventually<T>(what: string, look: () => T | undefined | false): Promise<T> {
  const deadline = performance.now() + 15_000;
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) assert.fail(`waited in vain: ${what}`);
    await sleep(5);
  }
}

/** The pg_dump that a process has started, not the ones that it asked for their version. */
function pgDumpOf(pid: number): number | undefined {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    const dumping = (child: string): boolean =>
      readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('--no-password');
    return children.split(' ').filter(dumping).map(Number)[0];
  } catch {
    // Gone in between.
    return undefined;
  }
}

function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

describe('a dump that cannot be', () => {
  let server: TestCluster;
  let site: CommandSite;
  before(async () => {
    server = await TestCluster.create({ major: 15 });
    site = new CommandSite();
    const words = ['init', 'main', '--connection', server.uri(), '--repository', site.repository];
    assert.equal(site.run(words).status, 0);
    await using session = await server.session();
    for (const name of ['shop', 'large', hostile]) {
      await session.query(`CREATE DATABASE "${name.replaceAll('"', '""')}"`);
    }
    await session.query("CREATE ROLE clerk LOGIN PASSWORD 'right'");
    await using shop = await server.session('shop');
    await shop.query(`CREATE TABLE film (id int);
      GRANT SELECT ON film TO clerk;
      CREATE TABLE "its ""secret"" 비밀" (id int);
      CREATE SCHEMA objects; CREATE TABLE objects.t (id int)`);
    await using large = await server.session('large');
    await large.query(`CREATE TABLE t AS SELECT i, sha512(i::text::bytea) AS a, sha512((-i)::text::bytea) AS b
      FROM generate_series(1, 300000) i`);
    await using odd = await server.session(hostile);
    await odd.query(`CREATE SCHEMA "s ""o""
"; CREATE TABLE "s ""o""
"."t 'it' 표" AS SELECT 1 AS "c ""x"""; CREATE TABLE "Other" (i int)`);
  });
  after(async () => {
    site[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const listed = (): string[] => {
    const { backups } = site.run(['list', 'main', '--json']).json() as { backups: { id: string }[] };
    return backups.map(({ id }) => id);
  };
  const packs = (): string[] => {
    try {
      return readdirSync(site.object('packs')).toSorted();
    } catch {
      return [];
    }
  };
  const dump = (...words: readonly string[]): Ended => {
    const { status, stdout, stderr } = site.run(['dump', 'main', '--json', ...words]);
    assert.notEqual(status, 0, stdout);
    assert.doesNotMatch(stderr, /^ {4}at /m);
    return { status, error: (JSON.parse(stdout) as { error: Failed }).error };
  };

  interface Running {
    readonly child: ChildProcess;
    readonly pgDump: number;
    readonly ended: Promise<Ended>;
  }

  /** A dump of "large" that has stored something; pg_dump stands still. */
  async function dumpHalfWay(...words: readonly string[]): Promise<Running> {
    const known = new Set(packs());
    const child = site.start(['dump', 'main', '--json', '--database', 'large', '--independent', ...words]);
    let out = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr?.resume();
    const ended = once(child, 'close').then((): Ended => {
      const told = out === '' ? {} : (JSON.parse(out) as { error?: Failed });
      return { status: child.exitCode, error: told.error ?? { code: 'none', message: out, hint: null, details: {} } };
    });
    const pgDump = await eventually('pg_dump', () => pgDumpOf(child.pid!));
    const isAtIt = (): boolean => packs().some((name) => !known.has(name)) || listFiles().length > 0;
    await eventually('something that is stored', () => isAtIt() && isRunning(pgDump));
    process.kill(pgDump, 'SIGSTOP');
    return { child, pgDump, ended };
  }

  /** What a dump in the directory format has in its temporary directory. */
  function listFiles(): string[] {
    try {
      const state = join(site.directory, 'pgrecall-state');
      return readdirSync(state, { recursive: true, encoding: 'utf8' }).filter((name) => /dump-.*\.dat/.test(name));
    } catch {
      return [];
    }
  }

  async function leavesNothing(act: () => Promise<void> | void): Promise<void> {
    const before_ = { listed: listed(), packs: packs() };
    await act();
    assert.deepEqual({ listed: listed(), packs: packs() }, before_);
    assert.deepEqual(listFiles(), []);
  }

  const connectAs = (user: string): void => {
    const config = readFileSync(site.configFile, 'utf8');
    writeFileSync(site.configFile, config.replace(/user=\w+/, `user=${user}`));
  };

  it('for a table that may not be read: it is named, and what would allow it', async () => {
    connectAs('clerk');
    try {
      await leavesNothing(() => {
        for (const format of ['custom', 'plain', 'directory']) {
          const { error, status } = dump('--database', 'shop', '--schema', 'public', '--format', format);
          assert.deepEqual([status, error.code], [1, 'server-rights']);
          assert.match(error.message, /pg_dump of database "shop" .*permission denied for table its "secret" 비밀/);
          assert.match(error.hint ?? '', /GRANT SELECT ON .*its "secret" 비밀.* TO "clerk"/);
        }
        const { error } = dump('--database', 'shop', '--schema', 'objects');
        assert.deepEqual(error.code, 'server-rights');
        assert.match(error.message, /permission denied for schema objects/);
        assert.match(error.hint ?? '', /pg_read_all_data/);
      });
    } finally {
      connectAs('postgres');
    }
  });

  it('with a password that is wrong', async () => {
    const hba = join(server.dataDirectory, 'pg_hba.conf');
    const trust = readFileSync(hba, 'utf8');
    writeFileSync(hba, `local all clerk scram-sha-256\n${trust}`);
    await using session = await server.session();
    await session.query('SELECT pg_reload_conf()');
    connectAs('clerk');
    try {
      await leavesNothing(() => {
        for (const env of [{ PGPASSWORD: 'wrong' }, {}]) {
          const { status, stdout } = site.run(['dump', 'main', '--database', 'shop', '--json'], { env });
          assert.equal(status, 1);
          const { error } = JSON.parse(stdout) as { error: Failed };
          assert.equal(error.code, 'connection');
          assert.match(error.message, /password/);
          assert.match(error.hint ?? '', /\.pgpass|PGPASSWORD/);
        }
      });
      const done = site.run(['dump', 'main', '--database', 'shop', '--schema', 'public', '--table', 'film'], {
        env: { PGPASSWORD: 'right' },
      });
      assert.equal(done.status, 0, done.stderr);
    } finally {
      connectAs('postgres');
      writeFileSync(hba, trust);
      await session.query('SELECT pg_reload_conf()');
    }
  });

  it('of a database that is not there, or of a table that is not', async () => {
    await leavesNothing(() => {
      const { error } = dump('--database', 'Shop');
      assert.equal(error.code, 'database-unknown');
      assert.match(error.hint ?? '', /Shop is not shop/);
      assert.equal(dump('--database', 'shop', '--table', 'nothing').error.code, 'usage');
    });
  });

  it('because pg_dump is killed: the signal is named', async () => {
    await leavesNothing(async () => {
      const { pgDump, ended } = await dumpHalfWay();
      process.kill(pgDump, 'SIGKILL');
      const { status, error } = await ended;
      assert.deepEqual([status, error.code], [1, 'dump-failed']);
      assert.match(error.message, /pg_dump of database "large" was ended by the signal SIGKILL/);
      assert.match(error.hint ?? '', /memory|killed/);
      assert.deepEqual(error.details['signal'], 'SIGKILL');
    });
  });

  it('because the server goes away', async () => {
    await leavesNothing(async () => {
      const { pgDump, ended } = await dumpHalfWay();
      await server.stop('immediate');
      process.kill(pgDump, 'SIGCONT');
      const { status, error } = await ended;
      await server.start();
      assert.deepEqual([status, error.code], [1, 'connection']);
      assert.match(error.message, /pg_dump of database "large" ended with status 1: .*/);
      assert.match(error.hint ?? '', /stopped or restarted/);
    });
  });

  for (const format of ['custom', 'directory']) {
    it(`because it is interrupted, in the format ${format}: pg_dump is ended, too`, async () => {
      await leavesNothing(async () => {
        const { child, pgDump, ended } = await dumpHalfWay('--format', format);
        child.kill('SIGINT');
        process.kill(pgDump, 'SIGCONT');
        const { status, error } = await ended;
        assert.deepEqual([status, error.code], [1, 'cancelled']);
        assert.ok(!isRunning(pgDump));
      });
    });

    it(`because pgrecall is killed, in the format ${format}: nothing is listed, the next dump and an expiry clean up`, async () => {
      const before_ = listed();
      const whole = packs();
      const { child, pgDump, ended } = await dumpHalfWay('--format', format);
      child.kill('SIGKILL');
      process.kill(pgDump, 'SIGCONT');
      await ended;
      const left = packs().filter((name) => !whole.includes(name));
      assert.ok(format === 'directory' || left.length > 0);
      await eventually('an end of pg_dump', () => !isRunning(pgDump));
      assert.deepEqual(listed(), before_);
      const next = site.run(['dump', 'main', '--database', 'large', '--format', format]);
      assert.equal(next.status, 0, next.stderr);
      assert.deepEqual(listFiles(), []);
      assert.deepEqual(listed().length, before_.length + 1);
      const expired = site.run(['expire', 'main']);
      assert.equal(expired.status, 0, expired.stderr);
      assert.deepEqual(
        packs().filter((name) => left.includes(name)),
        [],
      );
      const verified = site.run(['verify', 'main']);
      assert.equal(verified.status, 0, verified.stdout);
    });
  }

  it('because the repository’s disk is full', { skip: process.getuid?.() !== 0 }, () => {
    using own = new CommandSite();
    mkdirSync(own.repository);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=20m', 'tmpfs', own.repository]);
    own.give(own.repository);
    try {
      const made = own.run(['init', 'main', '--connection', server.uri(), '--repository', own.repository]);
      assert.equal(made.status, 0, made.stderr);
      for (const format of ['custom', 'directory']) {
        const { status, stdout } = own.run(['dump', 'main', '--database', 'large', '--format', format, '--json']);
        assert.equal(status, 1);
        assert.equal((JSON.parse(stdout) as { error: Failed }).error.code, 'disk-full');
        assert.deepEqual(readdirSync(own.object('packs')), []);
      }
      assert.equal(own.run(['dump', 'main', '--database', 'shop']).status, 0);
    } finally {
      execFileSync('umount', [own.repository]);
    }
  });

  it('is none of a database and tables with quotes, spaces, newlines and other scripts', () => {
    for (const format of ['plain', 'custom', 'directory']) {
      const done = site.run(['dump', 'main', '--database', hostile, '--format', format, '--jobs', '2', '--json']);
      assert.equal(done.status, 0, done.stderr);
      const { dump: facts } = done.json() as { dump: { databases: { name: string }[] } };
      assert.deepEqual(
        facts.databases.map(({ name }) => name),
        [hostile],
      );
    }
    const { error } = dump('--database', hostile, '--format', 'tar');
    assert.equal(error.code, 'dump-failed');
    assert.match(error.message, /^pg_dump of database "Ö \\"shop.*\\n.*name contains a newline/);
    assert.match(error.hint ?? '', /tar format/);
    const one = site.run(['dump', 'main', '--database', hostile, '--table', '"Other"']);
    assert.equal(one.status, 0, one.stderr);
    const all = site.run(['dump', 'main', '--all', '--schema-only', '--json']);
    assert.equal(all.status, 0, all.stderr);
    const { warnings } = all.json() as { warnings: string[] };
    assert.match(warnings.join('\n'), /no snapshot of several databases/);
    const verified = site.run(['verify', 'main']);
    assert.equal(verified.status, 0, verified.stdout);
  });

  it('of large objects that others own names them; the owner’s has them', async () => {
    await using shop = await server.session('shop');
    await shop.query("SELECT lo_from_bytea(4711, 'a large object')");
    connectAs('clerk');
    try {
      await shop.query('GRANT pg_read_all_data TO clerk');
      const { error } = dump('--database', 'shop');
      assert.equal(error.code, 'server-rights');
      assert.match(error.message, /permission denied for large object 4711/);
      assert.match(error.hint ?? '', /GRANT SELECT ON LARGE OBJECT 4711 TO "clerk"/);
    } finally {
      connectAs('postgres');
    }
    const done = site.run(['dump', 'main', '--database', 'shop', '--json']);
    assert.equal(done.status, 0, done.stderr);
    const shown = site.run(['show', 'main', (done.json() as { id: string }).id]);
    assert.match(shown.stdout, /objects .*1 blob, 1 blobs/);
  });
});
