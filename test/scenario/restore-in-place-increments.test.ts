import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite } from '../support/command-site.ts';
import { restoredTree, sameTrees } from '../support/restored-tree.ts';

/* One directory, brought in place from one backup of a busy cluster to another, forwards and backwards. */

/** What differs between two restores of the same backup to two places. */
const own = (path: string): boolean => /^(.*\.before-delta$|pg_wal\/pgrecall)|^postgresql\.auto\.conf$/.test(path);

describe('full and incremental backups of a cluster that works on', () => {
  it('are each what a directory becomes that had the state of another', { timeout: 300_000 }, async () => {
    await using server = await TestCluster.create({
      major: 15,
      walSegmentMiB: 1,
      settings: { archive_mode: 'on', autovacuum: 'off' },
    });
    using site = new CommandSite();
    const succeed = (...words: readonly string[]): unknown => {
      const result = site.run([...words, '--json']);
      assert.equal(result.status, 0, `${words.join(' ')}: ${result.stdout}${result.stderr}`);
      return result.json();
    };
    succeed('init', 'main', '--connection', server.uri(), '--repository', site.repository, '--apply');
    const backups: string[] = [];
    {
      await using session = await server.session();
      await session.query('CREATE TABLE t (id int PRIMARY KEY, n int, filler text) WITH (fillfactor = 60)');
      await session.query('INSERT INTO t SELECT i, i, repeat(md5(i::text), 6) FROM generate_series(1, 12000) i');
      await session.query('CREATE TABLE steady AS SELECT i, repeat(md5(i::text), 6) FROM generate_series(1, 12000) i');
      for (let round = 0; round < 5; round += 1) {
        const { id } = succeed('backup', 'main', '--type', round === 0 ? 'full' : 'incremental') as { id: string };
        backups.push(id);
        await session.query(`UPDATE t SET n = n + 1 WHERE id % 97 = ${round}`);
        await session.query(
          `INSERT INTO t SELECT i, i, 'more' FROM generate_series(${20_000 + round * 1000}, ${20_400 + round * 1000}) i`,
        );
        await session.query(`CREATE TABLE of_${round} AS SELECT generate_series(1, 2000) i`);
        if (round > 0) await session.query(`DROP TABLE of_${round - 1}`);
        if (round === 2) await session.query('VACUUM FULL t');
        if (round === 3) await session.query('DELETE FROM t WHERE id > 22000');
        await session.query('VACUUM t');
      }
    }
    const directory = join(site.directory, 'one');
    const fresh = join(site.directory, 'fresh');
    succeed('restore', 'main', '--to', directory, '--backup', backups[0] ?? '');
    for (const step of [4, 1, 3, 0, 2, 4]) {
      const backup = backups[step] ?? '';
      const { delta } = succeed('restore', 'main', '--to', directory, '--delta', '--backup', backup) as {
        delta: { changedBytes: number; comparedBytes: number };
      };
      assert.ok(delta.changedBytes > 0 && delta.changedBytes < delta.comparedBytes / 2, JSON.stringify(delta));
      rmSync(fresh, { recursive: true, force: true });
      succeed('restore', 'main', '--to', fresh, '--backup', backup);
      sameTrees(restoredTree(directory), restoredTree(fresh), own);
    }
    await using copy = await TestCluster.over(directory, 15);
    assert.ok(copy.isRunning());
  });
});
