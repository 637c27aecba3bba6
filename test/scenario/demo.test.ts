import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import type { DemoReport } from '../../src/demo/demo.ts';
import { giveToServer } from '../support/server-user.ts';

const launcher = resolve(import.meta.dirname, '../../bin/pgrecall');

test('on PostgreSQL 15 the demo brings every name back, and leaves nothing behind', async () => {
  using place = new Place();
  const report = await place.report('--postgres', '15');
  assertProof(report, 15);
  assert.equal(report.kept, false);
  assert.equal(existsSync(report.directory), false);
  assert.deepEqual(readdirSync(place.directory), []);
  assert.deepEqual(place.processes(), []);
});

test('on PostgreSQL 18 too, and told to keep everything it stops its servers all the same', async () => {
  using place = new Place();
  const report = await place.report('--postgres', '18', '--keep');
  assertProof(report, 18);
  assert.equal(report.kept, true);
  assert.ok(existsSync(join(report.directory, 'restored', 'PG_VERSION')));
  assert.deepEqual(place.processes(), []);
});

function assertProof(report: DemoReport, major: number): void {
  assert.equal(report.postgres.major, major);
  assert.equal(report.proof.holds, true);
  const found = Object.fromEntries(report.proof.checks.map((check) => [check.name, check.found]));
  assert.equal(found['actors named Kim after the accident'], 225);
  assert.equal(found['actors after the recovery'], 225);
  assert.equal(found['actors equal to the noted ones, in every column'], 225);
  assert.equal(found['tables equal to the noted ones, in every row'], 15);
  assert.equal(found['recovery has paused at the target'], 'paused');
  assert.equal(found['recovery.signal was there, and is gone'], true);
  assert.equal(found['the damaged data directory is as it was kept'], true);
  const commands = report.steps.flatMap((step) => step.actions.map((action) => action.command));
  for (const word of ['init', 'check', 'backup', 'list', 'restore', 'resume']) {
    assert.ok(
      commands.some((command) => command.startsWith(`pgrecall ${word} `)),
      word,
    );
  }
  assert.ok(report.seconds < 60, `${report.seconds} s`);
}

test('interrupted, even twice, the demo stops its servers and removes its directory', async () => {
  using place = new Place();
  const { exitStatus, stderr } = await place.demo([], (running, stdout) => {
    if (!stdout.includes('Continuous archiving') || running.killed) return;
    running.kill('SIGINT');
    setTimeout(() => running.kill('SIGINT'), 20);
  });
  assert.equal(exitStatus, 1);
  assert.match(stderr, /error\[cancelled\]/);
  assert.deepEqual(place.processes(), []);
  assert.deepEqual(readdirSync(place.directory), []);
});

test('where a step fails the demo says which, with what the command said, and keeps its directory without a server', async () => {
  using place = new Place();
  const { exitStatus, stdout, stderr } = await place.demo([], () => {
    const [directory] = readdirSync(place.directory);
    if (directory !== undefined)
      mkdirSync(join(place.directory, directory, 'restored', 'in-the-way'), { recursive: true });
  });
  assert.equal(exitStatus, 1);
  assert.match(stderr, /error\[demo-failed\]: step 8, Back to the moment before: pgrecall ended with exit status 2/);
  assert.match(stdout, /^ {6}error\[target-not-empty\]/m);
  const [directory = ''] = readdirSync(place.directory);
  assert.ok(stderr.includes(join(place.directory, directory)), 'the directory is named');
  assert.ok(existsSync(join(place.directory, directory, 'data', 'PG_VERSION')));
  assert.deepEqual(place.processes(), []);

  assert.match(stdout, /^ 1\. /m);
  assert.match(stdout, /^ {4}\$ pgrecall restore dvdrental --to restored/m);
  assert.ok(!stdout.includes('\u001B'), 'where stdout is no terminal the text is plain');
  assert.ok(
    stdout.split('\n').every((line) => line === line.trimEnd()),
    'no line ends with blanks',
  );
});

interface Ran {
  readonly exitStatus: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A temporary directory of a test's own, in which the demo makes its own. */
class Place {
  readonly directory = mkdtempSync(join(tmpdir(), 'pgr-demo-'));

  constructor() {
    giveToServer(this.directory);
  }

  async demo(
    arguments_: readonly string[],
    onOutput: (running: ChildProcess, stdout: string) => void = () => undefined,
  ): Promise<Ran> {
    const running = spawn(launcher, ['demo', ...arguments_], {
      env: { ...process.env, TMPDIR: this.directory },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    running.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      onOutput(running, stdout);
    });
    running.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const [exitStatus] = (await once(running, 'close')) as [number | null];
    return { exitStatus, stdout, stderr };
  }

  async report(...arguments_: readonly string[]): Promise<DemoReport> {
    const { exitStatus, stdout, stderr } = await this.demo(['--json', ...arguments_]);
    assert.equal(exitStatus, 0, stderr);
    return JSON.parse(stdout) as DemoReport;
  }

  /** Command lines of the processes that work in it or have a word from it. */
  processes(): string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => `${this.#read(pid, 'cmdline')}\0${this.#read(pid, 'cwd')}`.includes(this.directory))
      .map((pid) => this.#read(pid, 'cmdline').replaceAll('\0', ' '));
  }

  #read(pid: string, what: 'cmdline' | 'cwd'): string {
    try {
      return what === 'cwd' ? readlinkSync(`/proc/${pid}/cwd`) : readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    } catch {
      return '';
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
