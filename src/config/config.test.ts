import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { hasCode, type PgrecallError } from '../errors/pgrecall-error.ts';
import { parseToml } from './config-file.ts';
import { configFrom, defaultStateDirectory, loadConfig, type Config } from './config.ts';
import { camelCase, definitionsFor } from './options.ts';

const file = '/etc/pgrecall/pgrecall.toml';
const world = { cwd: '/srv', home: '/home/admin' };

function config(text: string, env: NodeJS.ProcessEnv = {}, flags: Record<string, unknown> = {}): Config {
  return configFrom(file, parseToml(text, file), { ...world, env, flags });
}

function refusal(text: string, env: NodeJS.ProcessEnv = {}): PgrecallError {
  try {
    config(text, env).cluster();
  } catch (error) {
    if (hasCode(error, 'config-invalid', 'config-unknown-key', 'cluster-unknown')) return error;
    throw error;
  }
  throw new Error('it was taken');
}

const whole = `
repository = "/backup"
passphrase_file = "passphrase"
jobs = 3
[clusters.main]
connection = "postgresql:///postgres?host=/run/postgresql"
data_directory = "/var/lib/postgresql/15/main"
pg_bin = "/usr/lib/postgresql/15/bin"
slot = "backup"
[clusters.reports]
connection = "host=/run/postgresql port=5433"
repository = "../reports"
state_directory = "/srv/state"
`;

describe('the configuration', () => {
  it('has a table for each cluster, which wins over the top of the file', () => {
    const { clusters } = config(whole);
    const main = clusters.get('main');
    assert.equal(main?.repositoryDirectory, '/backup');
    assert.equal(main.dataDirectory, '/var/lib/postgresql/15/main');
    assert.equal(main.pgBin, '/usr/lib/postgresql/15/bin');
    assert.equal(main.slot, 'backup');
    assert.equal(main.jobs, 3);
    assert.equal(main.stateDirectory, '/var/lib/pgrecall/main');
    assert.deepEqual(main.passphraseSource, { kind: 'file', path: '/etc/pgrecall/passphrase' });
    const reports = clusters.get('reports');
    assert.equal(reports?.repositoryDirectory, '/etc/reports', 'relative to the file');
    assert.equal(reports.stateDirectory, '/srv/state/reports');
    assert.equal(reports.dataDirectory, undefined);
  });

  it('gives way to the environment, and that to the command line', () => {
    const env = { PGRECALL_REPOSITORY: 'elsewhere', PGRECALL_JOBS: '5', PGRECALL_SLOT: '' };
    const main = config(whole, env, { jobs: '7', keep: true }).cluster('main');
    assert.equal(main.repositoryDirectory, '/srv/elsewhere', 'relative to the working directory');
    assert.equal(main.jobs, 7);
    assert.equal(main.slot, 'backup', 'an empty variable says nothing');
    const flags = { dataDirectory: 'data', connection: 'host=other' };
    const flagged = config(whole, env, flags).cluster('main');
    assert.equal(flagged.dataDirectory, '/srv/data');
    assert.equal(flagged.connection, 'host=other');
  });

  it('takes the passphrase from the environment before the file, and the file before the command', () => {
    const text = whole.replace('jobs = 3', 'passphrase_command = "pass show backup"');
    assert.deepEqual(config(text, { PGRECALL_PASSPHRASE: 'x' }).cluster('main').passphraseSource, {
      kind: 'environment',
      text: 'x',
    });
    assert.equal(config(text).cluster('main').passphraseSource.kind, 'file');
    assert.deepEqual(config(text.replace(/passphrase_file.*/, '')).cluster('main').passphraseSource, {
      kind: 'command',
      command: 'pass show backup',
    });
    const none = 'repository = "/b"\n[clusters.a]\nconnection = "host=x"';
    assert.deepEqual(config(none).cluster().passphraseSource, { kind: 'none' });
  });

  it('names the nearest known key for each one mistyped', () => {
    for (const scope of ['top', 'cluster'] as const) {
      for (const { name } of definitionsFor(scope)) {
        for (const mistyped of [`${name}s`, name.slice(1), name.replace(/(.)(.)$/, '$2$1')]) {
          if (definitionsFor(scope).some((known) => known.name === mistyped)) continue;
          const table = scope === 'top' ? '' : '[clusters.main]\n';
          const error = refusal(`${table}${mistyped} = "x"`);
          assert.equal(error.code, 'config-unknown-key');
          assert.equal(error.details['nearest'], name, `${mistyped} in ${scope}`);
          assert.equal(error.exitStatus, 2);
        }
      }
    }
  });

  it('says where a known key belongs that stands in the wrong place', () => {
    assert.match(refusal('connection = "host=x"').hint ?? '', /belongs into a \[clusters\.<name>\] table/);
    assert.match(refusal('[cluster.main]\nconnection = "host=x"').hint ?? '', /did you mean "clusters"/);
    assert.match(refusal('retention = 7').hint ?? '', /known keys: repository/);
  });

  it('refuses values that cannot be meant', () => {
    const main = (line: string): string => `repository = "/b"\n[clusters.main]\nconnection = "host=x"\n${line}`;
    for (const [text, expected] of [
      [main('data_directory = 5'), /data_directory is not a text/],
      [main('data_directory = ""'), /data_directory is empty/],
      [main('data_directory = "~/data"'), /begins with ~/],
      [main('jobs = 0'), /jobs is "0"; expected a whole number from 1 to 256/],
      [main('jobs = true'), /jobs is not a number/],
      [main('slot = ["a"]'), /slot is not a text/],
      ['repository = "/b"\nclusters = 3', /clusters is not a table/],
      ['repository = "/b"\n[clusters]\nmain = "x"', /clusters\.main is not a table/],
      ['repository = "/b"\n[clusters.Main]\nconnection = "host=x"', /"Main" cannot be the name of a cluster/],
      ['repository = "/b"\n[clusters.main]', /clusters\.main has no connection/],
      ['[clusters.main]\nconnection = "host=x"', /there is no repository for clusters\.main/],
    ] as const) {
      assert.match(refusal(text).message, expected);
    }
    assert.match(refusal(main(''), { PGRECALL_JOBS: 'many' }).message, /jobs is "many"/);
  });

  it('takes the only cluster where none is named, and says which there are otherwise', () => {
    assert.equal(config('repository = "/b"\n[clusters.only]\nconnection = "host=x"').cluster().name, 'only');
    assert.equal(refusal(whole).code, 'cluster-unknown');
    assert.match(refusal('repository = "/b"').hint ?? '', /pgrecall init/);
    assert.throws(
      () => config(whole).cluster('mian'),
      (error) => hasCode(error, 'cluster-unknown') && error.details['nearest'] === 'main',
    );
  });

  it('keeps state where every user of the same file finds it', () => {
    assert.equal(defaultStateDirectory('/etc/pgrecall/pgrecall.toml'), '/var/lib/pgrecall');
    assert.equal(defaultStateDirectory('/home/a/.config/pgrecall/pgrecall.toml'), '/home/a/.local/state/pgrecall');
    assert.equal(defaultStateDirectory('/srv/pg/pgrecall.toml'), '/srv/pg/pgrecall-state');
  });

  it('is read from its file, or says where it was looked for', (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'pgrecall-load-'));
    t.after(() => rmSync(directory, { recursive: true }));
    writeFileSync(join(directory, 'pgrecall.toml'), whole);
    const search = { cwd: directory, home: directory, env: {} };
    assert.deepEqual([...loadConfig(search).clusters.keys()], ['main', 'reports']);
    assert.throws(
      () => loadConfig({ ...search, file: 'absent.toml' }),
      (error) => hasCode(error, 'config-missing'),
    );
  });

  it('has options of the command line in the words that JavaScript has for them', () => {
    assert.equal(camelCase('data_directory'), 'dataDirectory');
    assert.equal(camelCase('target-time'), 'targetTime');
    assert.equal(camelCase('jobs'), 'jobs');
  });
});
