import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { DemoReport } from '../../src/demo/demo.ts';
import { PlayPlace } from '../support/play-place.ts';

test('on PostgreSQL 15 the demo brings every name back, and leaves nothing behind', async () => {
  using place = new PlayPlace();
  const report = await place.report<DemoReport>('demo', '--postgres', '15');
  assertProof(report, 15);
  assert.equal(report.kept, false);
  assert.equal(existsSync(report.directory), false);
  assert.deepEqual(readdirSync(place.directory), []);
  assert.deepEqual(place.processes(), []);
});

test('on PostgreSQL 18 too, and told to keep everything it stops its servers all the same', async () => {
  using place = new PlayPlace();
  const report = await place.report<DemoReport>('demo', '--postgres', '18', '--keep');
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
  using place = new PlayPlace();
  const { exitStatus, stderr } = await place.play(['demo'], (running, stdout) => {
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
  using place = new PlayPlace();
  const { exitStatus, stdout, stderr } = await place.play(['demo'], () => {
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
