import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestCluster } from '../../test/support/cluster.ts';
import { readPostmasterPid } from './postmaster-pid.ts';
import { isServerRunning } from './running.ts';

const directory = mkdtempSync(join(tmpdir(), 'pgr-running-'));
after(() => rmSync(directory, { recursive: true }));

function leaveBehind(pid: number): void {
  writeFileSync(join(directory, 'postmaster.pid'), `${pid}\n${directory}\n1790000000\n5432\n\n\n   1    2\nready   \n`);
}

describe('whether a server runs', () => {
  for (const major of [15, 18] as const) {
    it(`follows a server of ${major} through stop, start and crash`, async () => {
      await using cluster = await TestCluster.create({ major });
      assert.ok(isServerRunning(cluster.dataDirectory));
      await cluster.stop();
      assert.ok(!isServerRunning(cluster.dataDirectory));
      await cluster.start();
      const { pid } = readPostmasterPid(cluster.dataDirectory) ?? assert.fail('no postmaster.pid');
      process.kill(pid, 'SIGKILL');
      while (isServerRunning(cluster.dataDirectory)) await sleep(5);
      assert.equal(readPostmasterPid(cluster.dataDirectory)?.pid, pid, 'the crash left its file behind');
    });
  }

  it('is not misled by a process that has got the number of one that crashed', () => {
    leaveBehind(process.pid);
    assert.ok(!isServerRunning(directory));
  });

  it('counts a single-user backend', async () => {
    const other = spawn('sleep', ['60'], { cwd: directory });
    leaveBehind(-(other.pid ?? 0));
    assert.ok(isServerRunning(directory));
    other.kill();
    await new Promise((resolve) => other.on('exit', resolve));
    assert.ok(!isServerRunning(directory));
  });
});
