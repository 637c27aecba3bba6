import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { checkWith } from '../support/backup-rig.ts';
import { majors, TestCluster, type Major } from '../support/cluster.ts';
import { CommandSite, type CommandResult } from '../support/command-site.ts';
import { eventually } from '../support/eventually.ts';
import { giveToServer } from '../support/server-user.ts';
import { restoredTree, sameTrees } from '../support/restored-tree.ts';

/* pgrecall restore --delta, as an administrator types it: the cluster itself, back to before its accident. */

interface DeltaDocument {
  readonly directory: string;
  readonly plan: readonly string[];
  readonly executed: boolean;
  readonly delta: {
    readonly comparedBytes: number;
    readonly changedBytes: number;
    readonly newFiles: number;
    readonly removedFiles: number;
    readonly unarchivedWal: readonly string[];
  } | null;
  readonly error?: { readonly code: string; readonly message: string };
}

class Site implements AsyncDisposable {
  readonly server: TestCluster;
  readonly commands: CommandSite;
  readonly place: string;

  private constructor(server: TestCluster, commands: CommandSite, place: string) {
    this.server = server;
    this.commands = commands;
    this.place = place;
  }

  /** A cluster that archives, with a tablespace and some tables, backed up. */
  static async create(major: Major): Promise<Site> {
    const server = await TestCluster.create({
      major,
      walSegmentMiB: 1,
      settings: { archive_mode: 'on', autovacuum: 'off', logging_collector: 'on', log_directory: 'log' },
    });
    const commands = new CommandSite();
    const place = join(commands.directory, 'fast');
    execFileSync('mkdir', ['-m', '700', place]);
    giveToServer(place);
    const site = new Site(server, commands, place);
    site.succeed('init', 'main', '--connection', server.uri(), '--repository', commands.repository, '--apply');
    await using session = await server.session();
    await session.query(`CREATE TABLESPACE fast LOCATION '${place}'`);
    await session.query(
      'CREATE TABLE t AS SELECT i, repeat(md5(i::text), 10) AS filler FROM generate_series(1, 20000) i',
    );
    await session.query('CREATE TABLE f (i int) TABLESPACE fast');
    await session.query('INSERT INTO f SELECT generate_series(1, 5000)');
    await session.query('CREATE UNLOGGED TABLE u AS SELECT generate_series(1, 1000) i');
    await session.query('CHECKPOINT');
    site.succeed('backup', 'main');
    return site;
  }

  get directory(): string {
    return this.server.dataDirectory;
  }

  run(...words: readonly string[]): CommandResult {
    return this.commands.run(words);
  }

  succeed(...words: readonly string[]): CommandResult {
    const result = this.run(...words);
    assert.equal(result.status, 0, `${words.join(' ')}: ${result.stdout}${result.stderr}`);
    return result;
  }

  delta(...words: readonly string[]): DeltaDocument {
    return this.run('restore', 'main', '--to', this.directory, '--delta', '--json', ...words).json() as DeltaDocument;
  }

  /** What a restore to an empty directory makes. */
  fresh(...words: readonly string[]): ReturnType<typeof restoredTree> {
    const directory = join(this.commands.directory, 'fresh');
    const mapping = `fast=${join(this.commands.directory, 'fresh-fast')}`;
    this.succeed('restore', 'main', '--to', directory, '--tablespace', mapping, ...words);
    return restoredTree(directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    this.commands[Symbol.dispose]();
  }
}

/** The accident, after a moment that can be named, and what went on meanwhile. */
async function accident(session: SqlSession): Promise<void> {
  await session.query("SELECT pg_create_restore_point('before')");
  await session.query("UPDATE t SET filler = 'gone' WHERE i % 300 = 0");
  await session.query('TRUNCATE f');
  await session.query('CREATE TABLE later AS SELECT generate_series(1, 3000) i');
  await session.query('CREATE TABLE later_there TABLESPACE fast AS SELECT generate_series(1, 3000) i');
  await session.query('DROP TABLE u');
  await session.query('CREATE DATABASE another');
  await session.query('CHECKPOINT');
}

/** Once it is open for work. */
async function contentOf(server: TestCluster): Promise<object[]> {
  await eventually('the server to open', async () => {
    await using session = await server.session();
    const [row] = await session.query<{ is: boolean }>('SELECT pg_is_in_recovery() AS is');
    return row?.is === false;
  });
  await using session = await server.session();
  return await session.query(`SELECT (SELECT count(*)::int FROM t WHERE filler = 'gone') AS gone, (SELECT count(*)::int FROM f) AS f,
                               (SELECT count(*)::int FROM u) AS u, to_regclass('later')::text AS later`);
}

/**
 * What differs between two directories that are equal: the places that they name, logs (which backup_manifest lists where
 * they are restored), and copies of the configuration.
 */
const own = (path: string): boolean =>
  /^(log(\/|$)|.*\.before-delta$|pg_wal\/pgrecall)|^(postgresql\.auto\.conf|backup_manifest)$/.test(path);

for (const major of majors) {
  describe(`a cluster of PostgreSQL ${major}, stopped after an accident`, () => {
    it('is brought back in place, to the moment before', { timeout: 180_000 }, async () => {
      await using site = await Site.create(major);
      {
        await using session = await site.server.session();
        await accident(session);
      }
      // The restore point is known once its segment is archived.
      site.succeed('check', 'main');
      const refused = site.delta('--target-name', 'before');
      assert.equal(refused.error?.code, 'server-running');
      await site.server.stop();
      site.server.configure({ work_mem: '77MB' });
      const expected = site.fresh('--target-name', 'before', '--target-action', 'promote');
      const before = restoredTree(site.directory);
      const target = ['--target-name', 'before', '--target-action', 'promote'];
      const planned = site.delta(...target, '--plan');
      sameTrees(restoredTree(site.directory), before);
      assert.ok(planned.delta, planned.error?.message);
      assert.deepEqual(planned.delta.unarchivedWal, []);
      const done = site.delta(...target);
      assert.deepEqual(done.delta, planned.delta);
      // Thirty pages or so of a relation of a thousand, and some of the catalogues.
      const { changedBytes, comparedBytes } = planned.delta;
      assert.ok(changedBytes > 8192 * 20 && changedBytes < comparedBytes / 3, `${changedBytes} of ${comparedBytes}`);
      sameTrees(restoredTree(site.directory), expected, own);
      checkWith(major, 'pg_verifybackup', [
        '--no-parse-wal',
        '--ignore=log',
        ...ignoreKept(site.directory),
        site.directory,
      ]);
      assert.ok(readdirSync(join(site.directory, 'log')).length > 0);
      assert.match(readFileSync(join(site.directory, 'postgresql.conf.before-delta'), 'utf8'), /work_mem = '77MB'/);

      await site.server.start();
      assert.deepEqual(await contentOf(site.server), [{ gone: 0, f: 5000, u: 0, later: null }]);
      // It is the cluster, and archives as before.
      site.succeed('check', 'main');
    });
  });
}

function ignoreKept(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.before-delta'))
    .map((name) => `--ignore=${name}`);
}

describe('a cluster that is restored in place', () => {
  it('does not lose what a crashed server had not archived, unless that is wanted', async () => {
    await using site = await Site.create(15);
    // All that is before is archived.
    site.succeed('check', 'main');
    {
      await using session = await site.server.session();
      await session.query('CREATE TABLE last AS SELECT 1 AS i');
    }
    await site.server.stop('immediate');
    const before = restoredTree(site.directory);
    const refused = site.delta();
    assert.equal(refused.error?.code, 'wal-not-archived');
    assert.match(refused.error.message, /would be lost: [0-9A-F]{24} \(\d+ transactions?, the last at /);
    sameTrees(restoredTree(site.directory), before);
    const planned = site.delta('--plan');
    assert.equal(planned.delta?.unarchivedWal.length, 1);
    assert.match(planned.plan.join('\n'), /LOSE WAL that is not in the repository/);

    // As the guide has it.
    const [name = ''] = planned.delta.unarchivedWal;
    const partial = join(site.commands.directory, `${name}.partial`);
    execFileSync('cp', [join(site.directory, 'pg_wal', name), partial]);
    giveToServer(partial);
    site.succeed('wal', 'push', partial, '--cluster', 'main');
    assert.deepEqual(site.delta('--plan').delta?.unarchivedWal, []);
    assert.ok(site.delta().executed);
    await site.server.start();
    await eventually('the table', async () => {
      await using session = await site.server.session();
      const [row] = await session.query<{ last: string | null }>("SELECT to_regclass('last')::text AS last");
      return row?.last === 'last';
    });
  });

  it('gives it up when told so', async () => {
    await using site = await Site.create(15);
    // All that is before is archived.
    site.succeed('check', 'main');
    {
      await using session = await site.server.session();
      await session.query('CREATE TABLE last AS SELECT 1 AS i');
    }
    await site.server.stop('immediate');
    assert.ok(site.delta('--discard-wal', '--target-immediate', '--target-action', 'promote').executed);
    await site.server.start();
    assert.deepEqual(await contentOf(site.server), [{ gone: 0, f: 5000, u: 0, later: null }]);
  });

  it('heals what a disk has done to it, and keeps its pg_wal where that is', async () => {
    await using site = await Site.create(15);
    const [file] = await askOne(site.server, "SELECT pg_relation_filepath('t') AS path");
    await site.server.stop();
    const path = join(site.directory, String(file));
    const bytes = readFileSync(path);
    bytes.fill(0xee, 100_000, 100_100);
    writeFileSync(path, bytes);
    const disk = join(site.commands.directory, 'wal-disk');
    execFileSync('mv', [join(site.directory, 'pg_wal'), disk]);
    symlinkSync(disk, join(site.directory, 'pg_wal'));
    assert.ok(site.delta().executed);
    assert.ok(existsSync(join(disk, 'archive_status')));
    await site.server.start();
    assert.deepEqual(await contentOf(site.server), [{ gone: 0, f: 5000, u: 0, later: null }]);
    const words = ['--host', site.server.socketDirectory, '--username', 'postgres', '--install-missing', 'postgres'];
    checkWith(15, 'pg_amcheck', words);
  });

  it('is not the one beside it whose links lead to its tablespaces', async () => {
    await using site = await Site.create(15);
    await site.server.stop();
    const copy = join(site.commands.directory, 'copy');
    execFileSync('cp', ['-a', site.directory, copy]);
    const result = site.run('restore', 'main', '--to', copy, '--delta', '--json');
    assert.equal(result.status, 2, result.stderr);
    const { error } = result.json() as DeltaDocument;
    assert.equal(error?.code, 'tablespace-mapping');
    assert.match(error.message, /which is that of the cluster in /);
    // To a place of its own.
    const words = ['--tablespace', `fast=${join(site.commands.directory, 'copy-fast')}`];
    site.succeed('restore', 'main', '--to', copy, '--delta', ...words);
    await using server = await TestCluster.over(copy, 15);
    assert.deepEqual(await contentOf(server), [{ gone: 0, f: 5000, u: 0, later: null }]);
  });

  it('is restored as ever where there is nothing yet, and refuses what it does not know', async () => {
    await using site = await Site.create(15);
    const directory = join(site.commands.directory, 'new');
    const mapping = ['--tablespace', `fast=${join(site.commands.directory, 'new-fast')}`];
    site.succeed('restore', 'main', '--to', directory, '--delta', ...mapping);
    rmSync(join(directory, 'global/pg_control'));
    const refusals: readonly (readonly [string, readonly string[]])[] = [
      ['delta-target', ['--to', directory, '--delta']],
      ['usage', ['--to', directory, '--delta', '--database', 'postgres']],
      ['usage', ['--to', directory, '--discard-wal']],
      ['target-not-empty', ['--to', directory]],
    ];
    for (const [code, words] of refusals) {
      const result = site.run('restore', 'main', '--json', ...mapping, ...words);
      assert.equal((result.json() as DeltaDocument).error?.code, code, words.join(' '));
    }
  });
});

async function askOne(server: TestCluster, sql: string): Promise<unknown[]> {
  await using session = await server.session();
  const [row] = await session.query<Record<string, unknown>>(sql);
  return Object.values(row ?? {});
}
