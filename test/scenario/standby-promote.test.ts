import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ArchivingSite, archivingCluster } from '../support/archiving-site.ts';
import { TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';

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

/** Until the standby has replayed everything. */
async function caughtUp(primary: TestCluster, standby: TestCluster): Promise<void> {
  await using session = await primary.session();
  const [row] = await session.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn');
  await using other = await standby.session();
  await eventually('the standby has replayed everything', async () => {
    const [at] = await other.query<{ ok: boolean }>('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS ok', [row?.lsn]);
    return at?.ok === true;
  });
}

describe('standby promote', () => {
  it('takes over from a primary that died, with what it had not archived, and leads the others and the configuration there', async () => {
    await using primary = await archivingCluster(15);
    await using site = await ArchivingSite.of(primary);
    await insert(primary, 5);
    await using standby = await TestCluster.standbyOf(primary, { hot_standby: 'on' });
    await using other = await TestCluster.standbyOf(primary, { hot_standby: 'on' });
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
