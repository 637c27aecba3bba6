import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite, type CommandResult } from '../support/command-site.ts';

/* What goes wrong at an administrator's desk: each has its own code, exit status and hint, and harms nothing. */

interface Refusal {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint: string | null;
    readonly details: Readonly<Record<string, unknown>>;
  };
}

function refused(result: CommandResult, code: string, status: number): Refusal['error'] {
  assert.equal(result.status, status, `${result.stdout}${result.stderr}`);
  const { error } = result.json() as Refusal;
  assert.equal(error.code, code, error.message);
  assert.ok(error.hint !== null && error.hint !== '', `${code} has no hint`);
  assert.match(result.stderr, new RegExp(`^error\\[${code}\\]: `, 'm'), 'the text is on stderr, too');
  return error;
}

describe('a cluster that is set up', () => {
  let server: TestCluster;
  let site: CommandSite;
  let passphraseFile: string;
  before(async () => {
    server = await TestCluster.create({ major: 15, settings: { archive_mode: 'on' } });
    site = new CommandSite();
    passphraseFile = site.secret('passphrase', 'right\n');
    const words = ['init', 'main', '--connection', server.uri(), '--repository', site.repository, '--apply'];
    const made = site.run([...words, '--passphrase-file', passphraseFile]);
    assert.equal(made.status, 0, made.stderr);
    const backup = site.run(['backup', 'main']);
    assert.equal(backup.status, 0, backup.stderr);
    await using session = await server.session();
    await session.query('CREATE ROLE plain LOGIN');
  });
  after(async () => {
    site[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  /** What must have come through whatever a test did. */
  const isWhole = (): void => {
    const list = site.run(['list', 'main', '--json']);
    assert.equal(list.status, 0, list.stderr);
    assert.equal((list.json() as { backups: unknown[] }).backups.length, 1);
  };

  /** Runs with another configuration, which is put back. */
  const withConfig = (change: (text: string) => string, action: () => void): void => {
    const text = readFileSync(site.configFile, 'utf8');
    writeFileSync(site.configFile, change(text));
    try {
      action();
    } finally {
      writeFileSync(site.configFile, text);
    }
  };

  it('opens with no other passphrase, and not without one', () => {
    const wrong = { env: { PGRECALL_PASSPHRASE: 'wrong' } };
    refused(site.run(['list', 'main', '--json'], wrong), 'passphrase-wrong', 2);
    refused(site.run(['backup', 'main', '--json'], wrong), 'passphrase-wrong', 2);
    withConfig(
      (text) => text.replace(/^passphrase_file.*$/m, ''),
      () => refused(site.run(['verify', 'main', '--json']), 'passphrase-missing', 2),
    );
    withConfig(
      (text) => text.replace(passphraseFile, join(site.directory, 'absent')),
      () => refused(site.run(['list', '--json']), 'config-invalid', 2),
    );
    isWhole();
  });

  const rootOnly = process.getuid?.() === 0 ? false : 'only root can act as another user';
  it('is planned for by root with a passphrase that root alone can read', { skip: rootOnly }, () => {
    const path = join(site.directory, 'of-root');
    writeFileSync(path, 'right\n', { mode: 0o600 });
    withConfig(
      (text) => text.replace(passphraseFile, path),
      () => {
        const planned = site.run(['restore', 'main', '--to', join(site.directory, 'planned'), '--plan']);
        assert.equal(planned.status, 0, planned.stderr);
      },
    );
  });

  it('refuses a repository that was made by a newer pgrecall', () => {
    const path = join(site.repository, 'repository.json');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace(/"format": 1/, '"format": 2'));
    try {
      const { details } = refused(site.run(['list', 'main', '--json']), 'repository-newer', 1);
      assert.deepEqual(details, { format: 2, supportedFormat: 1 });
      refused(site.run(['init', 'main', '--json']), 'repository-newer', 1);
    } finally {
      writeFileSync(path, text);
    }
    isWhole();
  });

  it('names the key of the configuration that was mistyped, and the one that was meant', () => {
    withConfig(
      (text) => text.replace('repository =', 'repositroy ='),
      () => {
        const { message, hint } = refused(site.run(['list', '--json']), 'config-unknown-key', 2);
        assert.match(message, /unknown key "repositroy"/);
        assert.equal(hint, 'did you mean "repository"?');
        refused(site.run(['init', 'main', '--json']), 'config-unknown-key', 2);
      },
    );
  });

  it('does not take another cluster under its name, unless told that it is its next life', async () => {
    await using other = await TestCluster.create({ major: 18, walSegmentMiB: 1 });
    const words = ['init', 'main', '--connection', other.uri(), '--data-directory', other.dataDirectory, '--json'];
    const config = readFileSync(site.configFile, 'utf8');
    const { hint } = refused(site.run(words), 'cluster-mismatch', 1);
    assert.match(hint ?? '', /--new-incarnation/);
    assert.equal(readFileSync(site.configFile, 'utf8'), config, 'nothing was changed');
    const mixed = site.run(['init', 'main', '--connection', other.uri(), '--json']);
    refused(mixed, 'data-directory', 1);

    const document = readFileSync(site.object('cluster.json'));
    const next = site.run([...words, '--new-incarnation']);
    assert.equal(next.status, 0, next.stderr);
    assert.equal((next.json() as { incarnation: { number: number } }).incarnation.number, 2);
    isWhole();
    // Back again is another cluster, too.
    writeFileSync(site.configFile, config);
    refused(site.run(['init', 'main', '--json']), 'cluster-mismatch', 1);
    refused(site.run(['backup', 'main', '--json']), 'cluster-mismatch', 1);
    writeFileSync(site.object('cluster.json'), document);
    isWhole();
  });

  it('tells a role without rights what it lacks', () => {
    const env = { PGRECALL_CONNECTION: server.uri().replace('user=postgres', 'user=plain') };
    const { hint } = refused(site.run(['backup', 'main', '--json'], { env }), 'server-rights', 1);
    assert.match(hint ?? '', /GRANT EXECUTE ON FUNCTION pg_backup_start/);
    const checked = site.run(['check', 'main', '--json'], { env });
    assert.equal(checked.status, 1, checked.stderr);
    const { findings } = checked.json() as { findings: { name: string; status: string; remedy?: string }[] };
    const rights = findings.find(({ name }) => name === 'rights to check');
    assert.equal(rights?.status, 'problem');
    assert.match(rights.remedy ?? '', /GRANT EXECUTE ON FUNCTION pg_switch_wal\(\), .* TO plain/);
    isWhole();
  });

  it('cannot be set by a role without rights, which is told the statements', async () => {
    {
      await using session = await server.session();
      await session.query('ALTER SYSTEM RESET archive_command');
      await session.query('SELECT pg_reload_conf()');
    }
    const env = { PGRECALL_CONNECTION: server.uri().replace('user=postgres', 'user=plain') };
    const config = readFileSync(site.configFile, 'utf8');
    const { hint } = refused(site.run(['init', 'main', '--apply', '--json'], { env }), 'server-rights', 1);
    assert.match(hint ?? '', /ALTER SYSTEM SET archive_command = '.*archive-command "%p" "%f"'; SELECT pg_reload_conf/);
    writeFileSync(site.configFile, config);
    assert.equal(site.run(['init', 'main', '--apply']).status, 0);
    isWhole();
  });

  it('misses a repository that is gone, instead of making another in its place', () => {
    const away = `${site.repository}.away`;
    renameSync(site.repository, away);
    mkdirSync(site.repository);
    try {
      const { hint } = refused(site.run(['init', 'main', '--json']), 'repository-missing', 2);
      assert.match(hint ?? '', /is its disk mounted\?.* --repository/);
      assert.deepEqual(readdirSync(site.repository), [], 'nothing was written where its disk belongs');
    } finally {
      rmSync(site.repository, { recursive: true });
      renameSync(away, site.repository);
    }
    isWhole();
  });

  it('refuses to restore over what is there', () => {
    const directory = join(site.directory, 'target');
    mkdirSync(directory);
    writeFileSync(join(directory, 'PG_VERSION'), '15\n');
    const { details } = refused(site.run(['restore', 'main', '--to', directory, '--json']), 'target-not-empty', 2);
    assert.deepEqual(details, { path: directory, found: ['PG_VERSION'] });
    assert.equal(readFileSync(join(directory, 'PG_VERSION'), 'utf8'), '15\n');
    refused(site.run(['restore', 'main', '--to', server.dataDirectory, '--json']), 'target-not-empty', 2);
    refused(
      site.run(['init', 'other', '--connection', server.uri(), '--repository', directory, '--json']),
      'target-not-empty',
      2,
    );
    const inside = join(server.dataDirectory, 'backup');
    refused(site.run(['init', 'other', '--connection', server.uri(), '--repository', inside, '--json']), 'usage', 2);
  });

  it('names the nearest of clusters, backups and options', () => {
    assert.match(refused(site.run(['list', 'mian', '--json']), 'cluster-unknown', 2).hint ?? '', /did you mean "main"/);
    refused(site.run(['show', 'main', '1999', '--json']), 'backup-unknown', 2);
    assert.equal(refused(site.run(['list', '--jsno', '--json']), 'usage', 2).hint, 'did you mean "--json"?');
    refused(site.run(['backup', 'main', '--json'], { env: { PGRECALL_JOB: '1' } }), 'usage', 2);
    refused(site.run(['backup', 'main', '--jobs', 'many', '--json']), 'config-invalid', 2);
  });

  it('is listed also where another one of the configuration cannot be', () => {
    withConfig(
      (text) => `${text}\n[clusters.later]\nconnection = "host=/nowhere"\nrepository = "${site.directory}/absent"\n`,
      () => {
        const list = site.run(['list', '--json']);
        assert.equal(list.status, 2);
        const [main, later] = list.json() as { cluster: string; backups?: unknown[]; error?: { code: string } }[];
        assert.equal(main?.backups?.length, 1);
        assert.equal(later?.error?.code, 'repository-missing');
      },
    );
    withConfig(
      () => 'repository = "/backup"\n',
      () => {
        assert.deepEqual(site.run(['list', '--json']).json(), []);
        refused(site.run(['check', '--json']), 'cluster-unknown', 2);
      },
    );
  });

  it('ends in good order when it is interrupted', async () => {
    const script = join(site.directory, 'pgrecall-state', 'main', 'archive-command');
    writeFileSync(script, '#!/bin/sh\nexit 1\n');
    const child = site.start(['check', 'main', '--json']);
    const ended = once(child, 'close');
    let [stdout, stderr] = ['', ''];
    child.stdout?.on('data', (text: Buffer) => (stdout += text.toString()));
    child.stderr?.on('data', (text: Buffer) => {
      stderr += text.toString();
      // Once: a second one would end it in whatever order.
      if (stderr.endsWith('to reach the repository\n')) child.kill('SIGTERM');
    });
    await ended;
    assert.equal(child.exitCode, 1, stdout + stderr);
    assert.equal((JSON.parse(stdout) as Refusal).error.code, 'cancelled');
    assert.match(stderr, /error\[cancelled\]: interrupted by SIGTERM/);
    const mended = site.run(['init', 'main']);
    assert.match(mended.stdout, /archive script .* written/);
    const checked = site.run(['check', 'main', '--timeout', '240']);
    assert.equal(checked.status, 0, checked.stdout);
    isWhole();
  });

  it('says that the server is gone, and still lists what there is', async () => {
    await server.stop();
    try {
      for (const words of [
        ['backup', 'main'],
        ['check', 'main'],
        ['init', 'main'],
      ]) {
        const { hint, details } = refused(site.run([...words, '--json']), 'connection', 1);
        assert.match(hint ?? '', /is the server running/);
        assert.equal(details['port'], 5432);
      }
      isWhole();
    } finally {
      await server.start();
    }
  });
});

describe('a password in a connection', () => {
  it('is seen in no message, no document and no list of processes', async () => {
    using site = new CommandSite();
    const silent = createServer();
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as { port: number };
    const connection = `postgresql://backup:hunter2@127.0.0.1:${port}/postgres`;
    const child = site.start(['init', 'main', '--connection', connection, '--repository', site.repository, '--json']);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => (said += text.toString()));
    await once(silent, 'connection');
    assert.ok(!readFileSync(`/proc/${child.pid}/cmdline`, 'utf8').includes('hunter2'), 'the process shows it');
    const ended = once(child, 'close');
    child.kill('SIGTERM');
    await ended;
    assert.equal(child.exitCode, 1);
    assert.match(said, /"code": "cancelled"/);
    silent.close();
    const down = site.run(['init', 'main', '--connection', connection, '--repository', site.repository, '--json']);
    refused(down, 'connection', 1);
    assert.ok(!`${said}${down.stdout}${down.stderr}`.includes('hunter2'));
  });
});
