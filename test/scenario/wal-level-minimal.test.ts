import assert from 'node:assert/strict';
import { join } from 'node:path';
import { it } from 'node:test';
import { findPrograms } from '../../src/server/programs.ts';
import { stopServer } from '../../src/server/stop-server.ts';
import { SqlSession } from '../../src/connection/sql-session.ts';
import { ArchivingSite, archivingSettings } from '../support/archiving-site.ts';
import { TestCluster } from '../support/cluster.ts';

interface Listed {
  readonly recoverable: readonly { readonly fromLsn: string; readonly toLsn: string }[];
  readonly gaps: readonly unknown[];
}

interface Refused {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string };
}

it('a stretch of wal_level = minimal after the backup is not promised, and refused as a way', async () => {
  // Segments of 16 MiB: all of the stretch lies in one, and no WAL is missing.
  await using cluster = await TestCluster.create({ major: 15, settings: archivingSettings });
  await using site = await ArchivingSite.of(cluster);
  const ran = (...words: readonly string[]): unknown => {
    const { status, stdout, stderr, json } = site.run([...words, '--json']);
    assert.equal(status, 0, `${words.join(' ')}: ${stdout}${stderr}`);
    return json();
  };
  const insert = async (value: number): Promise<void> => {
    await using session = await cluster.session();
    await session.query('CREATE TABLE IF NOT EXISTS kept (value int)');
    await session.query(`INSERT INTO kept VALUES (${value})`);
  };
  const restart = async (settings: Record<string, string>): Promise<void> => {
    await cluster.stop();
    cluster.configure(settings);
    await cluster.start();
  };

  ran('backup', 'main');
  await insert(1);
  await restart({ wal_level: 'minimal', archive_mode: 'off', max_wal_senders: '0' });
  await insert(2);
  await restart({ wal_level: 'replica', archive_mode: 'on', max_wal_senders: '5' });
  await insert(3);
  await site.archiveAll(cluster);

  const first = ran('list', 'main') as Listed;
  assert.equal(first.recoverable.length, 1);
  assert.deepEqual(first.gaps, []);
  const barrier = first.recoverable[0]?.toLsn ?? '';
  const refused = site.run(['restore', 'main', '--to', join(site.directory, 'end'), '--json']);
  assert.equal(refused.status, 4);
  const { error } = refused.json() as Refused;
  assert.match(error.message, new RegExp(`wal_level was minimal from ${barrier} on`));
  assert.match(error.hint, new RegExp(`--target-lsn ${barrier} --target-exclusive`));

  const directory = join(site.directory, 'before');
  const words = [
    '--target-lsn',
    barrier,
    '--target-exclusive',
    '--target-action',
    'promote',
    '--start',
    '--port',
    '5433',
  ];
  const { started } = ran('restore', 'main', '--to', directory, ...words) as {
    readonly started: { readonly port: number; readonly socketDirectory: string };
  };
  try {
    const host = encodeURIComponent(started.socketDirectory);
    await using session = await SqlSession.connect(
      `postgresql:///postgres?host=${host}&port=${started.port}&user=postgres`,
    );
    assert.deepEqual(await session.query('SELECT value FROM kept'), [{ value: 1 }]);
  } finally {
    const programs = await findPrograms({ major: 15, env: process.env });
    await stopServer({ programs, dataDirectory: directory, mode: 'immediate', timeoutMs: 30_000 });
  }

  ran('backup', 'main');
  await insert(4);
  await site.archiveAll(cluster);
  const { recoverable } = ran('list', 'main') as Listed;
  assert.deepEqual([recoverable.length, recoverable[0]?.toLsn], [2, barrier]);
  ran('restore', 'main', '--to', join(site.directory, 'end'), '--plan');
});
