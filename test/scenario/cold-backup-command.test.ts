import assert from 'node:assert/strict';
import { spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readControlFile } from '../../src/backup/read-control-file.ts';
import { readPostmasterPid } from '../../src/server/postmaster-pid.ts';
import { isServerRunning } from '../../src/server/running.ts';
import { TestCluster } from '../support/cluster.ts';
import { putToRest } from '../support/cold-rig.ts';
import { CommandSite, type CommandResult } from '../support/command-site.ts';
import { eventually } from '../support/eventually.ts';

/* pgrecall backup --cold and --stop, as an administrator types them. */

interface Shown {
  readonly id: string;
  readonly temperature: string;
  readonly type: string;
  readonly outsideFiles: readonly string[];
  readonly warnings: readonly string[];
}

function codeOf(result: CommandResult): string {
  return (result.json() as { error: { code: string } }).error.code;
}

for (const major of [15, 18] as const) {
  describe(`a server of PostgreSQL ${major}`, () => {
    let server: TestCluster;
    let site: CommandSite;
    before(async () => {
      server = await TestCluster.create({ major, settings: { wal_level: 'minimal', max_wal_senders: '0' } });
      site = new CommandSite();
      assert.equal(site.run(['init', 'main', '--connection', server.uri(), '--repository', site.repository]).status, 0);
      await using session = await server.session();
      // Not to be compressed: the backup is to take a while.
      await session.query(
        `CREATE TABLE t AS SELECT i, string_agg(md5(random()::text || k), '') AS v
           FROM generate_series(1, 30000) i, generate_series(1, 60) k GROUP BY i`,
      );
    });
    after(async () => {
      site[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    });

    const listed = (): string[] => {
      const { backups } = site.run(['list', 'main', '--json']).json() as { backups: Shown[] };
      return backups.map(({ id }) => id);
    };
    const isReady = (): boolean => readPostmasterPid(server.dataDirectory)?.status === 'ready';
    const pid = (): number => readPostmasterPid(server.dataDirectory)?.pid ?? 0;

    it('is not backed up cold while it runs, unless it is to be stopped', () => {
      const refused = site.run(['backup', 'main', '--cold', '--json']);
      assert.deepEqual([refused.status, codeOf(refused)], [1, 'server-running']);
      const odd = site.run(['backup', 'main', '--stop', '--json']);
      assert.deepEqual([odd.status, codeOf(odd)], [2, 'usage']);
      assert.ok(isReady());
    });

    it('is stopped for the backup and started again', async () => {
      const first = pid();
      const done = site.run(['backup', 'main', '--cold', '--stop', '--note', 'before the move', '--json']);
      assert.equal(done.status, 0, done.stderr);
      assert.match(done.stderr, /the server runs again/);
      const record = done.json() as Shown;
      assert.deepEqual([record.temperature, record.type, record.warnings], ['cold', 'full', []]);
      assert.ok(isReady() && pid() !== first);
      await using session = await server.session();
      assert.deepEqual(await session.query('SELECT count(*)::int FROM t'), [{ count: 30_000 }]);
      assert.match(site.run(['list', 'main']).stdout, new RegExp(`^${record.id}  cold physical full .*before`, 'm'));
      assert.match(site.run(['show', 'main', 'latest']).stdout, /cold, physical, full/);
      assert.equal(site.run(['verify', 'main', 'latest']).status, 0);

      const directory = join(site.directory, 'restored');
      const words = ['restore', 'main', '--to', directory, '--backup', record.id, '--port', '5433'];
      const planned = site.run([...words, '--plan']);
      assert.match(planned.stdout, /starts as it was/);
      const restored = site.run([...words, '--start']);
      try {
        assert.equal(restored.status, 0, restored.stderr);
        assert.ok(isServerRunning(directory));
        assert.equal(readControlFile(directory).control.timeline, 1);
      } finally {
        const { pid: started } = readPostmasterPid(directory) ?? {};
        if (started !== undefined) process.kill(started, 'SIGINT');
        await eventually('the restored server has ended', () => !isServerRunning(directory));
      }
    });

    /** Begins a backup, and does something to it as soon as the server is stopped. */
    async function interrupt(signal: NodeJS.Signals): Promise<ChildProcess> {
      const first = pid();
      const child = site.start(['backup', 'main', '--cold', '--stop']);
      child.stderr?.resume();
      await eventually('the server is stopped', () => !existsSync(join(server.dataDirectory, 'postmaster.pid')), {
        pauseMs: 1,
      });
      child.kill(signal);
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      await eventually('the server runs again', () => isReady() && pid() !== first);
      return child;
    }

    it('is started again where the backup is interrupted, or killed', async () => {
      const complete = listed();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) {
        const { exitCode } = await interrupt(signal);
        assert.equal(exitCode, 1, signal);
        assert.deepEqual(listed(), complete);
      }
      await interrupt('SIGKILL');
      assert.deepEqual(listed(), complete);
      assert.equal(site.run(['backup', 'main', '--cold', '--stop']).status, 0);
      assert.equal(listed().length, complete.length + 1);
    });

    it('is started again where the backup fails', async () => {
      const complete = listed();
      const packs = site.object('packs');
      chmodSync(packs, 0o500);
      try {
        const failed = site.run(['backup', 'main', '--cold', '--stop', '--independent', '--json']);
        assert.equal(failed.status, 1);
        assert.equal(codeOf(failed), 'storage');
      } finally {
        chmodSync(packs, 0o700);
      }
      await eventually('the server runs again', isReady);
      assert.deepEqual(listed(), complete);
    });

    it('is not stopped where the backup would be refused, or is busy', async () => {
      const first = pid();
      const other = await TestCluster.create({ major });
      await using _other = other;
      const config = readFileSync(site.configFile, 'utf8');
      writeFileSync(site.configFile, config.replace(server.dataDirectory, other.dataDirectory));
      const mismatch = site.run(['backup', 'main', '--cold', '--stop', '--json']);
      writeFileSync(site.configFile, config);
      assert.deepEqual([mismatch.status, codeOf(mismatch)], [1, 'cluster-mismatch']);
      assert.ok(other.isRunning());

      const child = site.start(['backup', 'main', '--cold', '--stop']);
      child.stderr?.resume();
      await eventually('a backup that holds the lock', () => existsSync(site.object('locks/backup')), { pauseMs: 1 });
      child.kill('SIGSTOP');
      const busy = site.run(['backup', 'main', '--cold', '--stop', '--json']);
      child.kill('SIGCONT');
      if (child.exitCode === null) await once(child, 'exit');
      assert.ok([1, 5].includes(busy.status ?? 0), busy.stdout);
      assert.equal(child.exitCode, 0);
      await eventually('the server runs again', () => isReady() && pid() !== first);
    });

    it('that is stopped is left so', async () => {
      await putToRest(server);
      const done = site.run(['backup', 'main', '--cold', '--stop', '--json']);
      assert.equal(done.status, 0, done.stderr);
      assert.ok(!server.isRunning());
      const again = site.run(['backup', 'main', '--cold', '--json']);
      assert.equal(again.status, 0, again.stderr);
      await server.start();
    });

    it('is backed up by who may read its files', { skip: process.getuid?.() !== 0 }, async () => {
      await putToRest(server);
      const launcher = fileURLToPath(new URL('../../bin/pgrecall', import.meta.url));
      const place = join(site.directory, 'nobody');
      mkdirSync(place);
      chmodSync(place, 0o755);
      const config = join(place, 'pgrecall.toml');
      writeFileSync(config, readFileSync(site.configFile, 'utf8'), { mode: 0o644 });
      const words = ['--reuid=nobody', '--regid=nogroup', '--clear-groups', launcher, 'backup', 'main', '--cold'];
      const { status, stdout } = spawnSync('setpriv', [...words, '--json', '--config', config], { encoding: 'utf8' });
      assert.equal(status, 1);
      assert.match(stdout, /"code": "data-directory"/);
      await server.start();
    });
  });
}
