import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ArchivingSite, archivingCluster, fill } from '../support/archiving-site.ts';
import { eventually } from '../support/eventually.ts';
import { Standby, arrives, codeOf, insert, statusOf, type Created } from '../support/made-standby.ts';

for (const major of [15, 18] as const) {
  describe(`standby create, PostgreSQL ${major}`, () => {
    it('makes one of the newest backup that streams, can be read, and has no password in its settings', async () => {
      await using primary = await archivingCluster(major);
      await using site = await ArchivingSite.of(primary);
      const directory = join(site.directory, 'standby');
      const words = ['standby', 'create', 'main', '--to', directory, '--port', '5433', '--start'];
      const without = site.run([...words, '--json']);
      assert.equal(without.status, 2);
      assert.equal(codeOf(without.stdout), 'backup-unknown');

      assert.equal(site.run(['backup', 'main']).status, 0);
      await insert(primary, 'after the backup');
      const taken = site.run(['standby', 'create', 'main', '--to', directory, '--start', '--json']);
      assert.equal(codeOf(taken.stdout), 'port-taken', taken.stderr);

      const planned = site.run([...words, '--plan']);
      assert.match(planned.stdout, /make the replication slot "standby_main_standby"/, planned.stderr);
      const made = site.run([...words, '--timeout', '60', '--json'], { env: { PGPASSWORD: 'a secret' } });
      assert.equal(made.status, 0, made.stderr + made.stdout);
      await using standby = new Standby(primary, directory, 5433);
      const created = made.json() as Created;
      assert.equal(created.started?.streaming, true);
      assert.equal(created.source, 'repository');
      await arrives(standby, 'after the backup');
      await insert(primary, 'while it streams');
      await arrives(standby, 'while it streams');
      const settings = readFileSync(join(directory, 'postgresql.auto.conf'), 'utf8');
      assert.doesNotMatch(settings, /password|a secret/);
      const passfile = / passfile=([^ ']+)/.exec(settings)?.[1] ?? '';
      assert.equal(readFileSync(passfile, 'utf8'), '*:*:*:postgres:a secret\n');
      assert.equal(statSync(passfile).mode & 0o777, 0o600);

      const [line] = statusOf(site).standbys;
      assert.deepEqual(
        [line?.name, line?.slot, line?.state, line?.syncState, line?.walStatus, line?.conflicts],
        [created.name, created.slot, 'streaming', 'async', 'reserved', 0],
      );
      assert.match(
        site.run(['standby', 'status', 'main']).stdout,
        /^standby_main_standby {2}standby_main_standby {2}streaming/m,
      );

      const watch = site.start(['standby', 'status', 'main', '--watch', '--interval', '0.1', '--json']);
      let seen = '';
      watch.stdout?.on('data', (bytes: Buffer) => (seen += bytes.toString()));
      await eventually('it is shown again and again', () => seen.split('"warnings"').length > 3);
      watch.kill('SIGINT');
      assert.deepEqual(await once(watch, 'exit'), [0, null]);

      const again = site.run([...words, '--json']);
      assert.equal(codeOf(again.stdout), 'target-not-empty');
      const other = ['standby', 'create', 'main', '--to', join(site.directory, 'other'), '--slot', created.name];
      assert.equal(codeOf(site.run([...other, '--json']).stdout), 'slot');
    });

    it('comes back by the archive where the primary has removed the WAL that it needs', async () => {
      await using primary = await archivingCluster(major, {
        max_slot_wal_keep_size: '1MB',
        wal_keep_size: '0',
        min_wal_size: '2MB',
        max_wal_size: '4MB',
      });
      await using site = await ArchivingSite.of(primary);
      await insert(primary, 'before the backup');
      assert.equal(site.run(['backup', 'main']).status, 0);
      const directory = join(site.directory, 'standby');
      const words = ['standby', 'create', 'main', '--to', directory, '--slot', 'away', '--port', '5433', '--start'];
      const made = site.run([...words, '--timeout', '60']);
      assert.equal(made.status, 0, made.stderr);
      await using standby = new Standby(primary, directory, 5433);
      await standby.stop();
      {
        await using session = await primary.session();
        await fill(session, 8);
        await session.query('CHECKPOINT');
        await fill(session, 4);
        await session.query('CHECKPOINT');
      }
      await insert(primary, 'after it was gone');
      await site.archiveAll(primary);
      const { slots, warnings } = statusOf(site);
      assert.deepEqual([slots[0]?.name, slots[0]?.active, slots[0]?.walStatus], ['away', false, 'lost']);
      assert.match(warnings.join('\n'), /slot "away" has lost WAL/);

      await standby.start();
      await arrives(standby, 'after it was gone');
      // From 18 on a slot that has lost WAL takes nobody any more.
      if (major >= 18) {
        const remade = /SELECT pg_drop_replication_slot.*$/.exec(warnings.join(''))?.[0] ?? '';
        await using session = await primary.session();
        await session.query(remade);
      }
      await eventually('it streams again', () => statusOf(site).standbys[0]?.state === 'streaming');

      // Made anew in place.
      assert.equal(site.run(['backup', 'main', '--type', 'incremental']).status, 0);
      await standby.stop();
      {
        await using session = await primary.session();
        await session.query("ALTER SYSTEM SET max_connections = '150'");
      }
      await primary.restart();
      const anew = site.run([...words, '--delta', '--discard-wal', '--timeout', '60', '--json']);
      assert.equal(anew.status, 0, anew.stderr);
      assert.match(anew.stderr, /bring .* write what differs/);
      // With the 100 of the backup it would pause where the primary's WAL says so.
      assert.match(readFileSync(join(directory, 'postgresql.auto.conf'), 'utf8'), /^max_connections = '150'$/m);
      await insert(primary, 'anew');
      await arrives(standby, 'anew');
    });
  });
}

describe('standby create, where a recovery that was undone has left a newer timeline in the archive', () => {
  it('makes one that follows the primary, with what the archive has behind that fork', async () => {
    await using primary = await archivingCluster(15, { wal_keep_size: '0', min_wal_size: '2MB', max_wal_size: '4MB' });
    await using site = await ArchivingSite.of(primary);
    await insert(primary, 'before the backup');
    assert.equal(site.run(['backup', 'main']).status, 0);
    {
      await using session = await primary.session();
      const [row] = await session.query<{ at: string }>('SELECT pg_current_wal_insert_lsn()::text AS at');
      mkdirSync(join(site.directory, 'undone'));
      const history = join(site.directory, 'undone', '00000002.history');
      writeFileSync(history, `1\t${row?.at}\tundone\n`);
      const pushed = site.run(['wal', 'push', history, '--cluster', 'main']);
      assert.equal(pushed.status, 0, pushed.stderr);
      await fill(session, 8);
      await session.query('CHECKPOINT');
      await fill(session, 4);
      await session.query('CHECKPOINT');
    }
    await insert(primary, 'behind the fork');
    await site.archiveAll(primary);
    const directory = join(site.directory, 'standby');
    const words = ['standby', 'create', 'main', '--to', directory, '--port', '5433', '--start', '--timeout', '60'];
    const made = site.run(words);
    assert.equal(made.status, 0, made.stderr);
    await using standby = new Standby(primary, directory, 5433);
    await arrives(standby, 'behind the fork');
    assert.match(made.stderr, /the archive has timelines beyond 1, .* the standby is bound to 1/);
  });
});
