import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { noteStandby } from '../../src/standby/known-standbys.ts';
import { ArchivingSite, archivingCluster } from '../support/archiving-site.ts';
import { caughtUp } from '../support/caught-up.ts';
import { TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';

const standbySettings = { hot_standby: 'on', wal_retrieve_retry_interval: '200ms' };

async function insert(cluster: TestCluster, rows: number): Promise<void> {
  await using session = await cluster.session();
  await session.query('CREATE TABLE IF NOT EXISTS precious (n serial, text text)');
  for (let i = 0; i < rows; i += 1) await session.query("INSERT INTO precious (text) VALUES ('kept')");
}

async function contents(cluster: TestCluster): Promise<string> {
  await using session = await cluster.session();
  const [row] = await session.query<{ all: string }>(
    "SELECT string_agg(n || text, ',' ORDER BY n) AS all FROM precious",
  );
  return row?.all ?? '';
}

async function run(cluster: TestCluster, ...statements: readonly string[]): Promise<void> {
  await using session = await cluster.session();
  for (const statement of statements) await session.query(statement);
}

describe('a change of roles', () => {
  it('stops the primary, loses nothing, happens once though it is ordered twice, and needs no copying on the way back', async () => {
    await using primary = await archivingCluster(15);
    await using site = await ArchivingSite.of(primary);
    await insert(primary, 5);
    await using standby = await TestCluster.standbyOf(primary, standbySettings);
    await using cousin = await TestCluster.standbyOf(primary, standbySettings);
    noteStandby(site.stateDirectory, 'cousin', cousin.dataDirectory);
    for (const path of ['standbys', 'standbys/cousin']) site.give(join(site.stateDirectory, path));
    await caughtUp(primary, standby);
    await caughtUp(primary, cousin);
    const words = ['standby', 'promote', 'main', '--directory', standby.dataDirectory, '--stop-primary', '--json'];
    const first = site.start(words);
    const ended = new Promise<number | null>((resolve) => first.on('close', resolve));
    const second = site.run(words);
    assert.deepEqual(
      [await ended, second.status].toSorted((a, b) => Number(a) - Number(b)),
      [0, 5],
      second.stdout + second.stderr,
    );
    assert.equal(primary.isRunning(), false);
    await insert(standby, 2);
    await caughtUp(standby, cousin);
    assert.equal(await contents(cousin), await contents(standby));

    const rejoin = ['standby', 'rejoin', 'main', '--directory', primary.dataDirectory, '--upstream', standby.uri()];
    // What the last step has to write cannot be written.
    mkdirSync(join(primary.dataDirectory, 'standby.signal'));
    const failed = site.run([...rejoin, '--slot', 'given_back']);
    assert.notEqual(failed.status, 0);
    assert.match(failed.stderr, /the slot "given_back" is removed again/);
    await using session = await standby.session();
    const slots = await session.query('SELECT FROM pg_replication_slots WHERE slot_name = $1', ['given_back']);
    assert.equal(slots.length, 0);
    rmdirSync(join(primary.dataDirectory, 'standby.signal'));
    const back = site.run([...rejoin, '--start', '--timeout', '60', '--json']);
    assert.equal(back.status, 0, back.stdout + back.stderr);
    const { road, lostCommits } = back.json() as { road: string; lostCommits: number };
    assert.deepEqual([road, lostCommits], ['follow', 0], back.stderr);
    await caughtUp(standby, primary);
    assert.equal(await contents(primary), await contents(standby));
  });
});

describe('a promotion that would make two databases of one', () => {
  it('is refused while nobody has said that a silent primary is dead, and when another standby was promoted before', async () => {
    await using primary = await archivingCluster(15);
    await using site = await ArchivingSite.of(primary);
    await using one = await TestCluster.standbyOf(primary, standbySettings);
    await using other = await TestCluster.standbyOf(primary, standbySettings);
    await primary.stop('immediate');
    // As on another host, where the primary's directory is not seen.
    const config = readFileSync(site.configFile, 'utf8');
    writeFileSync(site.configFile, config.replace(/^data_directory.*$/m, ''));
    const promote = (standby: TestCluster, ...more: readonly string[]): { status: number | null; code: string } => {
      const { status, stdout } = site.run([
        ...['standby', 'promote', 'main', '--json', '--directory', standby.dataDirectory],
        ...more,
      ]);
      const { error } = JSON.parse(stdout) as { error?: { code: string } };
      return { status, code: error?.code ?? '' };
    };
    assert.deepEqual(promote(one), { status: 1, code: 'primary-alive' });
    assert.deepEqual(promote(one, '--primary-is-dead'), { status: 0, code: '' });
    assert.deepEqual(promote(other, '--primary-is-dead'), { status: 1, code: 'standby-node' });
    await using session = await other.session();
    const [row] = await session.query<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby');
    assert.equal(row?.standby, true);
  });
});

describe('a promotion that is given up', () => {
  it('says that the primary was stopped, and does not go on when that has come back', async () => {
    await using primary = await archivingCluster(15);
    await using site = await ArchivingSite.of(primary);
    await using standby = await TestCluster.standbyOf(primary, { ...standbySettings, restore_command: 'false' });
    await insert(primary, 1);
    await caughtUp(primary, standby);
    await run(standby, "ALTER SYSTEM SET primary_conninfo = ''", 'SELECT pg_reload_conf()');
    await eventually('it does not stream any more', async () => {
      await using session = await standby.session();
      return (await session.query('SELECT FROM pg_stat_wal_receiver')).length === 0;
    });
    await insert(primary, 3);
    const words = ['standby', 'promote', 'main', '--directory', standby.dataDirectory, '--json'];
    const behind = site.run([...words, '--stop-primary', '--timeout', '2']);
    assert.equal(behind.status, 1, behind.stderr);
    assert.match(behind.stderr, /nothing was promoted, and the primary on ".*" was stopped/);
    assert.equal(primary.isRunning(), false);

    const waiting = site.start([...words, '--timeout', '6', '--max-lag', '1GB']);
    const ended = new Promise<number | null>((resolve) => waiting.on('close', resolve));
    let said = '';
    for (const stream of [waiting.stdout, waiting.stderr])
      stream?.on('data', (text: Buffer) => (said += text.toString()));
    await eventually('it waits', () => said.includes('waiting for the standby'));
    await primary.start();
    assert.equal(await ended, 1, said);
    assert.match(said, /"primary-alive"/);
    await using session = await standby.session();
    const [row] = await session.query<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby');
    assert.equal(row?.standby, true);
  });
});

describe('a change of roles that was interrupted', () => {
  it('goes on when it is ordered again: a promotion behind pg_promote, a rejoin in the middle, a standby without slot and WAL', async () => {
    await using a = await archivingCluster(15);
    await using site = await ArchivingSite.of(a);
    await insert(a, 5);
    assert.equal(site.run(['backup', 'main']).status, 0);
    await using b = await TestCluster.standbyOf(a, standbySettings);
    await caughtUp(a, b);
    await b.stop();
    await insert(a, 3);
    await a.stop('immediate');
    await b.start();
    const promote = ['standby', 'promote', 'main', '--directory', b.dataDirectory, '--apply', '--json'];
    await run(b, 'SELECT pg_promote()');
    assert.equal(site.run(promote).status, 1, 'it is a primary that nobody promoted here');
    writeFileSync(join(site.stateDirectory, 'promotion'), `${b.dataDirectory}\n`);
    const promoted = site.run(promote);
    assert.equal(promoted.status, 0, promoted.stdout + promoted.stderr);
    assert.equal((promoted.json() as { timeline: number }).timeline, 2);
    assert.equal(existsSync(join(site.stateDirectory, 'promotion')), false);
    await insert(b, 2);

    const rejoin = [
      'standby',
      'rejoin',
      'main',
      '--directory',
      a.dataDirectory,
      '--start',
      '--timeout',
      '60',
      '--json',
    ];
    const killed = site.start(rejoin);
    const journals = join(site.stateDirectory, 'rejoin');
    await eventually(
      'it has begun to change the directory',
      () => existsSync(journals) && readdirSync(journals).length > 0,
    );
    killed.kill('SIGKILL');
    let again = site.run(rejoin);
    // pg_rewind may be at work still.
    await eventually('it goes on', () => {
      if (again.status === 5) again = site.run(rejoin);
      return again.status !== 5;
    });
    assert.equal(again.status, 0, again.stdout + again.stderr);
    assert.deepEqual(readdirSync(journals), []);
    await caughtUp(b, a);
    assert.equal(await contents(a), await contents(b));

    await a.stop();
    const slot = (again.json() as { slot: string }).slot;
    await eventually('its slot is free', async () => {
      await using session = await b.session();
      const [row] = await session.query<{ active: boolean }>(
        'SELECT active FROM pg_replication_slots WHERE slot_name = $1',
        [slot],
      );
      return row?.active === false;
    });
    await run(b, `SELECT pg_drop_replication_slot('${slot}')`, 'ALTER SYSTEM SET wal_keep_size = 0');
    await run(b, 'SELECT pg_reload_conf()');
    for (let i = 0; i < 3; i += 1) {
      await insert(b, 1);
      await site.archiveAll(b);
    }
    await run(b, 'CHECKPOINT', 'CHECKPOINT');
    const anew = site.run(rejoin);
    assert.equal(anew.status, 0, anew.stdout + anew.stderr);
    assert.equal((anew.json() as { road: string }).road, 'follow');
    await insert(b, 1);
    await caughtUp(b, a);
    assert.equal(await contents(a), await contents(b));
  });
});
