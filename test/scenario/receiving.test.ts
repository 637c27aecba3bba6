import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readWalCatalogue } from '../../src/archive/wal-catalogue.ts';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { formatLsn, parseLsn, type Lsn } from '../../src/postgres/lsn.ts';
import { formatSegmentName, segmentOf } from '../../src/postgres/segment-name.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import { indexSegment } from '../../src/wal/index-segment.ts';
import { TestCluster, majors } from '../support/cluster.ts';
import { CommandSite } from '../support/command-site.ts';
import { eventually } from '../support/eventually.ts';
import { ReceivingSite } from '../support/receiving-site.ts';

const settings = { wal_keep_size: '64MB', max_wal_senders: '5', wal_level: 'replica', synchronous_commit: 'on' };

async function write(session: SqlSession, rows: number): Promise<void> {
  await session.query('CREATE TABLE IF NOT EXISTS filled (number int, text text)');
  await session.query(`INSERT INTO filled SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, ${rows}) i`);
}

async function position(session: SqlSession): Promise<Lsn> {
  const rows = await session.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
  return parseLsn(rows[0]?.lsn ?? '');
}

/** Until the server knows that the receiver has everything before `lsn` on disk. */
async function flushed(session: SqlSession, lsn: Lsn): Promise<void> {
  await eventually(`the receiver flushes ${formatLsn(lsn)}`, async () => {
    const rows = await session.query<{ ok: boolean }>(
      "SELECT flush_lsn >= $1::pg_lsn AS ok FROM pg_stat_replication WHERE application_name = 'pgrecall_main'",
      [formatLsn(lsn)],
    );
    return rows[0]?.ok ?? false;
  });
}

for (const major of majors) {
  describe(`receiving WAL from PostgreSQL ${major}`, () => {
    it('makes its slot and stores what the server writes, byte for byte', async () => {
      await using cluster = await TestCluster.create({ major, walSegmentMiB: 1, settings });
      await using site = await ReceivingSite.make(cluster);
      await using session = await cluster.session();
      const receiver = site.receive();
      await receiver.says(/made the replication slot "pgrecall_main"/);
      await write(session, 8000);
      const end = await position(session);
      await flushed(session, end);
      assert.equal(await receiver.stop(), 0, receiver.stderr);
      const result = JSON.parse(receiver.stdout) as { slot: string; flushedLsn: string; segmentsStored: number };
      assert.equal(result.slot, 'pgrecall_main');
      assert.ok(parseLsn(result.flushedLsn) >= end, `${result.flushedLsn} is before ${formatLsn(end)}`);
      const compared = await site.compareWithServer(cluster.dataDirectory);
      assert.ok(compared >= 2 && compared <= result.segmentsStored, `${compared} segments compared`);
      const [slot] = await session.query<{ active: boolean; slot_type: string }>(
        "SELECT active, slot_type FROM pg_replication_slots WHERE slot_name = 'pgrecall_main'",
      );
      assert.deepEqual({ ...slot }, { active: false, slot_type: 'physical' });
    });

    it('follows a standby through its promotion, to the new timeline', async () => {
      await using primary = await TestCluster.create({ major, walSegmentMiB: 1, settings });
      await using site = await ReceivingSite.make(primary);
      await using before = await primary.session();
      await write(before, 3000);
      await using standby = await TestCluster.standbyOf(primary);
      site.configure(standby);
      const receiver = site.receive();
      // A slot on a standby keeps WAL from its last restart point on.
      await receiver.says(/receiving from .* on timeline 1/);
      await write(before, 3000);
      await primary.stop();
      await using session = await standby.session();
      await session.query('SELECT pg_promote()');
      await receiver.says(/timeline 1 ended at .*; WAL goes on with timeline 2/);
      await write(session, 3000);
      await flushed(session, await position(session));
      assert.equal(await receiver.stop(), 0, receiver.stderr);
      const names = [...site.storedNames()];
      for (const start of ['00000001', '00000002']) {
        assert.ok(
          names.some((name) => name.startsWith(start)),
          `${start} in ${names.join(' ')}`,
        );
      }
      const history = await site.store.getHistory('00000002.history');
      assert.ok(history?.length, 'the history of timeline 2 is in the repository');
      assert.ok((await site.compareWithServer(standby.dataDirectory)) >= 2);
    });
  });
}

for (const major of [15, 18] as const) {
  describe(`the WAL received from PostgreSQL ${major}`, () => {
    it('loses nothing that was committed when the server and its disk are destroyed', async () => {
      await using cluster = await TestCluster.create({ major, walSegmentMiB: 1, settings });
      await using site = await ReceivingSite.make(cluster);
      await using session = await cluster.session();
      const receiver = site.receive();
      await receiver.says(/receiving from/);
      await session.query("ALTER SYSTEM SET synchronous_standby_names = 'pgrecall_main'");
      await session.query('SELECT pg_reload_conf()');
      await eventually('the receiver is a synchronous standby', async () => {
        const rows = await session.query<{ state: string }>('SELECT sync_state AS state FROM pg_stat_replication');
        return rows[0]?.state === 'sync';
      });
      await session.query('CREATE TABLE precious (n int)');
      const xids: number[] = [];
      for (let n = 0; n < 20; n += 1) {
        const rows = await session.query<{ xid: string }>(
          'INSERT INTO precious VALUES ($1) RETURNING pg_current_xact_id()::text AS xid',
          [n],
        );
        xids.push(Number(rows[0]?.xid));
      }
      // The moment the last commit returned: the receiver dies with the server.
      await Promise.all([receiver.stop('SIGKILL'), cluster.stop('immediate')]);
      rmSync(cluster.dataDirectory, { recursive: true, force: true });
      const late = site.receive();
      assert.equal(await late.status(), 1, 'there is no server any more');
      assert.match(late.stdout, /"code": "connection"/);
      const found = await committedIn(site);
      for (const xid of xids) assert.ok(found.has(xid), `transaction ${xid} was committed and is lost`);
    });

    it('goes on where it was killed, and stores each segment once', async () => {
      await using cluster = await TestCluster.create({ major, walSegmentMiB: 1, settings });
      await using site = await ReceivingSite.make(cluster);
      await using session = await cluster.session();
      const killed = site.receive();
      await killed.says(/receiving from/);
      await write(session, 8000);
      await killed.says(/stored 0/);
      await killed.stop('SIGKILL');
      await write(session, 8000);
      const late = site.receive();
      await late.says(/receiving from/);
      await flushed(session, await position(session));
      assert.equal(await late.stop(), 0, late.stderr);
      const again = killed.stored().filter((name) => late.stored().includes(name));
      assert.deepEqual(again, []);
      assert.ok((await site.compareWithServer(cluster.dataDirectory)) >= 4);
    });
  });
}

describe('a receiver that is refused', () => {
  it('does not take the WAL of another cluster under the same name', async () => {
    await using cluster = await TestCluster.create({ major: 15, walSegmentMiB: 1 });
    await using other = await TestCluster.create({ major: 15, walSegmentMiB: 1 });
    await using site = await ReceivingSite.make(cluster);
    site.configure(other);
    const receiver = site.receive();
    assert.equal(await receiver.status(), 1);
    assert.match(receiver.stdout, /"code": "wal-other-cluster"/);
    assert.equal(site.storedNames().size, 0);
  });

  it('does not run beside another of the same cluster', async () => {
    await using cluster = await TestCluster.create({ major: 15, walSegmentMiB: 1 });
    await using site = await ReceivingSite.make(cluster);
    const first = site.receive();
    await first.says(/receiving from/);
    const second = site.receive();
    assert.equal(await second.status(), 5, second.stderr);
    assert.match(second.stdout, /"code": "locked"/);
    assert.equal(await first.stop(), 0, first.stderr);
  });
});

describe('a segment that is begun', () => {
  it('is in the repository when the receiver ends, is gone on with, and gives way to the whole one', async () => {
    await using cluster = await TestCluster.create({ major: 17, walSegmentMiB: 1, settings });
    await using site = await ReceivingSite.make(cluster);
    await using session = await cluster.session();
    await session.query('SELECT pg_switch_wal()');
    const first = site.receive();
    await first.says(/receiving from/);
    await write(session, 10);
    const end = await position(session);
    await flushed(session, end);
    assert.equal(await first.stop(), 0, first.stderr);
    const name = formatSegmentName({ timeline: timeline(1), number: segmentOf(end, 1_048_576) }, 1_048_576);
    assert.equal(await site.store.getSegment(name), undefined);
    assert.ok(await site.store.getPartial(name));
    const { ranges } = await readWalCatalogue(site.store);
    assert.ok((ranges.at(-1)?.endLsn ?? 0n) >= end, 'what was acknowledged can be replayed');

    const second = site.receive();
    await second.says(/receiving from .*\((the segment begun here|where the archive ends)\)/);
    await write(session, 4000);
    await flushed(session, await position(session));
    assert.equal(await second.stop(), 0, second.stderr);
    assert.ok(second.stored().includes(name));
    assert.ok((await site.compareWithServer(cluster.dataDirectory)) >= 1);
    assert.ok(!site.objects().some((key) => key.includes(`${name}.partial`)), 'the beginning is gone');
  });

  it('stores its beginning now and then, while the receiver goes on', async () => {
    await using cluster = await TestCluster.create({ major: 15, walSegmentMiB: 1, settings });
    await using site = await ReceivingSite.make(cluster);
    await using session = await cluster.session();
    const receiver = site.receive('--partial-interval', '0.1');
    await receiver.says(/receiving from/);
    for (const round of [1, 2]) {
      await write(session, 10 * round);
      const end = await position(session);
      await eventually('its end is in the repository', async () => {
        const { ranges } = await readWalCatalogue(site.store);
        return (ranges.at(-1)?.endLsn ?? 0n) >= end;
      });
    }
    assert.equal(await receiver.stop(), 0, receiver.stderr);
  });
});

describe('a receiver whose server', () => {
  it('restarts or crashes waits for it, and goes on', async () => {
    await using cluster = await TestCluster.create({ major: 16, walSegmentMiB: 1, settings });
    await using site = await ReceivingSite.make(cluster);
    const receiver = site.receive();
    await receiver.says(/receiving from/);
    for (const mode of ['fast', 'immediate'] as const) {
      {
        await using session = await cluster.session();
        await write(session, 3000);
      }
      await cluster.restart(mode);
      await using session = await cluster.session();
      await write(session, 3000);
      await flushed(session, await position(session));
    }
    await receiver.says(/connection: .*; trying again in 0.5 s/);
    assert.equal(await receiver.stop(), 0, receiver.stderr);
    assert.ok((await site.compareWithServer(cluster.dataDirectory)) >= 4);
    const { ranges } = await readWalCatalogue(site.store);
    assert.equal(ranges.length, 1, 'without a gap');
  });

  it('has removed WAL that the archive lacks stops at the gap, and goes on behind it only when told to', async () => {
    await using cluster = await TestCluster.create({
      major: 16,
      walSegmentMiB: 1,
      settings: { ...settings, wal_keep_size: '0', max_wal_size: '2MB', min_wal_size: '2MB' },
    });
    await using site = await ReceivingSite.make(cluster);
    await using session = await cluster.session();
    const first = site.receive();
    await first.says(/receiving from/);
    await write(session, 4000);
    await flushed(session, await position(session));
    assert.equal(await first.stop(), 0, first.stderr);
    const before = await readWalCatalogue(site.store);
    const next = formatSegmentName(
      { timeline: timeline(1), number: segmentOf(before.ranges[0]?.wholeEndLsn ?? (0n as Lsn), 1_048_576) },
      1_048_576,
    );
    await session.query("SELECT pg_drop_replication_slot('pgrecall_main')");
    await eventually('the server removes what the archive lacks', async () => {
      await write(session, 4000);
      await session.query('CHECKPOINT');
      return !existsSync(join(cluster.dataDirectory, 'pg_wal', next));
    });

    const refused = site.receive();
    assert.equal(await refused.status(), 3, refused.stderr);
    assert.match(refused.stdout, /"code": "wal-gap"/);
    assert.match(refused.stdout, /--accept-gap/);
    const told = site.receive('--accept-gap');
    await told.says(/a gap, as --accept-gap allows/);
    await write(session, 4000);
    await flushed(session, await position(session));
    assert.equal(await told.stop(), 0, told.stderr);
    const { ranges } = await readWalCatalogue(site.store);
    assert.equal(ranges.length, 2);
    assert.equal(ranges[0]?.startLsn, before.ranges[0]?.startLsn, 'what was there stays');
    assert.ok((ranges[1]?.startLsn ?? 0n) > (ranges[0]?.endLsn ?? 0n));
  });

  it('has given the slot to someone else waits until it is free', async () => {
    await using cluster = await TestCluster.create({ major: 18, walSegmentMiB: 1, settings });
    await using one = await ReceivingSite.make(cluster);
    await using other = await ReceivingSite.make(cluster);
    const first = one.receive();
    await first.says(/receiving from/);
    const second = other.receive();
    await second.says(/slot: the replication slot "pgrecall_main" is in use; trying again in 0.5 s/);
    assert.equal(await first.stop(), 0, first.stderr);
    await using session = await cluster.session();
    await write(session, 100);
    await flushed(session, await position(session));
    assert.equal(await second.stop(), 0, second.stderr);
  });
});

describe('WAL that was only received', () => {
  it('brings back the last commit of a server that is gone, out of the beginning of a segment', async () => {
    await using cluster = await TestCluster.create({ major: 15, walSegmentMiB: 1, settings });
    using site = new CommandSite();
    const made = site.run(['init', 'main', '--connection', cluster.uri(), '--repository', site.repository]);
    assert.equal(made.status, 0, made.stderr);
    const receiver = site.start(['wal', 'receive', 'main']);
    const ended = new Promise<number | null>((resolve) => {
      receiver.on('close', resolve);
    });
    await using session = await cluster.session();
    await write(session, 3000);
    const backup = site.run(['backup', 'main']);
    assert.equal(backup.status, 0, backup.stderr);
    await write(session, 3000);
    await session.query("CREATE TABLE last_words AS SELECT 'still here'::text AS said");
    await flushed(session, await position(session));
    receiver.kill('SIGTERM');
    assert.equal(await ended, 0);
    await cluster.stop('immediate');
    rmSync(cluster.dataDirectory, { recursive: true, force: true });

    const target = join(cluster.socketDirectory, 'restored');
    const restored = site.run(['restore', 'main', '--to', target]);
    assert.equal(restored.status, 0, restored.stderr);
    await using copy = await TestCluster.over(target, 15);
    await using again = await copy.session();
    await eventually('recovery ends', async () => {
      const [row] = await again.query<{ recovering: boolean }>('SELECT pg_is_in_recovery() AS recovering');
      return row?.recovering === false;
    });
    const [row] = await again.query<{ said: string }>('SELECT said FROM last_words');
    assert.equal(row?.said, 'still here');
  });
});

/** The transactions whose commits are in the repository, in whole segments and in beginnings of segments. */
async function committedIn(site: ReceivingSite): Promise<Set<number>> {
  const found = new Set<number>();
  const note = (bytes: Uint8Array | undefined, partial: boolean): void => {
    if (!bytes) return;
    for (const { xid, kind } of indexSegment(bytes, { partial }).commits) if (kind === 'commit') found.add(xid);
  };
  for (const name of site.storedNames()) {
    note(await site.store.getSegment(name), false);
    note(await site.store.getPartial(name), true);
  }
  return found;
}
