import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { isSegmentName } from '../../src/postgres/segment-name.ts';
import { ArchivingSite, archivingCluster, fill, readyNames } from '../support/archiving-site.ts';
import { TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';

describe('the wal commands', () => {
  it('tell what they did by their exit status, and in JSON', async () => {
    await using cluster = await archivingCluster(15);
    await using site = await ArchivingSite.of(cluster);
    {
      await using session = await cluster.session();
      await site.archiveAll(cluster);
      // From now on everything waits.
      await session.query("ALTER SYSTEM SET archive_command = 'false'");
      await session.query('SELECT pg_reload_conf()');
      await fill(session, 4);
      await session.query('SELECT pg_switch_wal()');
    }
    await site.endProcesses();
    await cluster.stop();
    const waiting = readyNames(cluster).filter(isSegmentName);
    assert.ok(waiting.length >= 4);
    const [first = '', second = ''] = waiting;
    const walFile = (name: string): string => join(cluster.dataDirectory, 'pg_wal', name);
    const ran = (...words: readonly string[]): { status: number | null; json: unknown } => {
      const { status, stdout, stderr } = site.run([...words, '--json']);
      assert.ok(status === 0 || stderr !== '' || words.includes('list'), 'a failure says why');
      return { status, json: JSON.parse(stdout === '' ? 'null' : stdout) as unknown };
    };
    const codeOf = (json: unknown): string | undefined => (json as { error?: { code: string } }).error?.code;

    const missing = ran('wal', 'get', second, join(site.directory, 'x'), '--cluster', 'main');
    assert.deepEqual([missing.status, codeOf(missing.json)], [1, 'wal-absent']);
    const pushed = ran('wal', 'push', walFile(second), '--cluster', 'main');
    assert.deepEqual(pushed, { status: 0, json: { name: second, cluster: 'main', stored: 'stored' } });
    assert.equal(ran('wal', 'push', walFile(second), '--cluster', 'main').status, 0);

    const gap = ran('wal', 'list', 'main');
    assert.equal(gap.status, 3);
    assert.equal((gap.json as { gaps: unknown[] }).gaps.length, 1);

    const archived = ran('wal', 'archive', 'main', '--once');
    assert.deepEqual(archived, {
      status: 0,
      json: { cluster: 'main', stored: waiting.length - 1, alreadyThere: 1 },
    });
    assert.deepEqual(ran('wal', 'archive', 'main', '--once').json, {
      cluster: 'main',
      stored: 0,
      alreadyThere: waiting.length,
    });
    assert.equal(readyNames(cluster).length, waiting.length, 'the server’s own notes are the server’s');
    assert.equal(ran('wal', 'list', 'main').status, 0);

    const fetched = join(cluster.socketDirectory, 'fetched');
    assert.equal(ran('wal', 'get', first, fetched, '--cluster', 'main').status, 0);
    assert.ok(readFileSync(fetched).equals(readFileSync(walFile(first))));
    assert.deepEqual(
      [ran('wal', 'get', 'nonsense', fetched), ran('wal', 'push', join(cluster.dataDirectory, 'PG_VERSION'))].map(
        ({ status, json }) => [status, codeOf(json)],
      ),
      [
        [2, 'wal-name'],
        [2, 'wal-name'],
      ],
    );
    const nowhere = ran('wal', 'archive', 'main', '--once', '--data-directory', join(site.directory, 'nowhere'));
    assert.deepEqual([nowhere.status, codeOf(nowhere.json)], [1, 'data-directory']);

    await using another = await TestCluster.create({ major: 15, walSegmentMiB: 1 });
    const foreign = readdirSync(join(another.dataDirectory, 'pg_wal')).find(isSegmentName) ?? '';
    const refused = ran('wal', 'push', join(another.dataDirectory, 'pg_wal', foreign), '--cluster', 'main');
    assert.deepEqual([refused.status, codeOf(refused.json)], [1, 'wal-other-cluster']);

    const running = site.start(['wal', 'archive', 'main']);
    await eventually('the archiver runs', () => site.archiverPid() !== undefined);
    const busy = ran('wal', 'archive', 'main', '--once');
    assert.deepEqual([busy.status, codeOf(busy.json)], [5, 'locked']);
    const ended = new Promise((resolve) => {
      running.on('exit', resolve);
    });
    running.kill('SIGTERM');
    assert.equal(await ended, 0);
    assert.equal(site.archiverPid(), undefined);
  });
});
