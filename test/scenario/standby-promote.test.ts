import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ArchivingSite, archivingCluster } from '../support/archiving-site.ts';
import { caughtUp } from '../support/caught-up.ts';
import { TestCluster } from '../support/cluster.ts';

const standbySettings = { hot_standby: 'on', wal_retrieve_retry_interval: '200ms' };

interface Promoted {
  readonly timeline: number;
  readonly lagBytes: number;
  readonly lostCommits: number;
  readonly primary: string;
  readonly storedFromOldPrimary: readonly string[];
  readonly firstSegmentArchived: string | null;
  readonly standbys: readonly { readonly address: string; readonly follows: boolean; readonly why?: string }[];
  readonly configuration: { readonly needed: Record<string, string>; readonly written: boolean };
}

/** The code of the error on stdout. */
function codeOf(stdout: string): string {
  return (JSON.parse(stdout) as { error: { code: string } }).error.code;
}

async function insert(cluster: TestCluster, rows: number): Promise<void> {
  await using session = await cluster.session();
  await session.query('CREATE TABLE IF NOT EXISTS precious (n serial, text text)');
  for (let i = 0; i < rows; i += 1) await session.query("INSERT INTO precious (text) VALUES ('kept')");
}

async function count(cluster: TestCluster): Promise<number> {
  await using session = await cluster.session();
  const [row] = await session.query<{ n: string }>('SELECT count(*)::text AS n FROM precious');
  return Number(row?.n);
}

describe('standby promote', () => {
  it('takes over from a primary that died, with what it had not archived, and leads the others and the configuration there', async () => {
    await using primary = await archivingCluster(15);
    await using site = await ArchivingSite.of(primary);
    await insert(primary, 5);
    await using standby = await TestCluster.standbyOf(primary, standbySettings);
    await using other = await TestCluster.standbyOf(primary, standbySettings);
    await caughtUp(primary, standby);
    await caughtUp(primary, other);

    const alive = site.run([
      'standby',
      'promote',
      'main',
      '--directory',
      standby.dataDirectory,
      '--primary-is-dead',
      '--json',
    ]);
    assert.equal(alive.status, 1, alive.stderr);
    assert.equal(codeOf(alive.stdout), 'primary-alive');
    assert.match(alive.stdout, /it was said to be dead and is not/);
    const wrong = site.run(['standby', 'promote', 'main', '--directory', primary.dataDirectory, '--json']);
    assert.equal(codeOf(wrong.stdout), 'standby-node', wrong.stdout);

    await primary.stop('immediate');
    const planned = site.run(['standby', 'promote', 'main', '--directory', standby.dataDirectory, '--plan', '--json']);
    assert.equal(planned.status, 0, planned.stderr);
    assert.equal((planned.json() as Promoted).primary, 'at-rest');
    const run = site.run([
      ...['standby', 'promote', 'main', '--directory', standby.dataDirectory],
      ...['--follow', other.dataDirectory, '--apply', '--json'],
    ]);
    assert.equal(run.status, 0, run.stderr + run.stdout);
    const promoted = run.json() as Promoted;
    assert.equal(promoted.timeline, 2);
    assert.deepEqual({ bytes: promoted.lagBytes, commits: promoted.lostCommits }, { bytes: 0, commits: 0 });
    assert.match(promoted.firstSegmentArchived ?? '', /^00000002/, run.stdout + standby.log().slice(-3000));
    assert.deepEqual(
      promoted.standbys.map(({ follows }) => follows),
      [true],
      JSON.stringify(promoted.standbys),
    );
    assert.equal(promoted.configuration.written, true);
    assert.ok(readFileSync(site.configFile, 'utf8').includes(standby.dataDirectory));
    assert.equal(await count(standby), 5);
    await insert(standby, 3);
    await caughtUp(standby, other);
    assert.equal(await count(other), 8);
    const store = await site.store();
    assert.ok(await store.getHistory('00000002.history'));
    // The configuration leads to it: a backup of the new primary, with the archive that it writes to.
    const backup = site.run(['backup', 'main']);
    assert.equal(backup.status, 0, backup.stderr);
    const twice = site.run(['standby', 'promote', 'main', '--directory', standby.dataDirectory, '--json']);
    assert.equal(codeOf(twice.stdout), 'standby-node');
  });
});

interface Rejoined {
  readonly road: string;
  readonly lostCommits: number;
  readonly timeline: number;
  readonly stored: readonly string[];
  readonly started: { readonly streaming: boolean; readonly port: number; readonly socketDirectory: string } | null;
}

/** What a server says is in its tables, pages of the catalogue included. */
async function contents(cluster: TestCluster): Promise<string> {
  await using session = await cluster.session();
  const [row] = await session.query<{ all: string }>(
    `SELECT (SELECT string_agg(n || text, ',' ORDER BY n) FROM precious)
            || (SELECT string_agg(relname || oid, ',' ORDER BY oid) FROM pg_class) AS all`,
  );
  return row?.all ?? '';
}

describe('standby rejoin', () => {
  it('brings a former primary back by pg_rewind, and then the other one by a restore in place; what they had besides stays in the archive', async () => {
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
    const promote = ['standby', 'promote', 'main', '--apply', '--json', '--timeout', '3'];
    const refused = site.run([...promote, '--directory', b.dataDirectory]);
    assert.equal(codeOf(refused.stdout), 'standby-behind', refused.stdout + refused.stderr);
    assert.match(refused.stdout, /3 commits in it/);
    const promoted = site.run([...promote, '--directory', b.dataDirectory, '--max-lag', '10MB']);
    assert.equal(promoted.status, 0, promoted.stdout + promoted.stderr);
    assert.equal((promoted.json() as Promoted).lostCommits, 3);
    assert.equal(await count(b), 5);
    await insert(b, 2);

    const running = site.run(['standby', 'rejoin', 'main', '--directory', b.dataDirectory, '--json']);
    assert.equal(codeOf(running.stdout), 'server-running');
    const rejoin = ['standby', 'rejoin', 'main', '--json', '--start', '--timeout', '60'];
    const back = site.run([...rejoin, '--directory', a.dataDirectory]);
    assert.equal(back.status, 0, back.stdout + back.stderr);
    const first = back.json() as Rejoined;
    assert.deepEqual([first.road, first.lostCommits, first.timeline], ['rewind', 3, 2], back.stderr);
    await insert(b, 1);
    await caughtUp(b, a);
    assert.equal(await count(a), 8);
    assert.equal(await contents(a), await contents(b));

    await a.stop();
    await insert(b, 4);
    await b.stop('immediate');
    await a.start();
    {
      // By somebody else, who does not look for what b had.
      await using session = await a.session();
      await session.query('SELECT pg_promote()');
    }
    await insert(a, 1);
    const words = ['--directory', b.dataDirectory, '--method', 'restore', '--upstream', a.uri()];
    const restored = site.run([...rejoin, ...words]);
    assert.equal(restored.status, 0, restored.stdout + restored.stderr);
    const second = restored.json() as Rejoined;
    assert.deepEqual([second.road, second.lostCommits, second.timeline], ['restore', 4, 3], restored.stderr);
    assert.ok(second.stored.length > 0, 'what b had not archived went into the repository');
    await insert(a, 1);
    await caughtUp(a, b);
    assert.equal(await contents(a), await contents(b));
  });

  it('takes the WAL that pg_rewind needs from the archive, where the former primary has removed it', async () => {
    await using a = await archivingCluster(15, { wal_keep_size: '0', max_wal_size: '2MB', min_wal_size: '2MB' });
    await using site = await ArchivingSite.of(a);
    await insert(a, 5);
    await using b = await TestCluster.standbyOf(a, standbySettings);
    await caughtUp(a, b);
    await b.stop();
    const walOf = (cluster: TestCluster): string[] =>
      readdirSync(join(cluster.dataDirectory, 'pg_wal')).filter((name) => /^[0-9A-F]{24}$/.test(name));
    const common = walOf(a).toSorted()[0] ?? '';
    {
      await using session = await a.session();
      await session.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active');
      for (let i = 0; i < 3; i += 1) {
        await insert(a, 1);
        await site.archiveAll(a);
        await session.query('CHECKPOINT');
      }
    }
    await a.stop();
    assert.ok(!walOf(a).includes(common), 'the WAL from before the servers part is gone');
    await b.start();
    {
      await using session = await b.session();
      await session.query('SELECT pg_promote()');
    }
    await insert(b, 1);
    const words = ['--directory', a.dataDirectory, '--upstream', b.uri(), '--method', 'rewind'];
    const run = site.run(['standby', 'rejoin', 'main', ...words, '--start', '--timeout', '60', '--json']);
    assert.equal(run.status, 0, run.stdout + run.stderr);
    assert.equal((run.json() as Rejoined).road, 'rewind', run.stderr);
    await caughtUp(b, a);
    assert.equal(await contents(a), await contents(b));
  });
});
