import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { TestCluster } from '../../test/support/cluster.ts';
import { giveToServer } from '../../test/support/server-user.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { asOwner } from './as-owner.ts';
import { readPostmasterPid } from './postmaster-pid.ts';
import { isServerRunning } from './running.ts';
import { startServer } from './start-server.ts';

const root = mkdtempSync(join(tmpdir(), 'pgr-start-'));
chmodSync(root, 0o755);
after(() => rmSync(root, { recursive: true }));

/** A cluster that is stopped, and how to start it. */
async function stopped(major: 15 | 18, settings: Readonly<Record<string, string>> = {}) {
  const cluster = await TestCluster.create({ major });
  await cluster.stop();
  cluster.configure(settings);
  const { programs, dataDirectory } = cluster;
  const logFile = join(mkdtempSync(join(root, 'l')), 'server.log');
  const options = { programs, dataDirectory, logFile, signal: new AbortController().signal };
  return { cluster, options, [Symbol.asyncDispose]: async () => cluster[Symbol.asyncDispose]() };
}

async function refused(work: Promise<unknown>, code: ErrorCode, pattern: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(hasCode(error, code), String(error));
    assert.match(error.message, pattern);
    return true;
  });
}

for (const major of [15, 18] as const) {
  describe(`starting a server of ${major}`, () => {
    it('says where it is reached, and leaves it running by itself', async () => {
      await using made = await stopped(major);
      const { socketDirectory, port, pid } = await startServer(made.options);
      assert.deepEqual({ socketDirectory, port }, { socketDirectory: made.cluster.socketDirectory, port: 5432 });
      assert.equal(readPostmasterPid(made.options.dataDirectory)?.pid, pid);
      assert.ok(existsSync(join(made.options.dataDirectory, 'postmaster.opts')), 'pg_ctl restart needs it');
    });

    it('passes on options, and has the log belong to the server', async () => {
      await using made = await stopped(major);
      const { port } = await startServer({ ...made.options, options: ['-c', 'port=5444'] });
      assert.equal(port, 5444);
      const owner = statSync(made.options.dataDirectory).uid;
      assert.equal(statSync(made.options.logFile).uid, owner);
      assert.match(readFileSync(made.options.logFile, 'utf8'), /starting PostgreSQL/);
      assert.notEqual(owner, 0);
    });

    it('does not wait for recovery', async () => {
      await using made = await stopped(major, { restore_command: 'sleep 60', hot_standby: 'off' });
      writeFileSync(join(made.options.dataDirectory, 'recovery.signal'), '');
      giveToServer(join(made.options.dataDirectory, 'recovery.signal'));
      const began = performance.now();
      await startServer(made.options);
      assert.ok(performance.now() - began < 20_000);
      assert.equal(readPostmasterPid(made.options.dataDirectory)?.status, 'starting');
    });

    it('tells what the server logged when it refuses to start, and nothing of earlier starts', async () => {
      await using made = await stopped(major);
      await startServer(made.options);
      await made.cluster.stop();
      made.cluster.configure({ shared_buffers: 'plenty' });
      const failed = startServer(made.options);
      await refused(
        failed,
        'server-start',
        /ended with status 1\n.*invalid value for parameter "shared_buffers": "plenty"/,
      );
      await refused(startServer(made.options), 'server-start', /^(?!.*starting PostgreSQL)/s);
      assert.ok(!isServerRunning(made.options.dataDirectory));
    });

    it('starts over the lock file of a server that crashed', async () => {
      await using made = await stopped(major);
      const { pid } = await startServer(made.options);
      process.kill(pid, 'SIGKILL');
      while (isServerRunning(made.options.dataDirectory)) await new Promise((resolve) => setTimeout(resolve, 5));
      // The processes of the old server have to notice; until then the new one is refused.
      const until = performance.now() + 30_000;
      for (;;) {
        try {
          assert.notEqual((await startServer(made.options)).pid, pid);
          return;
        } catch (error) {
          if (!hasCode(error, 'server-start') || performance.now() > until) throw error;
        }
      }
    });
  });
}

describe('a server that cannot be started', () => {
  it('is one that runs', async () => {
    await using cluster = await TestCluster.create({ major: 15 });
    const { programs, dataDirectory } = cluster;
    const signal = new AbortController().signal;
    const again = startServer({ programs, dataDirectory, logFile: join(root, 'again.log'), signal });
    await refused(again, 'server-start', /a server runs on ".*" already/);
    assert.ok(!existsSync(join(root, 'again.log')));
  });

  it('is one whose program is not there', async () => {
    await using made = await stopped(15);
    const programs = { ...made.options.programs, postgres: '/nonexistent/postgres' };
    await refused(startServer({ ...made.options, programs }), 'server-start', /nonexistent\/postgres/);
  });

  it('is one on a directory that is no data directory', async () => {
    await using made = await stopped(15);
    const dataDirectory = mkdtempSync(join(root, 'd'));
    giveToServer(dataDirectory);
    await refused(startServer({ ...made.options, dataDirectory }), 'server-start', /postgresql\.conf/);
  });

  it('is one of root', { skip: process.getuid?.() !== 0 && 'only root can own a directory as root' }, async () => {
    await using made = await stopped(15);
    const dataDirectory = mkdtempSync(join(root, 'd'));
    await refused(startServer({ ...made.options, dataDirectory }), 'server-start', /belongs to root/);
  });

  it('ends again when the wait for it is aborted', async () => {
    await using made = await stopped(15);
    const { signal } = made.options;
    await assert.rejects(startServer({ ...made.options, signal: AbortSignal.abort(new Error('enough')) }), /enough/);
    assert.ok(!signal.aborted && !isServerRunning(made.options.dataDirectory));
  });
});

describe('a program run for a data directory', () => {
  it('runs in it, as its owner, with the groups that the owner has', async () => {
    await using cluster = await TestCluster.create({ major: 15 });
    const { uid } = statSync(cluster.dataDirectory);
    const say = 'id -u; pwd; id -G';
    const run = asOwner(cluster.dataDirectory, 'sh', ['-c', say], { PATH: process.env['PATH'] });
    const [user, directory, groups] = execFileSync(run.command, run.arguments, {
      ...run.options,
      encoding: 'utf8',
    }).split('\n');
    assert.deepEqual([user, directory], [String(uid), cluster.dataDirectory]);
    const own = execFileSync('id', ['-G', String(uid)], { encoding: 'utf8' });
    assert.equal(groups, own.trim());
  });
});
