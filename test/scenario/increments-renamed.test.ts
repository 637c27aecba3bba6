import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ArchivingSite, archivingSettings } from '../support/archiving-site.ts';
import { BackupRig } from '../support/backup-rig.ts';
import { TestCluster } from '../support/cluster.ts';
import { backUpTwice, checkRestored, contentOf } from '../support/compared-backups.ts';
import { giveToServer, serverOwner } from '../support/server-user.ts';

/* Names that come to mean something else between two backups: of a relation's file, and of the cluster itself. */

const settings = { autovacuum: 'off', checkpoint_timeout: '1h', max_wal_size: '256MB' };

/** The archive and its index are emptied. */
function loseArchive(rig: BackupRig): void {
  for (const name of readdirSync(join(rig.directory, 'spool'))) rmSync(join(rig.directory, 'spool', name));
  for (const folder of [rig.store.keys.walFolder, rig.store.keys.indexFolder]) {
    rmSync(join(rig.repositoryDirectory, rig.clusterRepository.keyOf(folder)), { recursive: true, force: true });
  }
}

/*
 * File numbers begin again after four billion of them; here a database gets the number of one that was dropped, and its files
 * with it, from a template whose files have the same numbers and, copied as files, pages with LSNs of long ago.
 */
describe('files with the numbers of others that are gone', () => {
  for (const [strategy, evidence] of [
    ['wal_log', 'wal'],
    ['file_copy', 'wal'],
    ['file_copy', 'files'],
  ] as const) {
    it(`are other ones: of a database made by ${strategy}, by an increment that goes by ${evidence}`, async () => {
      await using rig = await BackupRig.create({ major: 15, walSegmentMiB: 1, settings });
      const { cluster } = rig;
      const inside = async <T>(sql: string, database?: string): Promise<T[]> => {
        await using session = await cluster.session(database);
        return await session.query<T & Record<string, unknown>>(sql);
      };
      const filesOf = async (): Promise<unknown> => {
        const rows = await inside(
          "SELECT pg_relation_filepath('inside') AS path, pg_relation_size('inside') AS size",
          'moving',
        );
        return rows[0];
      };
      await inside('CREATE DATABASE staying');
      await inside(
        'CREATE TABLE inside AS SELECT i AS id, md5(i::text) FROM generate_series(1, 30000) AS i',
        'staying',
      );
      await inside('CREATE DATABASE moving OID = 77777 TEMPLATE staying');
      // In place, so that as many pages of the same file are others.
      await inside('UPDATE inside SET id = id + 1 WHERE id % 100 = 0', 'moving');
      await inside('CHECKPOINT');
      const before = await filesOf();
      await rig.archiveAll();
      await rig.backUp();
      await inside('DROP DATABASE moving');
      await inside('UPDATE inside SET id = id + 2 WHERE id % 100 = 50', 'staying');
      await inside(`CREATE DATABASE moving OID = 77777 TEMPLATE staying STRATEGY ${strategy}`);
      assert.deepEqual(await filesOf(), before);
      await inside('CHECKPOINT');
      await rig.archiveAll();
      if (evidence === 'files') {
        await inside('CHECKPOINT');
        loseArchive(rig);
        await rig.archiveAll();
      }
      const record = await backUpTwice(rig, { type: 'incremental', walTimeoutMs: 1000 });
      assert.equal(record.evidence, evidence, record.fallback);
      await checkRestored(rig, { record, content: await contentOf(cluster) });
    });
  }
});

interface Taken {
  readonly id: string;
  readonly type: string;
  readonly fallback?: string;
}

it('after pg_upgrade, which links the files, nothing is taken for unchanged; backups of before stay', async () => {
  await using before = await TestCluster.create({ major: 15, walSegmentMiB: 1, settings: archivingSettings });
  await using site = await ArchivingSite.of(before);
  const ran = (...words: readonly string[]): unknown => {
    const { status, stdout, stderr, json } = site.run([...words, '--json']);
    assert.equal(status, 0, `${words.join(' ')}: ${stdout}${stderr}`);
    return json();
  };
  {
    await using session = await before.session();
    await session.query('CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 20000) AS i');
  }
  const content = await contentOf(before);
  const old = ran('backup', 'main') as Taken;
  await before.stop();

  await using after = await TestCluster.create({ major: 15, walSegmentMiB: 1, settings: archivingSettings });
  await after.stop();
  // Of one version to itself, which pg_upgrade does as well: a new system identifier, and the files under their old numbers.
  const { binDirectory } = after.programs;
  const work = join(site.directory, 'upgrade');
  mkdirSync(work);
  giveToServer(work);
  execFileSync(
    join(binDirectory, 'pg_upgrade'),
    [
      ...['--old-bindir', binDirectory, '--new-bindir', binDirectory],
      ...['--old-datadir', before.dataDirectory, '--new-datadir', after.dataDirectory],
      ...['--socketdir', work, '--username', 'postgres', '--link'],
    ],
    { cwd: work, stdio: 'pipe', ...serverOwner() },
  );
  await after.start();
  const connect = ['--connection', after.uri(), '--data-directory', after.dataDirectory];
  const mistaken = site.run(['init', 'main', ...connect, '--json']);
  assert.equal((mistaken.json() as { error: { code: string } }).error.code, 'cluster-mismatch');
  ran('init', 'main', ...connect, '--new-incarnation', '--apply');
  const first = ran('backup', 'main', '--type', 'incremental') as Taken;
  assert.deepEqual([first.type, /no backup of this incarnation/.test(first.fallback ?? '')], ['full', true]);

  for (const { id } of [old, first]) {
    const directory = join(site.directory, `restored-${id}`);
    ran('restore', 'main', '--backup', id, '--to', directory, '--target-immediate', '--target-action', 'promote');
    assert.ok(existsSync(join(directory, 'global/pg_control')));
    await using restored = await TestCluster.over(directory, 15, { archive_mode: 'off' });
    assert.equal(await contentOf(restored), content);
    await restored.stop();
  }
});
