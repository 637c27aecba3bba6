import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { TestCluster } from '../../test/support/cluster.ts';
import { eventually } from '../../test/support/eventually.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { findDirectoryUse, requireAtRest, type SystemFacts } from './directory-use.ts';
import { readPostmasterPid } from './postmaster-pid.ts';

const directory = mkdtempSync(join(tmpdir(), 'pgr-use-'));
after(() => rmSync(directory, { recursive: true }));

const startedAt = 1_790_000_000;

/** The lock file of a server whose process is not one of this system. */
function leaveBehind(pid = 4_194_305): void {
  writeFileSync(join(directory, 'postmaster.pid'), `${pid}\n${directory}\n${startedAt}\n5432\n\n\n  77  3\nready   \n`);
}

const nothing: SystemFacts = {
  processesIn: () => [],
  sharedMemory: () => [],
  bootedAt: () => startedAt - 3600,
  isShared: () => false,
};

function useOf(system: Partial<SystemFacts> = {}): string {
  return findDirectoryUse(directory, { ...nothing, ...system }).kind;
}

describe('a data directory', () => {
  for (const major of [15, 18] as const) {
    it(`of a server of ${major} is in use while it runs, at rest when it is stopped, and left behind after a crash`, async () => {
      await using cluster = await TestCluster.create({ major });
      const { dataDirectory } = cluster;
      assert.equal(findDirectoryUse(dataDirectory).kind, 'running');
      assert.throws(
        () => requireAtRest(dataDirectory),
        (error) => hasCode(error, 'server-running') && /a server runs on/.test(error.message),
      );
      await cluster.stop();
      await eventually('the directory is at rest', () => findDirectoryUse(dataDirectory).kind === 'at-rest');
      assert.equal(requireAtRest(dataDirectory), undefined);
      await cluster.start();
      const { pid } = readPostmasterPid(dataDirectory) ?? assert.fail('no postmaster.pid');
      process.kill(pid, 'SIGKILL');
      await eventually('its processes are gone', () => findDirectoryUse(dataDirectory).kind !== 'running');
      assert.equal(findDirectoryUse(dataDirectory).kind, 'left-behind');
      assert.equal(requireAtRest(dataDirectory)?.pid, pid);
    });
  }

  it('is in use by what a killed server has left running', async () => {
    // Called as PostgreSQL's processes are.
    const program = join(directory, 'postgres');
    copyFileSync('/bin/sleep', program);
    const other = spawn(program, ['60'], { cwd: directory });
    try {
      await new Promise((resolve) => other.on('spawn', resolve));
      await eventually('it is seen', () => findDirectoryUse(directory).kind === 'running');
    } finally {
      other.kill();
      await new Promise((resolve) => other.on('exit', resolve));
      rmSync(program);
    }
    assert.equal(findDirectoryUse(directory).kind, 'at-rest');
  });

  it('with the lock file of another container’s server, or another host’s, is not taken for one at rest', () => {
    leaveBehind();
    assert.equal(useOf(), 'unknown');
    // A number that another process has here, as the first one of a container does.
    leaveBehind(process.pid);
    assert.equal(useOf(), 'unknown');
    const boot = { bootedAt: () => startedAt + 3600 };
    assert.equal(useOf(boot), 'left-behind');
    assert.equal(useOf({ ...boot, isShared: () => true }), 'unknown');
    assert.equal(useOf({ bootedAt: () => undefined }), 'unknown');
    assert.throws(
      () => requireAtRest(directory, nothing),
      (error) => hasCode(error, 'server-running') && /in another container/.test(error.message),
    );
  });

  it('is told by the shared memory of its server, where that is seen', () => {
    leaveBehind();
    const memory = { key: 77, id: 3, attached: 0, madeAt: startedAt + 1 };
    assert.equal(useOf({ sharedMemory: () => [memory] }), 'left-behind');
    assert.equal(useOf({ sharedMemory: () => [{ ...memory, attached: 6 }] }), 'running');
    // That of an earlier server on the directory, or of another one.
    for (const other of [{ madeAt: startedAt - 100 }, { madeAt: startedAt + 3600 }, { id: 4 }, { key: 78 }]) {
      assert.equal(useOf({ sharedMemory: () => [{ ...memory, ...other }] }), 'unknown');
    }
  });
});
