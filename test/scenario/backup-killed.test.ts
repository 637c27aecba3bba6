import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite } from '../support/command-site.ts';

/* Commands that are killed, interrupted, or meet each other. What is complete stays; nothing half-made is listed. */

/** Waits until something is so; a test that waits in vain says for what. */
async function eventually(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!isSo()) {
    if (performance.now() > deadline) assert.fail(`waited in vain: ${what}`);
    await sleep(1);
  }
}

async function statusOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode;
}

describe('a cluster that is backed up', () => {
  let server: TestCluster;
  let site: CommandSite;
  before(async () => {
    server = await TestCluster.create({ major: 15, settings: { archive_mode: 'on' } });
    site = new CommandSite();
    const words = ['init', 'main', '--connection', server.uri(), '--repository', site.repository, '--apply'];
    assert.equal(site.run(words).status, 0);
    await using session = await server.session();
    await session.query('CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 400000) i');
    assert.equal(site.run(['backup', 'main']).status, 0);
  });
  after(async () => {
    site[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const lock = (): string => site.object('locks/backup');
  const listed = (): string[] => {
    const { backups } = site.run(['list', 'main', '--json']).json() as { backups: { id: string }[] };
    return backups.map(({ id }) => id);
  };
  const packs = (): string[] => readdirSync(site.object('packs')).filter((name) => /^[0-9a-f]{32}$/.test(name));

  it('is backed up by one command at a time: the second says who is at it, and exits with 5', async () => {
    const before_ = listed();
    const first = site.start(['backup', 'main']);
    await eventually('a backup that holds the lock', () => existsSync(lock()));
    first.kill('SIGSTOP');
    const second = site.run(['backup', 'main', '--json']);
    first.kill('SIGCONT');
    assert.equal(second.status, 5, second.stderr);
    const { error } = second.json() as { error: { code: string; message: string } };
    assert.equal(error.code, 'locked');
    assert.match(error.message, /backup is running as process \d+ since/);
    assert.equal(await statusOf(first), 0);
    assert.equal(listed().length, before_.length + 1);
  });

  it('loses nothing when a backup is killed, whenever that is, and the next one goes through', async () => {
    const complete = listed();
    for (const afterMs of [0, 60, 150, 300]) {
      const child = site.start(['backup', 'main', '--independent']);
      await eventually('a backup that holds the lock', () => existsSync(lock()) || child.exitCode !== null);
      await sleep(afterMs);
      child.kill('SIGKILL');
      await statusOf(child);
      const now = listed();
      assert.deepEqual(now.slice(0, complete.length), complete, `killed after ${afterMs} ms`);
    }
    const known = listed();
    const next = site.run(['backup', 'main']);
    assert.equal(next.status, 0, next.stderr);
    assert.equal(listed().length, known.length + 1);
    assert.ok(!existsSync(lock()));
    const verified = site.run(['verify', 'main']);
    assert.equal(verified.status, 0, `${verified.stdout}${verified.stderr}`);
  });

  it('keeps no packs of a backup that is interrupted', async () => {
    const [before_, complete] = [packs(), listed()];
    const child = site.start(['backup', 'main', '--independent', '--json']);
    await eventually(
      'a backup that writes',
      () => packs().length > before_.length || readdirSync(site.object('packs')).some((name) => name.includes('~')),
    );
    child.kill('SIGTERM');
    const status = await statusOf(child);
    // It may have been done in the same moment.
    if (status === 0) return;
    assert.equal(status, 1);
    assert.deepEqual(packs().toSorted(), before_.toSorted());
    assert.deepEqual(listed(), complete);
    assert.ok(!existsSync(lock()));
  });

  it('is not half there where a restore is killed: PostgreSQL refuses what was written', async () => {
    let killed = 0;
    for (const afterMs of [0, 20, 60, 120, 250]) {
      const directory = join(site.directory, `restored-${afterMs}`);
      const child = site.start(['restore', 'main', '--to', directory]);
      await eventually(
        'a restore that writes',
        () => existsSync(join(directory, 'PG_VERSION')) || child.exitCode !== null,
      );
      await sleep(afterMs);
      child.kill('SIGKILL');
      await statusOf(child);
      if (child.exitCode === 0) continue;
      killed += 1;
      const again = site.run(['restore', 'main', '--to', directory, '--json']);
      assert.equal(again.status, 2);
      const { error } = again.json() as { error: { code: string; message: string } };
      assert.equal(error.code, 'target-not-empty');
      const isWhole = existsSync(join(directory, 'global', 'pg_control'));
      assert.match(error.message, isWhole ? /holds a PostgreSQL cluster/ : /holds a restore that was not finished/);
      if (isWhole) assert.ok(existsSync(join(directory, 'recovery.signal')), 'pg_control comes last');
    }
    assert.ok(killed > 0, 'every restore was done before it could be killed');
  });
});
