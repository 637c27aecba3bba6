import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SqlSession } from '../../src/connection/sql-session.ts';
import { leftOutNotePath } from '../../src/restore/left-out-databases.ts';
import { findPrograms } from '../../src/server/programs.ts';
import { isServerRunning } from '../../src/server/running.ts';
import { stopServer } from '../../src/server/stop-server.ts';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite } from '../support/command-site.ts';

/* pgrecall restore --database, as an administrator types it. */

interface RestoreDocument {
  readonly directory: string;
  readonly plan: readonly string[];
  readonly leftOut: readonly string[];
  readonly started: {
    readonly state: string;
    readonly port: number;
    readonly socketDirectory: string;
    readonly dropped: readonly string[];
  } | null;
}

describe('a cluster of which some databases are restored', () => {
  let server: TestCluster;
  let site: CommandSite;
  const started: string[] = [];
  before(async () => {
    server = await TestCluster.create({ major: 15, walSegmentMiB: 1, settings: { archive_mode: 'on' } });
    site = new CommandSite();
    const words = ['init', 'main', '--connection', server.uri(), '--repository', site.repository, '--apply'];
    assert.equal(site.run(words).status, 0);
    await using session = await server.session();
    for (const name of ['shop', 'wiki', 'logs']) {
      await session.query(`CREATE DATABASE ${name}`);
      await using inside = await server.session(name);
      await inside.query('CREATE TABLE t AS SELECT generate_series(1, 1000) i');
    }
    assert.equal(site.run(['backup', 'main']).status, 0);
    {
      await using inside = await server.session('shop');
      await inside.query('INSERT INTO t VALUES (0)');
      await using beside = await server.session('wiki');
      await beside.query('INSERT INTO t VALUES (0)');
    }
    await session.query("SELECT pg_create_restore_point('then')");
    assert.equal(site.run(['check', 'main']).status, 0);
  });
  after(async () => {
    const programs = await findPrograms({ major: 15, env: process.env });
    for (const dataDirectory of started) {
      if (isServerRunning(dataDirectory)) {
        await stopServer({ programs, dataDirectory, mode: 'immediate', timeoutMs: 30_000 });
      }
    }
    site[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const restore = (name: string, ...words: readonly string[]): RestoreDocument => {
    const directory = join(site.directory, name);
    started.push(directory);
    const result = site.run(['restore', 'main', '--to', directory, '--json', ...words]);
    assert.equal(result.status, 0, `${result.stdout}${result.stderr}`);
    return result.json() as RestoreDocument;
  };

  const ask = async (socketDirectory: string, port: number, database: string, sql: string): Promise<object[]> => {
    const host = encodeURIComponent(socketDirectory);
    await using session = await SqlSession.connect(`postgresql:///${database}?host=${host}&port=${port}&user=postgres`);
    return await session.query(sql);
  };
  const databases = "SELECT datname FROM pg_database WHERE datname !~ 'template' ORDER BY 1";

  it('says in the plan what it leaves out, and knows no other names', () => {
    const { plan, leftOut } = restore('planned', '--database', 'shop', '--database', 'logs', '--plan');
    assert.deepEqual(leftOut, ['wiki']);
    assert.match(plan.join('\n'), /^2\. leave out wiki: empty files, to be dropped when recovery is done$/m);
    const directory = join(site.directory, 'never');
    const unknown = site.run(['restore', 'main', '--to', directory, '--database', 'Shop', '--json']);
    assert.equal(unknown.status, 2, unknown.stderr);
    const { error } = unknown.json() as { error: { code: string; hint: string } };
    assert.equal(error.code, 'database-unknown');
    assert.match(error.hint, /databases of this backup: .*shop, wiki, logs/);
    assert.ok(!existsSync(directory));
  });

  it('is recovered, opened, and has these databases and no others', async () => {
    const words = ['--database', 'shop', '--start', '--port', '5445'];
    const { started: at, leftOut } = restore('opened', ...words);
    assert.deepEqual(leftOut, ['wiki', 'logs']);
    assert.ok(at);
    assert.equal(at.state, 'promoted');
    assert.deepEqual(at.dropped, ['wiki', 'logs']);
    const { socketDirectory, port } = at;
    assert.deepEqual(await ask(socketDirectory, port, 'postgres', databases), [
      { datname: 'postgres' },
      { datname: 'shop' },
    ]);
    assert.deepEqual(await ask(socketDirectory, port, 'shop', 'SELECT count(*)::int FROM t'), [{ count: 1001 }]);
  });

  it('pauses at a target with the others still there, empty; resumed, they are dropped', async () => {
    const words = ['--database', 'wiki', '--target-name', 'then', '--start', '--port', '5446'];
    const { started: at, directory } = restore('paused', ...words);
    assert.ok(at);
    assert.deepEqual([at.state, at.dropped], ['paused', []]);
    await assert.rejects(ask(at.socketDirectory, at.port, 'shop', 'SELECT 1'), /not a valid data directory/);
    assert.deepEqual(await ask(at.socketDirectory, at.port, 'wiki', 'SELECT count(*)::int FROM t'), [{ count: 1001 }]);
    const resumed = site.run(['resume', '--directory', directory, '--json']);
    assert.equal(resumed.status, 0, resumed.stderr);
    assert.deepEqual((resumed.json() as { dropped: string[] }).dropped, ['shop', 'logs']);
  });

  it('started by hand, the statements that lie in the directory drop them', async () => {
    const { directory, started: at } = restore('by-hand', '--database', 'logs');
    assert.equal(at, null);
    const copy = await TestCluster.over(directory, 15);
    try {
      for (;;) {
        const [row] = (await ask(copy.socketDirectory, copy.port, 'postgres', 'SELECT pg_is_in_recovery() AS is')) as {
          is: boolean;
        }[];
        if (row?.is === false) break;
      }
      const words = ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', copy.socketDirectory, '-U', 'postgres', '-f'];
      execFileSync('/usr/lib/postgresql/15/bin/psql', [...words, leftOutNotePath(directory), 'postgres']);
      const left = await ask(copy.socketDirectory, copy.port, 'postgres', databases);
      assert.deepEqual(left, [{ datname: 'logs' }, { datname: 'postgres' }]);
      const auto = readFileSync(join(directory, 'postgresql.auto.conf'), 'utf8');
      assert.doesNotMatch(auto, /ignore_invalid_pages/);
    } finally {
      await copy[Symbol.asyncDispose]();
    }
  });
});
