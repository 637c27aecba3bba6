import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { on, once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SqlSession } from '../../src/connection/sql-session.ts';
import { findPrograms } from '../../src/server/programs.ts';
import { isServerRunning } from '../../src/server/running.ts';
import { stopServer } from '../../src/server/stop-server.ts';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite } from '../support/command-site.ts';
import { giveToServer } from '../support/server-user.ts';

/* pgrecall restore and resume, as an administrator types them. */

interface RestoreDocument {
  readonly directory: string;
  readonly backup: string;
  readonly target: string;
  readonly plan: readonly string[];
  readonly executed: boolean;
  readonly started: {
    readonly state: string;
    readonly timeline: number;
    readonly port: number;
    readonly socketDirectory: string;
    readonly stopped: string | null;
  } | null;
}

interface RefusalDocument {
  readonly error: { readonly code: string; readonly message: string; readonly details: { to: string | null } };
}

/** Returns when the command has said something of the kind on stderr. */
async function until(command: ChildProcess, said: RegExp): Promise<void> {
  let text = '';
  for await (const part of on(command.stderr ?? command, 'data', { close: ['end'] })) {
    text += String(part);
    if (said.test(text)) return;
  }
  throw new Error(`the command ended without saying ${said}: ${text}`);
}

async function end(command: ChildProcess): Promise<{ readonly status: number | null; readonly stdout: string }> {
  let stdout = '';
  command.stdout?.on('data', (part) => (stdout += String(part)));
  await once(command, 'close');
  return { status: command.exitCode, stdout };
}

describe('a cluster with a tablespace, archived after its backup', () => {
  let server: TestCluster;
  let site: CommandSite;
  let place: string;
  let xid: string;
  let lost: string;
  const started: string[] = [];
  before(async () => {
    server = await TestCluster.create({ major: 15, walSegmentMiB: 1, settings: { archive_mode: 'on' } });
    site = new CommandSite();
    const words = ['init', 'main', '--connection', server.uri(), '--repository', site.repository, '--apply'];
    assert.equal(site.run(words).status, 0);
    place = own('fast');
    await using session = await server.session();
    await session.query(`CREATE TABLESPACE fast LOCATION '${place}'`);
    await session.query('CREATE TABLE t (i int) TABLESPACE fast');
    assert.equal(site.run(['backup', 'main']).status, 0);
    const [row] = await session.query<{ xid: string }>(
      'INSERT INTO t VALUES (1) RETURNING pg_current_xact_id()::text AS xid',
    );
    xid = row?.xid ?? '';
    await session.query("SELECT pg_create_restore_point('before the mistake')");
    const [now] = await session.query<{ at: string }>('SELECT clock_timestamp()::text AS at');
    lost = now?.at ?? '';
    await session.query('DELETE FROM t');
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

  /** A directory of the servers' user. */
  const own = (name: string): string => {
    const path = join(site.directory, name);
    mkdirSync(path, { mode: 0o700 });
    giveToServer(path);
    return path;
  };

  const restore = (name: string, ...words: readonly string[]): RestoreDocument => {
    const directory = join(site.directory, name);
    started.push(directory);
    const mapping = `fast=${join(site.directory, `${name}-fast`)}`;
    const result = site.run(['restore', 'main', '--to', directory, '--tablespace', mapping, '--json', ...words]);
    assert.equal(result.status, 0, `${result.stdout}${result.stderr}`);
    return result.json() as RestoreDocument;
  };

  const count = async ({ started: at }: RestoreDocument): Promise<unknown> => {
    const host = encodeURIComponent(at?.socketDirectory ?? '');
    await using session = await SqlSession.connect(
      `postgresql:///postgres?host=${host}&port=${at?.port}&user=postgres`,
    );
    const [row] = await session.query<{ count: number }>('SELECT count(*)::int FROM t');
    return row?.count;
  };

  it('says what a restore would do, and does nothing', () => {
    const { plan, executed, target } = restore('planned', '--target-time', lost, '--plan');
    assert.equal(executed, false);
    assert.ok(!existsSync(join(site.directory, 'planned')));
    assert.match(target, /^just after /);
    assert.equal(plan.length, 5);
    assert.match(
      plan.join('\n'),
      /1\. restore .* to .*planned\n2\. restore tablespace \d+ to .*planned-fast\n3\. replay WAL from 0\/[0-9A-F]+ on timeline 1 to just after .*\n4\. recovery stops at 0\/[0-9A-F]+ \(timeline 1, transaction of .*\)\n5\. then it pauses/,
    );
  });

  it('is restored to the moment before, looked at, and resumed', async () => {
    const restored = restore('paused', '--target-name', 'before the mistake', '--start', '--port', '5441');
    assert.equal(restored.started?.state, 'paused');
    assert.match(restored.started.stopped ?? '', /recovery stopping at restore point "before the mistake"/);
    assert.equal(await count(restored), 1);
    const auto = readFileSync(join(restored.directory, 'postgresql.auto.conf'), 'utf8');
    assert.match(auto, /^archive_mode = 'off'$/m);
    const resumed = site.run(['resume', '--directory', restored.directory, '--json']);
    assert.equal(resumed.status, 0, resumed.stderr);
    const state = resumed.json() as { state: string; timeline: number };
    assert.deepEqual([state.state, state.timeline], ['promoted', 2]);
    assert.match(site.run(['resume', '--directory', restored.directory]).stdout, /out of recovery, on timeline 2/);
  });

  it('is restored to just before a transaction, and opened at once', async () => {
    const words = [
      '--target-xid',
      xid,
      '--target-exclusive',
      '--target-action',
      'promote',
      '--start',
      '--port',
      '5442',
    ];
    const restored = restore('promoted', ...words);
    assert.deepEqual([restored.started?.state, restored.started?.timeline], ['promoted', 2]);
    assert.match(restored.started?.stopped ?? '', new RegExp(`before commit of transaction ${xid}`));
    assert.equal(await count(restored), 0);
  });

  it('is restored, recovered, and left shut down', () => {
    const words = ['--target-xid', xid, '--target-action', 'shutdown', '--start', '--port', '5443'];
    const restored = restore('shut-down', ...words);
    assert.equal(restored.started?.state, 'shut down');
    assert.match(restored.started.stopped ?? '', new RegExp(`after commit of transaction ${xid}`));
    assert.ok(!isServerRunning(restored.directory));
  });

  /** Starts a restored server that gets no WAL after that of its backup before the file `gate` is there. */
  const startHeldUp = async (directory: string, gate: string): Promise<TestCluster> => {
    const auto = join(directory, 'postgresql.auto.conf');
    const [, command = ''] = /^restore_command = '(.*) "%f" "%p"'$/m.exec(readFileSync(auto, 'utf8')) ?? [];
    const backup = site.run(['show', 'main', 'latest', '--json']).json() as { stopSegment: string };
    const script = join(own('held-up'), 'restore-command');
    writeFileSync(
      script,
      `#!/bin/sh
case $1 in
  *.history | ${backup.stopSegment}) ;;
  *) while [ -d "${site.directory}" ] && [ ! -e "${gate}" ]; do sleep 0.05; done ;;
esac
exec ${command.replaceAll("''", "'")} "$1" "$2"
`,
    );
    appendFileSync(auto, `restore_command = 'sh ${script} "%f" "%p"'\n`);
    // Reading ahead, the server would wait for the gate before it has replayed what it needs to take connections.
    return TestCluster.over(directory, 15, { recovery_prefetch: 'off' });
  };

  const unreachable: readonly (readonly [string, readonly string[]])[] = [
    ['a time to come', ['--target-time', '2100-01-01 00:00Z']],
    ['a time before the first backup', ['--target-time', '2001-01-01 00:00Z']],
    ['a position to come', ['--target-lsn', 'FF/0']],
    ['a restore point that nobody made', ['--target-name', 'before the other mistake']],
    ['a transaction that never ended', ['--target-xid', '4000000']],
    ['a timeline that there is not', ['--target-timeline', '9']],
  ];
  for (const [what, words] of unreachable) {
    it(`cannot be restored to ${what}: exit 4, with what can be reached, and nothing is written`, () => {
      const directory = join(site.directory, 'never');
      const result = site.run(['restore', 'main', '--to', directory, '--json', ...words]);
      assert.equal(result.status, 4, result.stderr);
      const { error } = result.json() as RefusalDocument;
      assert.equal(error.code, 'target-unreachable');
      assert.match(result.stderr, /hint: /);
      assert.ok(!existsSync(directory));
    });
  }

  it('cannot be restored into a directory that is there already, which stays as it was', () => {
    const directory = join(site.directory, 'there');
    mkdirSync(directory, { mode: 0o750 });
    const result = site.run(['restore', 'main', '--to', directory, '--target-time', '2100-01-01 00:00Z', '--json']);
    assert.equal(result.status, 4, result.stderr);
    const { uid, mode } = statSync(directory);
    assert.deepEqual([uid, mode & 0o777, readdirSync(directory)], [process.getuid?.(), 0o750, []]);
  });

  it('is not restored by a number that is none, and nothing is written', () => {
    const directory = join(site.directory, 'never');
    const mapping = `fast=${join(site.directory, 'never-fast')}`;
    for (const wrong of ['--jobs', '--port', '--timeout']) {
      const result = site.run(['restore', 'main', '--to', directory, '--tablespace', mapping, wrong, 'many', '--json']);
      assert.equal((result.json() as RefusalDocument).error.code, 'usage');
      assert.ok(!existsSync(directory));
    }
  });

  it('is not restored over the tablespace of the cluster that lives', () => {
    const directory = join(site.directory, 'beside');
    const result = site.run(['restore', 'main', '--to', directory, '--json']);
    assert.equal(result.status, 2, result.stderr);
    const { error } = result.json() as RefusalDocument;
    assert.equal(error.code, 'tablespace-mapping');
    assert.match(result.stderr, new RegExp(`hint: put it elsewhere with --tablespace ${place}=`));
    const wrong = site.run(['restore', 'main', '--to', directory, '--tablespace', `slow=${place}-2`, '--json']);
    assert.equal((wrong.json() as RefusalDocument).error.code, 'tablespace-mapping');
    for (const path of [directory, `${place}-2`]) assert.ok(!existsSync(path), path);
  });

  describe('and is still on its way to the target when it is resumed', () => {
    let slow: TestCluster;
    let directory: string;
    let gate: string;
    before(async () => {
      ({ directory } = restore('slow', '--target-name', 'before the mistake'));
      gate = join(site.directory, 'gate');
      slow = await startHeldUp(directory, gate);
    });
    after(async () => {
      writeFileSync(gate, '');
      await slow[Symbol.asyncDispose]();
    });

    it('it is waited for as long as was said, and the error says where it stands', () => {
      const result = site.run(['resume', '--directory', directory, '--timeout', '0.3', '--json']);
      assert.equal(result.status, 1, result.stderr);
      const { error } = result.json() as RefusalDocument;
      assert.equal(error.code, 'recovery-failed');
      assert.match(error.message, /^the server is not paused in the time given: recovering, replayed to 0\//);
      assert.ok(slow.isRunning());
    });

    it('the command ends when the server does, and says how', async () => {
      const resuming = site.start(['resume', '--directory', directory, '--json']);
      await until(resuming, /recovering, replayed to 0\//);
      await slow.stop();
      const { status, stdout } = await end(resuming);
      assert.equal(status, 1, stdout);
      const { error } = JSON.parse(stdout) as RefusalDocument;
      assert.match(error.message, /^the server was shut down in recovery, at 0\/[0-9A-F]+; it was not paused$/);
    });

    it('it is opened when it has come there', async () => {
      await slow.start();
      const resuming = site.start(['resume', '--directory', directory, '--json']);
      await until(resuming, /recovering, replayed to 0\//);
      writeFileSync(gate, '');
      const { status, stdout } = await end(resuming);
      assert.equal(status, 0, stdout);
      const { state, timeline } = JSON.parse(stdout) as { state: string; timeline: number };
      assert.deepEqual([state, timeline], ['promoted', 2]);
      await using session = await slow.session();
      assert.deepEqual(await session.query('SELECT i FROM t'), [{ i: 1 }]);
    });
  });

  it('has nothing to resume where no server runs', () => {
    const result = site.run(['resume', '--directory', site.directory, '--json']);
    assert.equal((result.json() as RefusalDocument).error.code, 'connection');
    assert.equal(site.run(['resume']).status, 2);
  });
});
