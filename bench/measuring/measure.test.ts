import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { measure, type Measurement, type Step } from './measure.ts';

const directory = mkdtempSync(join(tmpdir(), 'pgrecall-measure-'));
after(() => rmSync(directory, { recursive: true }));

async function run(...steps: readonly Step[]): Promise<Measurement> {
  return measure({
    steps,
    env: process.env,
    workDirectory: directory,
    cwd: directory,
    logFile: join(directory, 'log'),
  });
}

/** Uses so much CPU time. */
const burn = (seconds: number): string => `perl -e '1 while (times)[0] < ${seconds}'`;

describe('a measurement', () => {
  it('counts a process that has detached itself, and does not make the command wait for it', async () => {
    const { wallSeconds, endSeconds, userSeconds } = await run({ command: `setsid ${burn(0.1)} >/dev/null 2>&1 &` });
    assert.ok(userSeconds >= 0.09, `${userSeconds} s`);
    assert.ok(wallSeconds < endSeconds, `${wallSeconds} s of ${endSeconds} s`);
  });

  it('asks a process to end that waits for more work', async () => {
    const { endSeconds } = await run({ command: 'sleep 60 >/dev/null 2>&1 &' });
    assert.ok(endSeconds < 30);
  });

  it('takes memory of the largest process', async () => {
    const { peakBytes } = await run({ command: `perl -e '$x = "x" x 100_000_000; sleep 1'` });
    assert.ok(peakBytes > 100_000_000);
  });

  it('runs steps in turn and renames in between, as a server does', async () => {
    const [ready, done] = ['a.ready', 'a.done'];
    await run({ command: `touch ${ready}`, rename: { from: ready, to: done } }, { command: `mv ${done} seen` });
    assert.ok(existsSync(join(directory, 'seen')));
  });

  it('ends with the step that fails, and says what that printed', async () => {
    const steps = [{ command: 'echo the disk is full >&2; exit 3' }, { command: 'touch never' }];
    await assert.rejects(run(...steps), /exit status 3 of: echo[^]*the disk is full/);
    assert.ok(!existsSync(join(directory, 'never')));
    assert.match(readFileSync(join(directory, 'log'), 'utf8'), /the disk is full/);
  });
});
