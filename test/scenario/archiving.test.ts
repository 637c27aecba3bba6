import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readWalCatalogue } from '../../src/archive/wal-catalogue.ts';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { isSegmentName } from '../../src/postgres/segment-name.ts';
import {
  ArchivingSite,
  archivingCluster,
  archivingSettings,
  fill,
  kill,
  readyNames,
} from '../support/archiving-site.ts';
import { TestCluster, majors, type Major } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';

/* WAL on its way from a server into the repository and back, through the scripts that PostgreSQL calls. */

async function failures(session: SqlSession): Promise<number> {
  const [row] = await session.query<{ failed: number }>('SELECT failed_count::int AS failed FROM pg_stat_archiver');
  return row?.failed ?? 0;
}

async function archiverRuns(cluster: TestCluster): Promise<boolean> {
  await using session = await cluster.session();
  const [row] = await session.query<{ runs: boolean }>(
    "SELECT count(*) > 0 AS runs FROM pg_stat_activity WHERE backend_type = 'archiver'",
  );
  return row?.runs === true;
}

async function saying(session: SqlSession, words: string): Promise<void> {
  await session.query('CREATE TABLE IF NOT EXISTS said (words text)');
  await session.query('INSERT INTO said VALUES ($1)', [words]);
}

/** What a restored server has of what was said, once it has recovered. */
async function heard(cluster: TestCluster): Promise<string[]> {
  await using session = await cluster.session();
  await eventually(
    () => `recovery ends:\n${cluster.log().slice(-3000)}`,
    async () => {
      const [row] = await session.query<{ recovering: boolean }>('SELECT pg_is_in_recovery() AS recovering');
      return row?.recovering === false;
    },
  );
  return (await session.query<{ words: string }>('SELECT words FROM said')).map(({ words }) => words);
}

function restore(site: ArchivingSite, cluster: TestCluster, ...words: readonly string[]): string {
  const target = join(cluster.socketDirectory, `restored-${readdirSync(cluster.socketDirectory).length}`);
  const restored = site.run(['restore', 'main', '--to', target, ...words]);
  assert.equal(restored.status, 0, restored.stderr);
  return target;
}

/** What the log of a server says that comes to its end by itself. */
async function logOfEnd(dataDirectory: string, major: Major): Promise<string> {
  try {
    await using cluster = await TestCluster.over(dataDirectory, major);
    await eventually('the server ends', () => !cluster.isRunning());
    return cluster.log();
  } catch (error) {
    assert.ok(error instanceof Error);
    return `${error.message}\n${String(error.cause)}`;
  }
}

for (const major of majors) {
  describe(`WAL of PostgreSQL ${major}`, () => {
    it('is archived byte for byte, ahead of the server, and all of it is replayed', async () => {
      await using cluster = await archivingCluster(major);
      await using site = await ArchivingSite.of(cluster);
      await using session = await cluster.session();
      const backup = site.run(['backup', 'main']);
      assert.equal(backup.status, 0, backup.stderr);
      await fill(session, 20);
      await eventually('an archiver works ahead', () => site.archiverPid() !== undefined);
      await fill(session, 15);
      await saying(session, 'the last words');
      await site.archiveAll(cluster);
      assert.ok((await site.compare(cluster)) >= 35);
      assert.equal(await failures(session), 0, cluster.log());
      assert.deepEqual(
        readdirSync(join(site.repository, 'clusters/main/wal/1/00000001/00000000')).filter((name) => /~/.test(name)),
        [],
      );

      const target = restore(site, cluster);
      // As if the power had been cut while an earlier recovery fetched ahead.
      const stale = join(target, 'pg_wal', 'pgrecall', 'ahead.11111111-2222-3333-4444-555555555555');
      mkdirSync(stale, { recursive: true });
      site.give(stale);
      for (const name of readdirSync(join(cluster.dataDirectory, 'pg_wal')).filter(isSegmentName)) {
        writeFileSync(join(stale, name), 'half written');
      }
      const starting = TestCluster.over(target, major);
      await eventually('segments are fetched ahead', () => site.processes('wal', 'prefetch').length > 0, {
        pauseMs: 2,
      });
      await using copy = await starting;
      assert.deepEqual(await heard(copy), ['the last words']);
      await using again = await copy.session();
      const [rows] = await again.query<{ count: number }>('SELECT count(*)::int AS count FROM filled');
      assert.equal(rows?.count, 35 * 2500);
    });
  });
}

describe('archiving goes on', () => {
  it('when the archiver is killed in the midst of it', async () => {
    await using cluster = await archivingCluster(15);
    await using site = await ArchivingSite.of(cluster);
    await using session = await cluster.session();
    for (let round = 0; round < 3; round += 1) {
      await fill(session, 8);
      await eventually('an archiver works ahead', async () => {
        if (site.archiverPid() !== undefined) return true;
        await fill(session, 2);
        return false;
      });
      kill(site.archiverPid() ?? 0);
    }
    await fill(session, 4);
    await site.archiveAll(cluster);
    assert.ok((await site.compare(cluster)) >= 28);
    const { ranges } = await readWalCatalogue(await site.store());
    assert.equal(ranges.length, 1, 'without a gap');
  });

  it('when wal push is killed', async () => {
    await using cluster = await archivingCluster(17);
    await using site = await ArchivingSite.of(cluster);
    await using session = await cluster.session();
    await saying(session, 'only one file waits, so that it is pushed directly');
    await session.query('SELECT pg_switch_wal()');
    await eventually('the server pushes', () => site.processes('wal', 'push').length > 0, { pauseMs: 2 });
    for (const pid of site.processes('wal', 'push')) kill(pid);
    await eventually('the server notices', () =>
      /terminated by signal 9|failed with exit code 137/.test(cluster.log()),
    );
    // The server takes ten seconds to start another archiver of its own, and notices only when someone connects.
    await eventually('the server archives again', async () => archiverRuns(cluster), { pauseMs: 250 });
    await site.archiveAll(cluster);
    assert.ok((await site.compare(cluster)) >= 2);
    assert.equal((await readWalCatalogue(await site.store())).ranges.length, 1);
  });

  it('when the server restarts or crashes in the midst of it', async () => {
    await using cluster = await archivingCluster(16);
    await using site = await ArchivingSite.of(cluster);
    for (const mode of ['fast', 'immediate'] as const) {
      {
        await using session = await cluster.session();
        await fill(session, 10);
      }
      await cluster.restart(mode);
    }
    await site.archiveAll(cluster);
    assert.ok((await site.compare(cluster)) >= 20);
    assert.equal((await readWalCatalogue(await site.store())).ranges.length, 1);
  });

  it('when the repository’s disk is back, and until then the server keeps everything and its log says why', async () => {
    await using cluster = await archivingCluster(18);
    await using site = await ArchivingSite.of(cluster);
    await using session = await cluster.session();
    await fill(session, 8);
    await eventually('an archiver works ahead', async () => {
      if (site.archiverPid() !== undefined) return true;
      await fill(session, 2);
      return false;
    });
    await site.archiveAll(cluster);
    // An empty directory, as below a disk that is unmounted.
    renameSync(site.repository, `${site.repository}.unmounted`);
    mkdirSync(site.repository, { mode: 0o700 });
    site.give(site.repository);
    await fill(session, 3);
    await eventually('the archiver’s failure is in the server’s log', () =>
      /error\[storage\]: .* is no longer the directory that it was/.test(cluster.log()),
    );
    await site.endProcesses();
    await fill(session, 1);
    await eventually(
      () => `so is that of a direct push:\n${cluster.log()}`,
      () => /repository-missing/.test(cluster.log()),
      {},
    );
    await session.query('CHECKPOINT');
    const kept = readyNames(cluster);
    assert.ok(kept.length >= 3);
    for (const name of kept) assert.ok(existsSync(join(cluster.dataDirectory, 'pg_wal', name)), name);
    assert.deepEqual(readdirSync(site.repository), [], 'nothing was written in its stead');

    rmSync(site.repository, { recursive: true });
    renameSync(`${site.repository}.unmounted`, site.repository);
    await site.archiveAll(cluster);
    await site.compare(cluster);
    const { ranges } = await readWalCatalogue(await site.store());
    assert.equal(ranges.length, 1);
  });
});

describe('a standby that archives always', () => {
  it('archives the same into the same repository, and what its promotion leaves and begins', async () => {
    await using primary = await archivingCluster(15);
    await using site = await ArchivingSite.of(primary);
    await using before = await primary.session();
    const backup = site.run(['backup', 'main']);
    assert.equal(backup.status, 0, backup.stderr);
    await saying(before, 'on the first timeline');

    // As on another machine: with a state directory of its own.
    await using other = new ArchivingSite();
    await using standby = await TestCluster.standbyOf(primary, archivingSettings);
    const words = ['--connection', standby.uri(), '--repository', site.repository];
    const registered = other.run(['init', 'main', ...words]);
    assert.equal(registered.status, 0, registered.stderr);
    {
      // Over what it has copied of the primary's.
      await using session = await standby.session();
      await session.query("ALTER SYSTEM SET archive_mode = 'always'");
      await session.query(`ALTER SYSTEM SET archive_command = '${other.script} "%p" "%f"'`);
    }
    await standby.restart();
    await fill(before, 10);
    await site.archiveAll(primary);
    await other.archived(standby);
    await saying(before, 'before the end');
    const [lsn] = await before.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
    await using session = await standby.session();
    await eventually('the standby has everything', async () => {
      const [row] = await session.query<{ has: boolean }>('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS has', [
        lsn?.lsn,
      ]);
      return row?.has === true;
    });
    await before.close();
    await primary.stop('immediate');

    await session.query('SELECT pg_promote()');
    await saying(session, 'on the second timeline');
    await fill(session, 3);
    await other.archiveAll(standby);
    await site.compare(standby);
    assert.equal(await failures(session), 0, standby.log());
    const store = await site.store();
    const { ranges, histories } = await readWalCatalogue(store);
    assert.deepEqual([...histories.keys()], [2]);
    const switchLsn = [...histories.values()][0]?.parents[0]?.switchLsn;
    assert.deepEqual(
      ranges.map(({ timeline }) => timeline),
      [1, 2],
    );
    assert.ok(ranges[0] && ranges[0].endLsn === switchLsn, 'the last segment of timeline 1 is there as far as it goes');
    assert.ok(ranges[0].wholeEndLsn < switchLsn);

    const listed = other.run(['wal', 'list', 'main', '--json']);
    assert.equal(listed.status, 0);
    const { timelines } = listed.json() as { timelines: { timeline: number; parent: { timeline: number } | null }[] };
    assert.deepEqual(
      timelines.map(({ timeline, parent }) => [timeline, parent?.timeline]),
      [
        [1, undefined],
        [2, 1],
      ],
    );

    await using copy = await TestCluster.over(restore(other, standby), 15);
    assert.deepEqual(await heard(copy), ['on the first timeline', 'before the end', 'on the second timeline']);
    // To the end of the old timeline: out of the beginning of a segment.
    await using old = await TestCluster.over(restore(other, standby, '--target-timeline', '1'), 15);
    assert.deepEqual(await heard(old), ['on the first timeline', 'before the end']);
  });
});

describe('what must not be replayed', () => {
  it('a segment of which other content is archived stays with the server, until someone decides', async () => {
    await using cluster = await archivingCluster(16);
    await using site = await ArchivingSite.of(cluster);
    await using session = await cluster.session();
    await site.archiveAll(cluster);
    const store = await site.store();
    await fill(session, 1);
    const [row] = await session.query<{ name: string }>('SELECT pg_walfile_name(pg_current_wal_lsn()) AS name');
    const name = row?.name ?? '';
    // The beginning of this very segment, as a server would have gone on from it that was taken for the same one.
    const forged = Buffer.from(readFileSync(join(cluster.dataDirectory, 'pg_wal', name)));
    forged.fill(0x5a, 600_000, 700_000);
    await store.putSegment(name, forged);
    for (const entry of readdirSync(site.repository, { recursive: true, encoding: 'utf8' })) {
      site.give(join(site.repository, entry));
    }
    await fill(session, 2);
    await eventually('the server’s log says so', () => /wal-other-content/.test(cluster.log()));
    assert.match(cluster.log(), new RegExp(`"${name}" is archived already with other content`));
    await session.query('CHECKPOINT');
    assert.ok(readyNames(cluster).includes(name));
    assert.ok(existsSync(join(cluster.dataDirectory, 'pg_wal', name)), 'the server keeps it');
    assert.deepEqual(Buffer.compare((await store.getSegment(name)) ?? Buffer.alloc(0), forged), 0);

    await store.cluster.deleteObject((await store.findSegment(name))?.key ?? '');
    await site.archiveAll(cluster);
    await site.compare(cluster);
  });

  it('damaged WAL stops a recovery rather than to end it', async () => {
    await using cluster = await archivingCluster(18);
    await using site = await ArchivingSite.of(cluster);
    await using session = await cluster.session();
    assert.equal(site.run(['backup', 'main']).status, 0);
    await fill(session, 6);
    const [row] = await session.query<{ name: string }>('SELECT pg_walfile_name(pg_current_wal_lsn()) AS name');
    await fill(session, 6);
    await saying(session, 'after the damage');
    await site.archiveAll(cluster);
    const key = (await (await site.store()).findSegment(row?.name ?? ''))?.key ?? '';
    const path = site.object(key);
    const good = readFileSync(path);
    writeFileSync(
      path,
      good.map((byte, i) => (i === good.length >> 1 ? byte ^ 1 : byte)),
    );

    const target = restore(site, cluster);
    assert.match(await logOfEnd(target, 18), /blob-damaged/);
    await site.endProcesses();
    assert.ok(existsSync(join(target, 'recovery.signal')), 'it has not been promoted');

    writeFileSync(path, good);
    await using copy = await TestCluster.over(target, 18);
    assert.deepEqual(await heard(copy), ['after the damage']);
  });
});
