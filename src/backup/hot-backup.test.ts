import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { WalStore } from '../archive/wal-store.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { lsn } from '../postgres/lsn.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { backUpMadeUp } from '../../test/support/made-up-backup.ts';
import {
  MadeUpCluster,
  MadeUpServer,
  madeUpControl,
  madeUpPages,
  madeUpSegment,
} from '../../test/support/made-up-cluster.ts';
import { mebibyte, nameOf, sameBytes, walSegment } from '../../test/support/test-archive.ts';
import { noon, testRepository } from '../../test/support/test-repository.ts';
import { copyHere } from './copying.ts';
import type { HotBackupOptions } from './hot-backup.ts';

interface Site {
  readonly cluster: ClusterRepository;
  readonly objects: ReadonlyMap<string, Uint8Array>;
}

async function site(): Promise<Site> {
  const storage = new MemoryStorage();
  return { cluster: (await testRepository({ storage })).cluster('main'), objects: storage.objects };
}

/** The backup fails so, and leaves nothing that is listed, nor its packs. */
async function fails(
  made: MadeUpCluster,
  code: ErrorCode,
  changes: Partial<HotBackupOptions>,
  message = /./,
): Promise<void> {
  const { cluster, objects } = await site();
  await assert.rejects(backUpMadeUp(made, cluster, changes), (error) => {
    assert.ok(hasCode(error, code), String(error));
    assert.match(error.message, message);
    return true;
  });
  assert.deepEqual(await cluster.listBackups(), []);
  assert.deepEqual(
    [...objects.keys()].filter((key) => /packs|backups/.test(key)),
    [],
  );
}

/** Copies as ever, and does something before the first batch. */
function meanwhile(cluster: () => ClusterRepository, act: () => void): HotBackupOptions['copying'] {
  return (startLsn) => {
    const inner = copyHere(cluster(), startLsn);
    return {
      ...inner,
      copy: async (items) => {
        act();
        return inner.copy(items);
      },
    };
  };
}

describe('a hot backup', () => {
  it('says in its record what it is', async () => {
    using made = new MadeUpCluster();
    const place = made.addTablespace(16_400);
    const { cluster } = await site();
    const databases = [{ oid: 5, name: 'postgres' }];
    const server = new MadeUpServer({ facts: { tablespaces: [{ oid: 16_400, name: 'fast' }], databases } });
    const record = await backUpMadeUp(made, cluster, { server, note: 'before the upgrade', keep: true });
    const { packs, sizeBytes, storedBytes, files, warnings, ...rest } = record;
    assert.ok(packs.length === 1 && sizeBytes > 3 * 8192 && storedBytes > 500 && files === 4);
    assert.deepEqual(warnings, []);
    assert.deepEqual(rest, {
      id: '20261123T120000Z-full',
      format: 1,
      kind: 'physical',
      temperature: 'hot',
      type: 'full',
      evidence: 'all',
      pagesRead: 6,
      pagesStored: 6,
      bytesRead: 24_606,
      incarnation: 1,
      postgresMajor: 15,
      systemIdentifier: made.incarnation.systemIdentifier,
      startedAt: noon().toISOString(),
      stoppedAt: noon().toISOString(),
      checkpointedAt: noon().toISOString(),
      timeline: 1,
      startLsn: '0/200028',
      endLsn: '0/204000',
      checkpointLsn: '0/200050',
      startSegment: nameOf(2),
      stopSegment: nameOf(2),
      fromStandby: false,
      keep: true,
      note: 'before the upgrade',
      tablespaces: [{ oid: 16_400, path: place, name: 'fast' }],
      databases,
      dataChecksums: true,
      badPages: [],
      pgrecallVersion: record.pgrecallVersion,
      outsideFiles: [],
    });
    assert.deepEqual(await cluster.readRecord(record.id), record);
  });

  it('counts in storedBytes what it added to the repository, WAL apart', async () => {
    using made = new MadeUpCluster();
    made.write('base/5/1259', madeUpPages(50));
    const { cluster, objects } = await site();
    const { storedBytes } = await backUpMadeUp(made, cluster);
    const added = [...objects].filter(([key]) => /packs\/|\/manifest$/.test(key));
    assert.equal(
      storedBytes,
      added.reduce((sum, [, bytes]) => sum + bytes.length, 0),
    );
  });

  it('gets an identifier of its own, in the same second and after a clock was set back', async () => {
    using made = new MadeUpCluster();
    const { cluster } = await site();
    const ids: string[] = [];
    for (let i = 0; i < 3; i += 1) ids.push((await backUpMadeUp(made, cluster)).id);
    assert.deepEqual(ids, ['20261123T120000Z-full', '20261123T120001Z-full', '20261123T120002Z-full']);
  });

  it('carries the configuration that lies outside, with what it includes', async () => {
    using made = new MadeUpCluster();
    const etc = join(made.root, 'etc');
    made.write('../etc/postgresql.conf', "include_dir = 'conf.d'\n");
    made.write('../etc/conf.d/memory.conf', 'work_mem = 64MB\n');
    made.write('../etc/pg_hba.conf', 'local all all peer\n');
    made.write('../elsewhere.conf', 'port = 5433\n');
    const server = new MadeUpServer({
      facts: {
        configurationFiles: {
          'postgresql.conf': `${etc}/postgresql.conf`,
          'pg_hba.conf': `${etc}/pg_hba.conf`,
          'pg_ident.conf': `${etc}/pg_ident.conf`,
        },
        settingsFiles: [
          `${etc}/postgresql.conf`,
          `${etc}/conf.d/memory.conf`,
          made.path('postgresql.auto.conf'),
          `${made.root}/elsewhere.conf`,
        ],
      },
    });
    const { cluster } = await site();
    const record = await backUpMadeUp(made, cluster, { server });
    await using manifest = await cluster.openManifest(record.id);
    assert.deepEqual(JSON.parse(String(await manifest.attachment('outside'))), [
      'postgresql.conf',
      'pg_hba.conf',
      'conf.d/memory.conf',
    ]);
    assert.equal(String(await manifest.attachment('outside/conf.d/memory.conf')), 'work_mem = 64MB\n');
    assert.match(record.warnings.join('\n'), /pg_ident.conf" could not be read[^]*elsewhere.conf" holds settings/);
    assert.equal(record.outsideFiles.length, 5);
  });

  it('reads pg_control again where it was being written', async () => {
    using made = new MadeUpCluster();
    const control = made.path('global/pg_control');
    writeFileSync(`${control}.good`, madeUpControl());
    writeFileSync(control, madeUpControl().fill(0, 100, 512));
    execFile('sh', ['-c', 'sleep 0.05; mv "$0.good" "$0"', control]);
    const { cluster } = await site();
    await backUpMadeUp(made, cluster);
  });

  it('stops a server’s backup once, and only after everything was copied', async () => {
    using made = new MadeUpCluster();
    const { cluster } = await site();
    const server = new MadeUpServer();
    const copying = meanwhile(
      () => cluster,
      () => assert.equal(server.stopped, 0),
    );
    await backUpMadeUp(made, cluster, { server, copying });
    assert.deepEqual([server.started, server.stopped], [1, 1]);
  });
});

describe('a hot backup is refused', () => {
  it('of another cluster than the repository knows', async () => {
    using made = new MadeUpCluster();
    made.write('global/pg_control', madeUpControl({ systemIdentifier: 42n }));
    await fails(made, 'cluster-mismatch', {}, /has the system identifier 42, but "main" in the repository is 7000/);
  });

  it('where the server that answers is another one', async () => {
    using made = new MadeUpCluster();
    for (const facts of [{ systemIdentifier: '42' }, { major: 16 }]) {
      await fails(
        made,
        'data-directory',
        { server: new MadeUpServer({ facts }) },
        /is not the directory of the server/,
      );
    }
  });

  it('where the directory is that of a standby of the server that answers', async () => {
    using made = new MadeUpCluster();
    made.write('global/pg_control', madeUpControl({ redoLsn: 0x100028n }));
    await fails(made, 'data-directory', {}, /of which its pg_control knows nothing \(0\/100028\)/);
  });

  it('where WAL is too little, or pages have another size', async () => {
    using made = new MadeUpCluster();
    const server = new MadeUpServer({ facts: { walLevel: 'minimal' } });
    await fails(made, 'server-setting', { server }, /wal_level is minimal/);
    made.write('global/pg_control', madeUpControl({ blockBytes: 32_768 }));
    await fails(made, 'postgres-version', {}, /32768/);
  });

  it('where pg_control is damaged, or not there', async () => {
    using made = new MadeUpCluster();
    made.write('global/pg_control', madeUpControl().fill(0, 100, 512));
    await fails(made, 'decode', {}, /CRC/);
    rmSync(made.path('global/pg_control'));
    await fails(made, 'data-directory', {}, /cannot read/);
  });
});

describe('a hot backup ends without a result', () => {
  it('when the server is restarted meanwhile', async () => {
    using made = new MadeUpCluster();
    const { cluster } = await site();
    const server = new MadeUpServer();
    const copying = meanwhile(
      () => cluster,
      () => server.die(),
    );
    await assert.rejects(backUpMadeUp(made, cluster, { server, copying }), (error) => hasCode(error, 'server-changed'));
    assert.deepEqual(await cluster.listBackups(), []);
    assert.equal(server.stopped, 0);
  });

  it('when the server goes over to another timeline meanwhile', async () => {
    using made = new MadeUpCluster();
    const { cluster } = await site();
    const copying = meanwhile(
      () => cluster,
      () => made.write('global/pg_control', madeUpControl({ minRecoveryTimeline: 2 })),
    );
    await assert.rejects(
      backUpMadeUp(made, cluster, { copying, server: new MadeUpServer({ facts: { inRecovery: true } }) }),
      (error) => hasCode(error, 'server-changed') && /timeline 2/.test(error.message),
    );
    assert.deepEqual(await cluster.listBackups(), []);
  });

  it('when it is interrupted', async () => {
    using made = new MadeUpCluster();
    const { cluster } = await site();
    const interrupted = new AbortController();
    const reason = new Error('interrupted by SIGINT');
    const copying = meanwhile(
      () => cluster,
      () => interrupted.abort(reason),
    );
    await assert.rejects(
      backUpMadeUp(made, cluster, { signal: interrupted.signal, copying }),
      (error) => error === reason,
    );
    assert.deepEqual(await cluster.listBackups(), []);
  });

  it('when its WAL does not reach the repository, and says which', async () => {
    using made = new MadeUpCluster();
    // The segment is not finished: nothing was switched.
    const server = new MadeUpServer({ written: lsn(2 * mebibyte + 0x5000) });
    await fails(made, 'wal-not-archived', { server }, /needs WAL from 0\/200028 to 0\/204000, and segment 0000000100/);
    rmSync(made.path(`pg_wal/${nameOf(2)}`));
    await fails(made, 'wal-not-archived', {}, /did not reach the repository within 0 s/);
  });
});

describe('the WAL of a hot backup', () => {
  it('is this server’s own: what is archived under the same names has its checkpoint', async () => {
    using made = new MadeUpCluster();
    const { cluster } = await site();
    const store = new WalStore(cluster, made.incarnation);
    await store.putSegment(nameOf(2), walSegment(2, { commits: [10n, 20n] }));
    await assert.rejects(backUpMadeUp(made, cluster), (error) => {
      assert.ok(hasCode(error, 'wal-other-content'), String(error));
      assert.match(error.message, /has no checkpoint at 0\/200050 that begins at 0\/200028/);
      return true;
    });
    assert.deepEqual(await cluster.listBackups(), []);
  });

  it('is brought from pg_wal where the archiver has not brought it', async () => {
    using made = new MadeUpCluster();
    const { cluster } = await site();
    await backUpMadeUp(made, cluster);
    sameBytes(await new WalStore(cluster, made.incarnation).getSegment(nameOf(2)), madeUpSegment());
  });

  it('is waited for, and said to be', async () => {
    using made = new MadeUpCluster();
    const { cluster } = await site();
    const store = new WalStore(cluster, made.incarnation);
    const segment = madeUpSegment();
    rmSync(made.path(`pg_wal/${nameOf(2)}`));
    const said: string[] = [];
    const say = (text: string): void => {
      said.push(text);
      void store.putSegment(nameOf(2), segment);
    };
    await backUpMadeUp(made, cluster, { say, walTimeoutMs: 60_000 });
    assert.deepEqual(said, [`waiting for ${nameOf(2)} to be archived`]);
  });

  it('of a standby is stored as far as it goes, without what an old file holds behind it', async () => {
    using made = new MadeUpCluster();
    const { cluster } = await site();
    const server = new MadeUpServer({ facts: { inRecovery: true }, written: lsn(2 * mebibyte + 0x5000) });
    const record = await backUpMadeUp(made, cluster, { server });
    assert.equal(record.fromStandby, true);
    const store = new WalStore(cluster, made.incarnation);
    assert.equal(await store.getSegment(nameOf(2)), undefined);
    const expected = Buffer.alloc(mebibyte);
    madeUpSegment().copy(expected, 0, 0, 0x5000);
    sameBytes(await store.getPartial(nameOf(2)), expected);
  });

  it('is stored while files are copied where nobody archives it', async () => {
    using made = new MadeUpCluster();
    const { cluster } = await site();
    const store = new WalStore(cluster, made.incarnation);
    const server = new MadeUpServer({ facts: { archiveMode: 'off' } });
    const inner = copyHere(cluster, lsn(0));
    const record = await backUpMadeUp(made, cluster, {
      server,
      copying: () => ({
        ...inner,
        copy: async (items) => {
          while (!(await store.findSegment(nameOf(2)))) {
            await new Promise((resolve) => {
              setTimeout(resolve, 20);
            });
          }
          // The server recycles it at its next checkpoint.
          rmSync(made.path(`pg_wal/${nameOf(2)}`), { force: true });
          return inner.copy(items);
        },
      }),
    });
    assert.match(record.warnings.join('\n'), /archive_mode is off/);
  });
});
