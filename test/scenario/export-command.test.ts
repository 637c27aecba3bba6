import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TestCluster } from '../support/cluster.ts';
import { checkWith } from '../support/backup-rig.ts';
import { putToRest } from '../support/cold-rig.ts';
import { CommandSite } from '../support/command-site.ts';
import { giveToServer } from '../support/server-user.ts';

/* pgrecall export, as an administrator types it. */

describe('a backup', () => {
  let server: TestCluster;
  let site: CommandSite;
  before(async () => {
    server = await TestCluster.create({ major: 15 });
    site = new CommandSite();
    assert.equal(site.run(['init', 'main', '--connection', server.uri(), '--repository', site.repository]).status, 0);
    await using session = await server.session();
    await session.query('CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i');
    await putToRest(server);
    const done = site.run(['backup', 'main', '--cold']);
    assert.equal(done.status, 0, done.stderr);
  });
  after(async () => {
    site[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  it('is exported to a directory, which has to be empty', () => {
    const to = join(site.directory, 'exported');
    const done = site.run(['export', 'main', 'latest', '--tar', '--to', to, '--compress', 'zstd', '--json']);
    assert.equal(done.status, 0, done.stderr);
    const document = done.json() as { archives: number; files: number };
    assert.ok(document.archives === 1 && document.files > 500);
    assert.deepEqual(readdirSync(to).toSorted(), ['backup_manifest', 'base.tar.zst']);
    const again = site.run(['export', 'main', 'latest', '--tar', '--to', to, '--json']);
    assert.equal((again.json() as { error: { code: string } }).error.code, 'target-not-empty');
  });

  it('goes through a pipe into tar, and starts', async () => {
    const directory = join(site.directory, 'unpacked');
    mkdirSync(directory, { mode: 0o700 });
    giveToServer(directory);
    const launcher = fileURLToPath(new URL('../../bin/pgrecall', import.meta.url));
    const command = `"${launcher}" export main latest --tar --to - --config "${site.configFile}" | tar -xpf - -C "${directory}"`;
    const piped = spawnSync('bash', ['-o', 'pipefail', '-c', command], { encoding: 'utf8' });
    assert.equal(piped.status, 0, piped.stderr);
    assert.ok(existsSync(join(directory, 'backup_manifest')));
    checkWith(15, 'pg_verifybackup', [directory]);
    await using restored = await TestCluster.over(directory, 15);
    await using session = await restored.session();
    assert.deepEqual(await session.query('SELECT count(*)::int FROM t'), [{ count: 1000 }]);
  });

  it('is said not to have been written where its reader goes away', () => {
    const launcher = fileURLToPath(new URL('../../bin/pgrecall', import.meta.url));
    const command = `"${launcher}" export main latest --tar --to - --config "${site.configFile}" | head -c 1000 >/dev/null; echo "\${PIPESTATUS[0]}"`;
    const piped = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
    assert.equal(piped.stdout.trim(), '1');
    assert.match(piped.stderr, /error\[io\]: cannot write the export/);
  });

  for (const [words, pattern] of [
    [['--to', 'x'], /exported with --tar/],
    [['--tar'], /--to is missing/],
    [['--tar', '--to', 'x', '--compress', 'lzma'], /expected none, gzip, zstd/],
    [['--tar', '--to', '-', '--json'], /cannot carry both/],
  ] as const) {
    it(`is not exported by ${words.join(' ')}`, () => {
      const refused = site.run(['export', 'main', 'latest', ...words]);
      assert.equal(refused.status, 2);
      assert.match(refused.stderr, pattern);
      assert.ok(!existsSync(join(site.directory, 'x')));
    });
  }

  it('with tablespaces does not fit into one stream', async () => {
    await server.start();
    const place = join(site.directory, 'place');
    mkdirSync(place, { mode: 0o700 });
    giveToServer(place);
    {
      await using session = await server.session();
      await session.query(`CREATE TABLESPACE fast LOCATION '${place}'`);
    }
    await putToRest(server);
    assert.equal(site.run(['backup', 'main', '--cold']).status, 0);
    const refused = site.run(['export', 'main', 'latest', '--tar', '--to', '-']);
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /1 tablespace\(s\)/);
    const to = join(site.directory, 'two');
    assert.equal(site.run(['export', 'main', 'latest', '--tar', '--to', to]).status, 0);
    assert.equal(readdirSync(to).filter((name) => /^\d+\.tar$/.test(name)).length, 1);
    execFileSync('tar', ['-tf', join(to, 'base.tar')], { stdio: 'pipe' });
  });
});
