import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Bell, bellScript } from './bell.ts';

const root = mkdtempSync(join(tmpdir(), 'pgrecall-bell-'));
after(() => rmSync(root, { recursive: true, force: true }));

const newPath = (): string => join(mkdtempSync(join(root, 'b')), 'bell');

/** Runs a script that waits once for the bell; `alive`: whether it takes the process to run. */
async function wait(path: string, alive = true): Promise<{ readonly said: string; readonly errors: string }> {
  const script = [
    `working() { ${alive ? 'true' : 'false'}; }`,
    'bell=$1',
    bellScript('rung', '"$bell"', 'working'),
    'told=nothing',
    'rung',
    'printf "%s [%s]" "$?" "$told"',
    'ls -l "/proc/$$/fd" | grep -c "$1"',
    'echo heard >&2',
  ].join('\n');
  const { stdout, stderr } = await promisify(execFile)('/bin/sh', ['-c', script, 'sh', path]);
  return { said: stdout.trim(), errors: stderr };
}

async function hung(path = newPath()): Promise<{ readonly path: string; readonly bell: Bell }> {
  const bell = new Bell(path);
  await bell.hang();
  return { path, bell };
}

describe('the bell', () => {
  it('wakes who waits, and leaves nothing open', async () => {
    const { path, bell } = await hung();
    const waiting = wait(path);
    await sleep(100);
    bell.ring();
    assert.deepEqual(await waiting, { said: '0 []0', errors: 'heard\n' });
    bell.close();
  });

  it('is heard by who comes later', async () => {
    const { path, bell } = await hung();
    bell.ring();
    bell.tick();
    assert.equal((await wait(path)).said, '0 [tick]0', 'a tick takes the place of what nobody waited for');
    bell.ring();
    bell.ring();
    assert.equal((await wait(path)).said, '0 []0');
    assert.equal((await wait(path)).said, '0 []0');
    bell.close();
  });

  it('lets go of who waits when the process at it is gone', async () => {
    const { path, bell } = await hung();
    const waiting = wait(path);
    await sleep(100);
    bell.close();
    assert.equal((await waiting).said, '1 []0');
    assert.ok(!existsSync(path));
  });

  it('keeps nobody waiting where nobody is at it', async () => {
    const path = newPath();
    assert.equal((await wait(path)).said, '1 [nothing]0', 'no bell');
    execFileSync('mkfifo', [path]);
    assert.equal((await wait(path)).said, '1 []0', 'a bell that a dead process left');
    assert.equal((await wait(path, false)).said, '1 [nothing]0');
    rmSync(path);
    writeFileSync(path, 'a file\n');
    assert.equal((await wait(path)).said, '1 [nothing]0', 'no pipe');
  });

  it('does not gather what nobody listens to', async () => {
    const { path, bell } = await hung();
    for (let i = 0; i < 200_000; i += 1) bell.ring();
    for (let i = 0; i < 3; i += 1) bell.tick();
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const lines = Buffer.alloc(100_000);
    assert.equal(lines.subarray(0, readSync(descriptor, lines)).toString(), 'tick\n');
    closeSync(descriptor);
    bell.close();
  });

  it('takes the place of an earlier one, whose listeners hear its end', async () => {
    const { path } = await hung();
    const { bell } = await hung(path);
    bell.ring();
    assert.equal((await wait(path)).said, '0 []0');
    bell.close();
  });

  it('is silent where it cannot hang, and when it is gone', async () => {
    const bell = new Bell(join(root, 'no', 'such', 'directory', 'bell'));
    await bell.hang();
    bell.ring();
    bell.tick();
    bell.close();
    const { path, bell: gone } = await hung();
    gone.close();
    gone.ring();
    gone.tick();
    assert.ok(!existsSync(path));
  });
});
