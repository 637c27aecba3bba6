import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite } from '../support/command-site.ts';

describe('pgrecall backup --stream', () => {
  it('takes full and incremental backups without the server’s files, and restores them', async () => {
    await using server = await TestCluster.create({
      major: 17,
      settings: { summarize_wal: 'on', max_wal_senders: '4' },
    });
    using site = new CommandSite();
    assert.equal(site.run(['init', 'main', '--connection', server.uri(), '--repository', site.repository]).status, 0);
    await using session = await server.session();
    await session.query('CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i');

    const full = site.run(['backup', 'main', '--stream', '--note', 'from afar', '--keep', '--json']);
    assert.equal(full.status, 0, full.stderr);
    const record = full.json() as BackupRecord;
    assert.deepEqual([record.type, record.evidence, record.note, record.keep], ['full', 'all', 'from afar', true]);
    assert.ok(record.databases?.some(({ name }) => name === 'postgres'));
    assert.match(full.stderr, /archive_mode is off/);

    await session.query('UPDATE t SET i = -i');
    const next = site.run(['backup', 'main', '--stream', '--type', 'incremental']);
    assert.equal(next.status, 0, next.stderr);
    assert.match(next.stdout, new RegExp(`changes since ${record.id} told by the server`));

    const directory = join(site.directory, 'restored');
    const restored = site.run(['restore', 'main', '--to', directory, '--target-immediate']);
    assert.equal(restored.status, 0, restored.stderr);
    assert.match(readFileSync(join(directory, 'backup_label'), 'latin1'), /^START WAL LOCATION/);
    assert.doesNotMatch(readFileSync(join(directory, 'backup_label'), 'latin1'), /INCREMENTAL/);
  });

  it('goes with no cold one', async () => {
    await using server = await TestCluster.create({ major: 17 });
    using site = new CommandSite();
    assert.equal(site.run(['init', 'main', '--connection', server.uri(), '--repository', site.repository]).status, 0);
    const both = site.run(['backup', 'main', '--stream', '--cold']);
    assert.equal(both.status, 2);
    assert.match(both.stderr, /--stream takes a running server/);
    await server.stop();
    const gone = site.run(['backup', 'main', '--stream']);
    assert.equal(gone.status, 1);
    assert.match(gone.stderr, /\[connection\]: cannot connect for replication/);
  });
});
