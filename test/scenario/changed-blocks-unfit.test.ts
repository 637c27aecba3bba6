import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readChangedBlocks, type Evidence, type StartPosition } from '../../src/archive/changed-blocks.ts';
import { WalStore } from '../../src/archive/wal-store.ts';
import { decodeControlFile, type ControlFile } from '../../src/postgres/control-file.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import { TestCluster } from '../support/cluster.ts';
import { incarnationOf } from '../support/test-archive.ts';
import { testRepository } from '../support/test-repository.ts';
import { readSegments } from '../support/written-wal.ts';

/* What real servers do so that their WAL does not tell every change: nothing is believed then. */

const segmentBytes = 1_048_576;
const settings = { autovacuum: 'off', wal_keep_size: '1GB', max_wal_size: '2GB', checkpoint_timeout: '1h' };

/** Of a stopped server: its shutdown checkpoint. */
function startOf(cluster: TestCluster): StartPosition {
  const { timeline: on, redoLsn, checkpointLsn } = controlOf(cluster);
  return { timeline: on, lsn: redoLsn, checkpointLsn };
}

function controlOf(cluster: TestCluster): ControlFile {
  return decodeControlFile(readFileSync(join(cluster.dataDirectory, 'global/pg_control')));
}

async function emptyStore(cluster: TestCluster): Promise<WalStore> {
  const { systemIdentifier, postgresMajor } = controlOf(cluster);
  const changes = { systemIdentifier: String(systemIdentifier), postgresMajor };
  return new WalStore((await testRepository()).cluster('main'), incarnationOf(segmentBytes, changes));
}

/** Stores what is not there of the WAL of a stopped server, the last segment as far as it goes. */
async function archive(store: WalStore, cluster: TestCluster): Promise<void> {
  const segments = readSegments(join(cluster.dataDirectory, 'pg_wal'), segmentBytes, controlOf(cluster).checkpointLsn);
  for (const { name, bytes } of segments) {
    if (name === segments.at(-1)?.name) await store.putPartial(name, bytes);
    else if (!(await store.findSegment(name))) await store.putSegment(name, bytes);
  }
}

async function ask(store: WalStore, from: StartPosition, to: StartPosition): Promise<Evidence> {
  const history = { timeline: timeline(1), parents: [] };
  return readChangedBlocks({ store, history, from, to, signal: new AbortController().signal });
}

async function write(cluster: TestCluster, sql: string): Promise<void> {
  await using session = await cluster.session();
  await session.query(sql);
}

describe('WAL of a real server', () => {
  for (const major of [14, 18] as const) {
    it(`does not tell what PostgreSQL ${major} changed while wal_level was minimal`, async () => {
      await using cluster = await TestCluster.create({ major, walSegmentMiB: 1, settings });
      const store = await emptyStore(cluster);
      await cluster.stop();
      const from = startOf(cluster);
      const restart = async (walLevel: string): Promise<StartPosition> => {
        cluster.configure({ wal_level: walLevel, max_wal_senders: '0' });
        await cluster.start();
        // without WAL, while that is minimal
        await write(
          cluster,
          'DROP TABLE IF EXISTS made; CREATE TABLE made AS SELECT i FROM generate_series(1, 5000) i',
        );
        await cluster.stop();
        await archive(store, cluster);
        return startOf(cluster);
      };
      const asReplica = await restart('replica');
      assert.ok('changed' in (await ask(store, from, asReplica)));
      const asMinimal = await restart('minimal');
      const again = await restart('replica');
      for (const [start, end] of [
        [from, asMinimal],
        [from, again],
        [asReplica, again],
        // the checkpoint of a shutdown tells the level since 17; before, whoever asks has to know it
        ...(major >= 17 ? [[asMinimal, again] as const] : []),
      ] as const) {
        const evidence = await ask(store, start, end);
        assert.ok('unfit' in evidence);
        assert.match(evidence.unfit, /^wal_level was minimal at 0\//);
      }
    });
  }

  it('is not taken for that of a server whose disk was put back to an earlier state', async () => {
    await using cluster = await TestCluster.create({ major: 15, walSegmentMiB: 1, settings });
    await write(cluster, 'CREATE TABLE t AS SELECT i FROM generate_series(1, 20000) AS i');
    const store = await emptyStore(cluster);
    await cluster.stop();
    const from = startOf(cluster);
    await cluster.start();
    await write(cluster, 'UPDATE t SET i = i + 1');
    await cluster.stop();
    const saved = join(cluster.socketDirectory, 'saved');
    execFileSync('cp', ['-a', cluster.dataDirectory, saved]);
    await cluster.start();
    await write(cluster, 'UPDATE t SET i = i + 2; SELECT pg_switch_wal()');
    await cluster.stop();
    await archive(store, cluster);
    assert.ok('changed' in (await ask(store, from, startOf(cluster))));

    rmSync(cluster.dataDirectory, { recursive: true });
    execFileSync('mv', [saved, cluster.dataDirectory]);
    await cluster.start();
    await write(cluster, 'SELECT pg_switch_wal(); UPDATE t SET i = i + 3 WHERE i < 100');
    await cluster.stop();
    const behind = await ask(store, from, startOf(cluster));
    assert.ok('unfit' in behind);
    assert.match(behind.unfit, /^the archived WAL has no checkpoint at /);

    // until there is more of it than of the other
    await cluster.start();
    await write(cluster, 'UPDATE t SET i = i + 4; UPDATE t SET i = i + 5; UPDATE t SET i = i + 6');
    await cluster.stop();
    await archive(store, cluster);
    const beyond = await ask(store, from, startOf(cluster));
    assert.ok('unfit' in beyond);
    assert.match(beyond.unfit, /^WAL (cannot be read from \w+ on to|segment \w+ does not go on)/);
  });
});
