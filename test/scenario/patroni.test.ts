import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SqlSession } from '../../src/connection/sql-session.ts';
import { eventually } from '../support/eventually.ts';
import { Receiver } from '../support/receiving-site.ts';
import { missingForPatroni, PatroniSite, type PatroniMember } from '../support/patroni-site.ts';

/*
 * Three members under a real Patroni and a real etcd, from the first start to a failover and after it. Each step goes on
 * from the one before.
 */

const missing = missingForPatroni();

// What is left out as a whole is not counted.
if (missing !== undefined) it('is not tried under Patroni', { skip: missing });

describe('a cluster that Patroni manages', { skip: missing !== undefined }, () => {
  let site: PatroniSite;
  let first: PatroniMember;
  let old: PatroniMember;
  let leader: PatroniMember;
  let beforeFailover = '';
  let afterFailover = '';

  before(async () => {
    site = await PatroniSite.make(3);
    for (const member of site.members) member.prepare(site.connection());
    [first] = site.members as [PatroniMember];
  });
  after(async () => site[Symbol.asyncDispose]());

  it('archives from its first member, which is backed up', async () => {
    first.start();
    assert.equal(await site.leader(), first);
    const made = first.run(['init', 'main', '--repository', site.repository]);
    assert.equal(made.status, 0, made.stderr);
    await insert(first, 'before the backup');
    // A replica that comes too early, when there is nothing to make it from, is tried again.
    const [, early] = site.members as [PatroniMember, PatroniMember];
    early.start();
    await eventually(
      () => early.log(),
      () =>
        /the repository has no backup of this cluster[^]*using method pgrecall: .* exited with code=4/.test(
          early.log(),
        ),
      { timeoutMs: 30_000 },
    );
    const backup = first.run(['backup', 'main']);
    assert.equal(backup.status, 0, backup.stderr);
  });

  it('makes its replicas from the repository', async () => {
    const [, early, late] = site.members as [PatroniMember, PatroniMember, PatroniMember];
    const others = [early, late];
    late.start();
    for (const member of others) {
      await streams(member);
      assert.match(
        member.log(),
        /is a replica made of \S+-full, on timeline 1\n[^]*replica has been created using pgrecall/,
      );
      assert.ok(existsSync(join(member.dataDirectory, 'backup_manifest')));
      assert.doesNotMatch(readFileSync(join(member.dataDirectory, 'postgresql.auto.conf'), 'utf8'), /^\w/m);
    }
    await replayed(site, 1);
  });

  it('is backed up from the host of its primary, or a replica where that is wanted, and not from two servers', async () => {
    const [, second] = site.members as [PatroniMember, PatroniMember];
    const mixed = second.run(['backup', 'main', '--json']);
    assert.equal(mixed.status, 1, mixed.stderr);
    const { error } = mixed.json() as { error: { code: string; message: string; hint: string } };
    assert.equal(error.code, 'data-directory');
    assert.match(
      error.message,
      /at 127\.0\.0\.1:\d+, the primary: it is that of the standby that runs here on port \d+/,
    );
    const idle = second.run(['backup', 'main', '--role', 'primary', '--json']);
    assert.equal(idle.status, 0, idle.stderr);
    assert.match((idle.json() as { skipped: string }).skipped, /is a standby/);
    const taken = second.run(['backup', 'main', '--role', 'standby', '--type', 'incremental']);
    assert.equal(taken.status, 0, taken.stderr);
  });

  it('fails over, and the archive has what the primary had not brought there', async () => {
    old = await site.leader();
    beforeFailover = await insert(old, 'before the failover');
    await old.stopArchiving();
    for (const n of [1, 2, 3]) await insert(old, `unarchived ${n}`, { switchSegment: true });
    await replayed(site, 5);
    await old.kill();
    leader = await site.leader(old);
    await insert(leader, 'after the failover', { switchSegment: true });
    afterFailover = await insert(leader, 'later');
    // What was left behind comes with the history, beside segments of the new timeline: for a moment there may be a gap.
    let check = leader.run(['check', 'main']);
    await eventually(
      () => `${check.stdout}${check.stderr}`,
      () => {
        if (check.status !== 0) check = leader.run(['check', 'main']);
        return check.status === 0;
      },
      { timeoutMs: 30_000 },
    );
    const list = leader.run(['wal', 'list', 'main', '--json']);
    assert.equal(list.status, 0, list.stdout);
    const { gaps, timelines } = list.json() as { gaps: unknown[]; timelines: { timeline: number }[] };
    assert.deepEqual(gaps, []);
    assert.deepEqual(
      timelines.map(({ timeline }) => timeline),
      [1, 2],
    );
  });

  it('is backed up from the new primary, and from a replica', async () => {
    const backup = leader.run(['backup', 'main', '--role', 'primary', '--type', 'incremental', '--json']);
    assert.equal(backup.status, 0, backup.stderr);
    const { timeline, type } = backup.json() as { timeline: number; type: string };
    assert.deepEqual({ timeline, type }, { timeline: 2, type: 'incremental' });
    const replica = site.members.find((member) => member !== old && member !== leader);
    assert.ok(replica);
    await eventually(
      () => replica.log().slice(-3000),
      () => replica.run(['backup', 'main', '--role', 'standby']).status === 0,
      { timeoutMs: 30_000 },
    );
  });

  it('takes the old primary back as a replica', async () => {
    old.start();
    await streams(old);
    await replayed(site, 7);
  });

  it('gets a replica that is there already written over only where it differs', async () => {
    await old.stop();
    const words = ['patroni', 'replica', 'main', '--scope=main', '--role=replica', `--datadir=${old.dataDirectory}`];
    const follow = `--connstring=user=replicator host=127.0.0.1 port=${leader.port} dbname=postgres`;
    const refused = old.run([...words, follow, '--json']);
    assert.equal(refused.status, 2);
    assert.equal((refused.json() as { error: { code: string } }).error.code, 'target-not-empty');
    const done = old.run([...words, follow, '--keep_data=True', '--no_leader=True']);
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stdout, /is a replica made of .*, on timeline 2\n/);
    old.start();
    await streams(old);
  });

  it('is received from across a switchover, and archives on the next timeline', async () => {
    const receiver = new Receiver(leader.configFile, []);
    try {
      await receiver.says(/receiving from .* on timeline 2/);
      await leader.giveWayTo(old);
      leader = await site.leader(leader);
      assert.equal(leader, old);
      await insert(leader, 'after the switchover');
      await receiver.says(/timeline 3/);
      assert.equal(await receiver.stop(), 0, receiver.stderr);
    } finally {
      await receiver.stop('SIGKILL');
    }
    // What was left behind comes with the history, beside segments of the new timeline: for a moment there may be a gap.
    let check = leader.run(['check', 'main']);
    await eventually(
      () => `${check.stdout}${check.stderr}`,
      () => {
        if (check.status !== 0) check = leader.run(['check', 'main']);
        return check.status === 0;
      },
      { timeoutMs: 30_000 },
    );
  });

  it('is recovered to a moment after the failover', async () => {
    const all = await recoveredTo(site, leader, afterFailover);
    assert.deepEqual(all.slice(-3), ['unarchived 3', 'after the failover', 'later']);
    assert.equal(all.length, 7);
  });

  it('is made anew from the repository, up to a moment before the failover', async () => {
    await Promise.all(site.members.map(async (member) => member.stop()));
    const again = await site.addMember('again');
    again.prepare(`host=127.0.0.1 port=${again.port} user=postgres dbname=postgres`, {
      scope: 'again',
      bootstrap: ['--target-time', `"${beforeFailover}"`],
    });
    again.start();
    await eventually(
      () => again.log().slice(-6000),
      async () => again.takesWrites(),
      { timeoutMs: 40_000 },
    );
    assert.deepEqual(await rows(await again.session()), ['before the backup', 'before the failover']);
    const check = again.run(['check', 'main']);
    assert.equal(check.status, 0, `${check.stdout}${check.stderr}`);
  });
});

/** Writes a row; the time just after its commit. */
async function insert(
  member: PatroniMember,
  text: string,
  options: { readonly switchSegment?: boolean } = {},
): Promise<string> {
  await using session = await member.session();
  await session.query('CREATE TABLE IF NOT EXISTS story (n serial, text text)');
  await session.query('INSERT INTO story (text) VALUES ($1)', [text]);
  const [row] = await session.query<{ now: string }>('SELECT clock_timestamp()::text AS now');
  // A later transaction, which ends the search for the target.
  await session.query('SELECT txid_current()');
  if (options.switchSegment === true) await session.query('SELECT pg_switch_wal()');
  return row?.now ?? '';
}

async function rows(session: SqlSession): Promise<string[]> {
  await using own = session;
  return (await own.query<{ text: string }>('SELECT text FROM story ORDER BY n')).map(({ text }) => text);
}

/** Until it is a replica that gets WAL from the primary. */
async function streams(member: PatroniMember): Promise<void> {
  await eventually(
    () => `${member.name} is a replica\n${member.log().slice(-6000)}`,
    async () => {
      if (!(await member.is('replica'))) return false;
      await using session = await member.session();
      const found = await session.query("SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'");
      return found.length > 0;
    },
    { timeoutMs: 40_000, pauseMs: 200 },
  );
}

/** Until every member that answers shows so many rows. */
async function replayed(site: PatroniSite, count: number): Promise<void> {
  for (const member of site.members) {
    await eventually(
      () => `${member.name} has ${count} rows\n${site.logs()}`,
      async () => (await rows(await member.session())).length === count,
      { timeoutMs: 20_000, pauseMs: 50 },
    );
  }
}

/** What the table has after a recovery to a directory beside the members. */
async function recoveredTo(site: PatroniSite, from: PatroniMember, time: string): Promise<string[]> {
  const directory = join(site.directory, 'restored');
  const port = await site.freePort();
  const words = ['restore', 'main', '--to', directory, '--target-time', time, '--start', '--port', String(port)];
  const done = from.run(words);
  assert.equal(done.status, 0, done.stderr);
  try {
    return await rows(await SqlSession.connect(`postgresql://postgres@127.0.0.1:${port}/postgres`));
  } finally {
    await site.stopServer(directory);
  }
}
