import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ArchivingSite, archivingCluster } from '../support/archiving-site.ts';
import { eventually } from '../support/eventually.ts';
import { Standby, arrives, codeOf, insert, statusOf, type Created } from '../support/made-standby.ts';

describe('standbys of every kind', () => {
  it('copies the primary, makes it synchronous, follows a standby, ships logs alone, and replays later', async () => {
    await using primary = await archivingCluster(15, { max_wal_senders: '10' });
    await using site = await ArchivingSite.of(primary);
    await insert(primary, 'before');
    const place = (name: string): string => join(site.directory, name);
    const create = (name: string, ...words: string[]) => {
      const all = ['standby', 'create', 'main', '--to', place(name), '--name', name, '--timeout', '60', '--json'];
      const made = site.run([...all, '--start', ...words]);
      assert.equal(made.status, 0, made.stderr + made.stdout);
      return made.json() as Created;
    };

    // Without any backup.
    const synchronous = ['--synchronous', 'ANY 1 (copied)', '--apply'];
    const first = create('copied', '--from-primary', '--port', '5433', ...synchronous);
    await using copied = new Standby(primary, place('copied'), 5433);
    assert.equal(first.source, 'primary');
    assert.deepEqual(
      first.settings.map(({ name, applied }) => [name, applied]),
      [
        ['max_slot_wal_keep_size', true],
        ['synchronous_standby_names', true],
      ],
    );
    await arrives(copied, 'before');
    await eventually('it is waited for', () => statusOf(site).standbys[0]?.syncState === 'quorum');

    assert.equal(site.run(['backup', 'main']).status, 0);
    const upstream = `host=${primary.socketDirectory} port=5433 user=postgres`;
    create('cascaded', '--upstream', upstream, '--port', '5434');
    await using cascaded = new Standby(primary, place('cascaded'), 5434);
    const shipped = create('shipped', '--log-shipping', '--port', '5435');
    await using shipping = new Standby(primary, place('shipped'), 5435);
    assert.equal(shipped.slot, null);
    create('delayed', '--delay', '1h', '--port', '5436');
    await using delayed = new Standby(primary, place('delayed'), 5436);

    await insert(primary, 'after');
    await arrives(cascaded, 'after');
    await site.archiveAll(primary);
    await arrives(shipping, 'after');
    await sleep(500);
    assert.equal(await delayed.count('after'), 0, 'an hour is not over');
    const { standbys } = statusOf(site);
    assert.deepEqual(standbys.map(({ name, state }) => `${name} ${state}`).toSorted(), [
      'cascaded cascaded',
      'copied streaming',
      'delayed streaming',
      'shipped archive',
    ]);
    const late = standbys.find(({ name }) => name === 'delayed');
    assert.ok((late?.lagBytes ?? 0) > 0);
    assert.equal(late?.delaySeconds, 3600);

    // A slot that vanished: it goes on from the archive, and is told.
    await delayed.stop();
    {
      await using session = await primary.session();
      await session.query("SELECT pg_drop_replication_slot('delayed')");
    }
    await delayed.start();
    await eventually('it is told', () => {
      return /SELECT pg_create_physical_replication_slot\('delayed', true\)/.test(statusOf(site).warnings.join('\n'));
    });
  });

  it('refuses another cluster, a primary that does not answer, and what contradicts itself; nothing is left', async () => {
    await using primary = await archivingCluster(15);
    await using other = await archivingCluster(15);
    await using site = await ArchivingSite.of(primary);
    assert.equal(site.run(['backup', 'main']).status, 0);
    const to = join(site.directory, 'standby');
    const refused = (...words: string[]): string =>
      codeOf(site.run(['standby', 'create', 'main', '--to', to, '--json', ...words]).stdout);
    const at = (port: number, cluster = primary): string =>
      `host=${cluster.socketDirectory} port=${port} user=postgres`;
    assert.equal(refused('--upstream', at(5432, other)), 'cluster-mismatch');
    assert.equal(refused('--upstream', at(5499)), 'connection');
    assert.equal(refused('--log-shipping', '--from-primary'), 'usage');
    assert.equal(refused('--delay', 'soon'), 'usage');
    assert.equal(refused('--synchronous', 'ANY (a'), 'usage');
    assert.equal(refused('--slot', 'Not A Slot'), 'usage');
    {
      await using session = await primary.session();
      await session.query("ALTER SYSTEM SET max_replication_slots = '0'");
    }
    await primary.restart();
    const answer = site.run(['standby', 'create', 'main', '--to', to, '--json']);
    assert.equal(codeOf(answer.stdout), 'server-setting', answer.stderr);
    assert.match(answer.stderr, /ALTER SYSTEM SET max_replication_slots = '10'/);
    await using session = await primary.session();
    assert.deepEqual(await session.query('SELECT 1 FROM pg_replication_slots'), []);
  });

  it('takes its slot back where the server does not start', async () => {
    await using primary = await archivingCluster(15);
    await using site = await ArchivingSite.of(primary);
    assert.equal(site.run(['backup', 'main']).status, 0);
    {
      await using session = await primary.session();
      await session.query("ALTER SYSTEM SET unix_socket_directories = '/nowhere'");
    }
    const words = ['standby', 'create', 'main', '--from-primary', '--to', join(site.directory, 'standby')];
    const failed = site.run([...words, '--port', '5433', '--start', '--json']);
    assert.equal(codeOf(failed.stdout), 'server-start', failed.stderr);
    assert.match(failed.stderr, /is removed again/);
    await using session = await primary.session();
    assert.deepEqual(await session.query('SELECT 1 FROM pg_replication_slots'), []);
  });
});
