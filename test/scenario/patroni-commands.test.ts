import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { archivingCluster, ArchivingSite, fill } from '../support/archiving-site.ts';
import { TestCluster } from '../support/cluster.ts';
import type { CommandResult } from '../support/command-site.ts';

/* What Patroni calls, called as Patroni calls it, without Patroni; see patroni.test.ts for it all together. */

describe('what Patroni calls', () => {
  let cluster: TestCluster;
  let site: ArchivingSite;
  const words = (name: string, directory: string): string[] => [
    ...['patroni', name, '--scope=main', `--datadir=${join(site.directory, directory)}`],
  ];
  const code = (result: CommandResult): string => (result.json() as { error: { code: string } }).error.code;
  const conninfo = (of: TestCluster): string =>
    `user=postgres host=${of.socketDirectory} port=${of.port} dbname=postgres`;

  before(async () => {
    cluster = await archivingCluster(15);
    site = await ArchivingSite.of(cluster);
    const backup = site.run(['backup', 'main']);
    assert.equal(backup.status, 0, backup.stderr);
  });
  after(async () => {
    await site[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  it('makes a replica that only has to be told whom to follow', async () => {
    const made = site.run([
      ...words('replica', 'replica'),
      '--role=replica',
      `--connstring=${conninfo(cluster)}`,
      '--json',
    ]);
    assert.equal(made.status, 0, made.stderr);
    const directory = join(site.directory, 'replica');
    assert.equal((made.json() as { directory: string }).directory, directory);
    assert.ok(existsSync(join(directory, 'standby.signal')));
    assert.ok(!existsSync(join(directory, 'recovery.signal')));
    const settings = readFileSync(join(directory, 'postgresql.auto.conf'), 'utf8');
    assert.doesNotMatch(settings, /restore_command|recovery_target|archive_mode = 'off'/);
    await using standby = await TestCluster.over(directory, 15, {
      primary_conninfo: conninfo(cluster),
      restore_command: `${join(site.stateDirectory, 'restore-command')} "%f" "%p"`,
    });
    await using session = await standby.session();
    assert.equal(session.role.inRecovery, true);
    // The primary's own directory is not this server's, whatever the connection says.
    const mixed = site.run(['backup', 'main', '--json'], {
      env: { PGRECALL_CONNECTION: standby.uri(), PGRECALL_DATA_DIRECTORY: cluster.dataDirectory },
    });
    assert.equal(mixed.status, 1, mixed.stderr);
    assert.equal(code(mixed), 'data-directory');
    const finding = site.run(['check', 'main', '--json'], {
      env: { PGRECALL_CONNECTION: standby.uri(), PGRECALL_DATA_DIRECTORY: cluster.dataDirectory },
    });
    const { findings } = finding.json() as { findings: { name: string; status: string; message: string }[] };
    assert.match(
      findings.find(({ name }) => name === 'data directory')?.message ?? '',
      /a standby: it is that of the primary that runs here/,
    );
    // And the server of a directory is found without the connection.
    const local = site.run(['backup', 'main', '--role', 'primary', '--json'], {
      env: { PGRECALL_CONNECTION: standby.uri(), PGRECALL_DATA_DIRECTORY: cluster.dataDirectory },
    });
    assert.equal(local.status, 0, local.stderr);
  });

  it('goes on where the member to follow does not answer', () => {
    const made = site.run([...words('replica', 'alone'), '--connstring=host=/nowhere user=replicator']);
    assert.equal(made.status, 0, made.stderr);
    assert.match(made.stderr, /warning: the member to follow was not asked: .*nowhere/);
  });

  it('refuses to make a replica of another cluster than is to be followed', async () => {
    await using other = await TestCluster.create({ major: 15, settings: { max_wal_senders: '5' } });
    const refused = site.run([...words('replica', 'other'), `--connstring=${conninfo(other)}`, '--json']);
    assert.equal(refused.status, 1);
    assert.equal(code(refused), 'cluster-mismatch');
    assert.ok(!existsSync(join(site.directory, 'other')));
  });

  it('makes no replica that would stop at a gap in the archive', async () => {
    {
      await using session = await cluster.session();
      await fill(session, 3);
    }
    await site.archiveAll(cluster);
    const store = await site.store();
    const segments: { name: string; key: string }[] = [];
    for await (const segment of store.listSegments()) segments.push(segment);
    const taken = segments.at(-3);
    assert.ok(taken);
    const object = site.object(taken.key);
    renameSync(object, `${object}.away`);
    const refused = site.run([...words('replica', 'gap'), '--json']);
    renameSync(`${object}.away`, object);
    assert.equal(refused.status, 3, refused.stderr);
    assert.equal(code(refused), 'wal-gap');
    assert.ok(!existsSync(join(site.directory, 'gap')));
  });

  it('writes nothing where the wanted moment cannot be reached', () => {
    const refused = site.run([...words('bootstrap', 'future'), '--target-time', '2100-01-01', '--json']);
    assert.equal(refused.status, 4);
    assert.equal(code(refused), 'target-unreachable');
    assert.ok(!existsSync(join(site.directory, 'future')));
  });

  it('says what is wrong with the call', () => {
    for (const wrong of [
      ['patroni', 'replica', 'main'],
      [...words('replica', 'x'), '--discard-wal'],
      [...words('bootstrap', 'x'), '--target-action', 'pause'],
      ['backup', 'main', '--role', 'leader'],
      ['backup', 'main', '--role', 'primary', '--stream'],
    ]) {
      const refused = site.run([...wrong, '--json']);
      assert.equal(refused.status, 2, `${wrong.join(' ')}: ${refused.stdout}`);
      assert.equal(code(refused), 'usage', wrong.join(' '));
    }
  });

  it('is set up by scripts that are written once', () => {
    const present = readdirSync(site.stateDirectory);
    const place = { env: { PGRECALL_STATE_DIRECTORY: join(site.directory, 'elsewhere') } };
    const planned = site.run(['patroni', 'setup', 'main', '--plan', '--json'], place);
    assert.equal((planned.json() as { changed: boolean }).changed, true, planned.stderr);
    assert.ok(!existsSync(join(site.directory, 'elsewhere')));
    const made = site.run(['patroni', 'setup', 'main'], place);
    assert.equal(made.status, 0, made.stderr);
    assert.match(made.stdout, /create_replica_methods: \[pgrecall, basebackup\]/);
    assert.deepEqual(readdirSync(join(site.directory, 'elsewhere', 'main')).toSorted(), [
      'archive-command',
      'restore-command',
    ]);
    const again = site.run(['patroni', 'setup', 'main', '--json'], place);
    assert.equal((again.json() as { changed: boolean }).changed, false);
    assert.deepEqual(readdirSync(site.stateDirectory), present);
  });
});
