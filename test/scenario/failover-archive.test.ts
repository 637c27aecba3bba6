import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readPostmasterPid } from '../../src/server/postmaster-pid.ts';
import { ArchivingSite, archivingCluster } from '../support/archiving-site.ts';
import { TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';

const launcher = fileURLToPath(new URL('../../bin/pgrecall', import.meta.url));

async function insert(cluster: TestCluster, rows: number, text: string): Promise<void> {
  await using session = await cluster.session();
  await session.query('CREATE TABLE IF NOT EXISTS precious (n serial, text text)');
  for (let i = 0; i < rows; i += 1) await session.query('INSERT INTO precious (text) VALUES ($1)', [text]);
}

/** How many rows there are of each text. */
async function rowsOf(cluster: TestCluster): Promise<Record<string, number>> {
  await using session = await cluster.session();
  const rows = await session.query<{ text: string; n: number }>(
    'SELECT text, count(*)::int AS n FROM precious GROUP BY text',
  );
  return Object.fromEntries(rows.map(({ text, n }) => [text, n]));
}

async function moment(cluster: TestCluster): Promise<string> {
  await using session = await cluster.session();
  const [row] = await session.query<{ now: string }>('SELECT pg_sleep(0.05), clock_timestamp()::text AS now');
  await session.query('SELECT pg_sleep(0.05)');
  return row?.now ?? '';
}

async function switched(cluster: TestCluster): Promise<void> {
  await using session = await cluster.session();
  await session.query('SELECT pg_switch_wal()');
}

/** The postmaster dies as by the kernel’s hand; its children notice. */
async function kill(cluster: TestCluster): Promise<void> {
  process.kill(readPostmasterPid(cluster.dataDirectory)?.pid ?? 0, 'SIGKILL');
  await eventually('the server is gone', async () => {
    try {
      await using session = await cluster.session();
      await session.query('SELECT 1');
      return false;
    } catch {
      return true;
    }
  });
}

let restores = 0;

/** What is recovered, in a directory of its own: a prefetcher may still be about in the last one. */
async function recovered(site: ArchivingSite, words: readonly string[]): Promise<Record<string, number>> {
  restores += 1;
  const to = join(site.directory, `restored-${restores}`);
  const run = site.run(['restore', 'main', '--to', to, ...words]);
  assert.equal(run.status, 0, run.stderr + run.stdout);
  await using cluster = await TestCluster.over(to, 15);
  await using session = await cluster.session();
  await eventually('recovery has ended', async () => {
    const [row] = await session.query<{ r: boolean }>('SELECT pg_is_in_recovery() AS r');
    return row?.r === false;
  });
  return await rowsOf(cluster);
}

describe('the archive across a failover', () => {
  it('keeps both timelines, whoever brings them, and leads to every moment of both', async () => {
    await using old = await archivingCluster(15);
    await using site = await ArchivingSite.of(old);
    const walGet = `${launcher} wal get %f %p --cluster main --config ${site.configFile}`;
    await using standby = await TestCluster.standbyOf(old, {
      hot_standby: 'on',
      archive_mode: 'always',
      restore_command: walGet,
      wal_retrieve_retry_interval: '200ms',
    });
    // As a receiver that is to survive a failover is configured.
    const config = readFileSync(site.configFile, 'utf8');
    const hosts = `host=${old.socketDirectory},${standby.socketDirectory} user=postgres dbname=postgres target_session_attrs=primary`;
    writeFileSync(site.configFile, config.replace(/^connection = .*$/m, `connection = "${hosts}"`));
    const receiver = site.start(['wal', 'receive', 'main', '--partial-interval', '0.2']);
    let said = '';
    receiver.stderr?.on('data', (text: Buffer) => (said += text.toString()));
    const says = async (pattern: RegExp): Promise<void> =>
      eventually(
        () => `the receiver says ${pattern}; it said: ${said}`,
        () => pattern.test(said),
      );
    await says(/receiving from .* on timeline 1/);
    assert.equal(site.run(['backup', 'main']).status, 0);
    await insert(old, 5, 'before');
    const before = await moment(old);
    await insert(old, 2, 'late');
    await says(/stored the beginning of/);

    await kill(old);
    const run = site.run(['standby', 'promote', 'main', '--directory', standby.dataDirectory, '--apply', '--json']);
    assert.equal(run.status, 0, run.stderr + run.stdout);
    const promoted = run.json() as { timeline: number; firstSegmentArchived: string | null; configuration: unknown };
    assert.equal(promoted.timeline, 2);
    assert.ok(promoted.firstSegmentArchived, run.stdout);
    await says(/on timeline 2|goes on with timeline 2/);
    await insert(standby, 3, 'after');
    await switched(standby);
    const after = await moment(standby);
    await insert(standby, 1, 'last');

    // The old one comes back, though nobody should have started it, takes writes, and archives them.
    await old.start();
    await insert(old, 4, 'astray');
    await site.archiveAll(old);
    await old.stop();
    await site.archiveAll(standby);
    assert.equal(receiver.exitCode, null, said);
    receiver.kill('SIGTERM');
    await site.endProcesses();

    const verified = site.run(['verify', 'main']);
    assert.equal(verified.status, 0, verified.stdout + verified.stderr);
    const promote = ['--target-action', 'promote'];
    assert.deepEqual(await recovered(site, ['--target-time', before, ...promote]), { before: 5 });
    assert.deepEqual(await recovered(site, ['--target-time', after, ...promote]), { before: 5, late: 2, after: 3 });
    assert.deepEqual(await recovered(site, []), { before: 5, late: 2, after: 3, last: 1 });
    assert.deepEqual(await recovered(site, ['--target-timeline', '1']), { before: 5, late: 2, astray: 4 });
  });
});
