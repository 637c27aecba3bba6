import assert from 'node:assert/strict';
import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { copyInThreads } from '../../src/backup/copying.ts';
import type { Copying } from '../../src/backup/copy-items.ts';
import { hasCode } from '../../src/errors/pgrecall-error.ts';
import { parseLsn } from '../../src/postgres/lsn.ts';
import { pageBytes } from '../../src/postgres/page.ts';
import { BackupRig } from '../support/backup-rig.ts';
import { TestCluster } from '../support/cluster.ts';
import { checkRestored, contentOf } from '../support/compared-backups.ts';
import { streamBackUp, type StreamChanges } from '../support/stream-rig.ts';

/** Copies as ever, and does something once the first batch is copied. */
function meanwhile(rig: BackupRig, act: () => Promise<void>): NonNullable<StreamChanges['copying']> {
  return (startLsn): Copying => {
    const access = rig.repository.access({ kind: 'local', directory: rig.repositoryDirectory });
    const inner = copyInThreads(access, 'main', startLsn, 1);
    let acted: Promise<void> | undefined;
    return {
      ...inner,
      copy: async (items) => {
        const result = await inner.copy(items);
        acted ??= act();
        await acted;
        return result;
      },
    };
  };
}

/** Nothing is listed, and nothing takes space. */
async function nothingIsLeft(rig: BackupRig): Promise<void> {
  assert.deepEqual(await rig.clusterRepository.listBackups(), []);
  assert.deepEqual(await rig.clusterRepository.listUnfinished(), []);
  assert.deepEqual(await rig.clusterRepository.listPacks(), []);
}

const summarizing = { summarize_wal: 'on', autovacuum: 'off' };

describe('a backup over the connection', () => {
  it('fails, and leaves nothing, when the connection for files is lost, or that for WAL, or the server stops', async () => {
    await using rig = await BackupRig.create({ major: 18, walSegmentMiB: 1 });
    await using session = await rig.cluster.session();
    await session.query('CREATE TABLE t AS SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 40000) AS i');
    const end = (backend: string) => async (): Promise<void> => {
      const ended = await session.query<{ done: boolean }>(
        `SELECT pg_terminate_backend(pid) AS done FROM pg_stat_replication WHERE state ${backend} 'backup'`,
      );
      assert.deepEqual(ended, [{ done: true }]);
    };
    const isLost = (error: unknown): boolean => hasCode(error, 'server-changed');
    await assert.rejects(streamBackUp(rig, { copying: meanwhile(rig, end('=')) }), isLost);
    await nothingIsLeft(rig);
    await assert.rejects(streamBackUp(rig, { copying: meanwhile(rig, end('<>')) }), isLost);
    await nothingIsLeft(rig);
    const stop = async (): Promise<void> => rig.cluster.stop('immediate');
    await assert.rejects(streamBackUp(rig, { copying: meanwhile(rig, stop) }), isLost);
    await nothingIsLeft(rig);
    await rig.cluster.start();
    assert.equal((await streamBackUp(rig)).evidence, 'all');
  });

  it('says what right, and what setting, is missing', async () => {
    await using rig = await BackupRig.create({ major: 18, walSegmentMiB: 1, settings: { summarize_wal: 'off' } });
    await using session = await rig.cluster.session();
    await session.query('CREATE ROLE plain LOGIN; CREATE ROLE backer LOGIN REPLICATION');
    const as = (role: string): string => rig.cluster.uri().replace('user=postgres', `user=${role}`);
    await assert.rejects(streamBackUp(rig, { connection: as('plain') }), (error) => {
      assert.ok(hasCode(error, 'server-rights'));
      assert.match(error.hint ?? '', /ALTER ROLE "plain" REPLICATION/);
      return true;
    });
    // Nothing but REPLICATION, and no session with SQL.
    const record = await streamBackUp(rig, { connection: as('backer'), facts: undefined });
    assert.match(record.warnings.join(), /may not see where the server’s configuration lies/);
    await assert.rejects(streamBackUp(rig, { type: 'incremental' }), (error) => {
      assert.ok(hasCode(error, 'server-setting'));
      assert.match(error.hint ?? '', /summarize_wal = on/);
      return true;
    });
  });

  it('takes everything and compares, where the server has no account of all changes', async () => {
    await using rig = await BackupRig.create({ major: 18, walSegmentMiB: 1, settings: { summarize_wal: 'off' } });
    await using session = await rig.cluster.session();
    await session.query('CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 20000) AS i');
    const full = await streamBackUp(rig);
    await session.query('ALTER SYSTEM SET wal_keep_size = 0');
    await session.query('CHECKPOINT; UPDATE t SET i = -i WHERE i % 500 = 0');
    // WAL that is gone when summaries begin is in none of them.
    for (let i = 0; i < 3; i += 1) {
      await session.query("SELECT pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()");
      await rig.archive();
      await session.query('CHECKPOINT');
    }
    await session.query('ALTER SYSTEM SET summarize_wal = on');
    await session.query('SELECT pg_reload_conf()');
    const record = await streamBackUp(rig, { type: 'incremental' });
    assert.deepEqual([record.type, record.evidence, record.reference], ['incremental', 'sums', full.id]);
    assert.match(record.fallback ?? '', /^the server says: WAL summaries are required/);
    assert.ok((record.pagesStored ?? 0) < 400, `${record.pagesStored} pages`);
    await checkRestored(rig, { record, content: await contentOf(rig.cluster) });
  });

  it('reports damaged pages, also of those that are not sent again', async () => {
    await using rig = await BackupRig.create({ major: 18, walSegmentMiB: 1, settings: summarizing });
    const { cluster } = rig;
    await using session = await cluster.session();
    await session.query('CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 20000) AS i');
    const [row] = await session.query<{ path: string }>("SELECT pg_relation_filepath('t') AS path");
    const path = row?.path ?? '';
    await session.query('CHECKPOINT');
    const descriptor = openSync(join(cluster.dataDirectory, path), 'r+');
    writeSync(descriptor, Buffer.alloc(8, 0x5a), 0, 8, 3 * pageBytes + 4000);
    closeSync(descriptor);
    const full = await streamBackUp(rig);
    assert.deepEqual(full.badPages, [{ path, blocks: [3] }]);
    await session.query('UPDATE t SET i = -i WHERE ctid = $1', ['(10,1)']);
    const record = await streamBackUp(rig, { type: 'incremental' });
    assert.equal(record.evidence, 'server', record.fallback);
    assert.deepEqual(record.badPages, [{ path, blocks: [3] }]);
  });

  it('is taken of a standby, with WAL as far as it goes', async () => {
    await using rig = await BackupRig.create({ major: 18, walSegmentMiB: 1, settings: summarizing });
    await using session = await rig.cluster.session();
    await session.query('CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) AS i');
    await using standby = await TestCluster.standbyOf(rig.cluster);
    await session.query('CHECKPOINT');
    const record = await streamBackUp(rig, { connection: standby.uri() });
    assert.ok(record.fromStandby && parseLsn(record.endLsn) > 0n);
    const content = await contentOf(rig.cluster);
    // A target is found with the record that follows it.
    await rig.archiveAll();
    await checkRestored(rig, { record, content });
    assert.deepEqual(readdirSync(rig.directory).includes('streaming'), false, 'WAL under way was removed');
  });
});
