import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { findConfiguration, findDebianCluster } from './find-configuration.ts';

let root: string;
let data: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'pgr-conf-'));
  data = join(root, 'data');
  mkdirSync(data);
});
afterEach(() => rmSync(root, { recursive: true }));

function write(path: string, text: string): string {
  const whole = join(root, path);
  mkdirSync(dirname(whole), { recursive: true });
  writeFileSync(whole, text);
  return whole;
}

const env = (): NodeJS.ProcessEnv => ({ PG_CLUSTER_CONF_ROOT: join(root, 'etc') });

/** As pg_createcluster makes it. */
function debian(dataDirectory = data): string {
  const main = write(
    'etc/15/main/postgresql.conf',
    [
      `data_directory = '${dataDirectory}'\t\t# use data in another directory`,
      `hba_file = '${join(root, 'etc/15/main/pg_hba.conf')}'`,
      `ident_file = '${join(root, 'etc/15/main/pg_ident.conf')}'`,
      "include_dir = 'conf.d'",
      "include_if_exists 'absent.conf'",
      '',
    ].join('\n'),
  );
  write('etc/15/main/conf.d/b.conf', "include '../../shared.conf'\n");
  write('etc/15/main/conf.d/a.conf', 'work_mem = 1MB\n');
  write('etc/15/main/conf.d/.hidden.conf', 'port = 1\n');
  write('etc/15/main/conf.d/note.txt', 'port = 1\n');
  write('etc/15/shared.conf', "include 'main/postgresql.conf'\n");
  return main;
}

describe('the configuration of a stopped cluster', () => {
  it('lies in the data directory, unless something else is known', () => {
    assert.equal(findConfiguration(data, env()), undefined);
    const main = write('data/postgresql.conf', 'port = 5432\n');
    const found = findConfiguration(data, env());
    assert.deepEqual(found?.settingsFiles, [main]);
    assert.deepEqual(found?.files, {
      'postgresql.conf': main,
      'pg_hba.conf': join(data, 'pg_hba.conf'),
      'pg_ident.conf': join(data, 'pg_ident.conf'),
    });
  });

  it('lies where Debian keeps it', () => {
    const main = debian();
    const found = findConfiguration(data, env());
    assert.equal(found?.files['postgresql.conf'], main);
    assert.equal(found?.files['pg_hba.conf'], join(root, 'etc/15/main/pg_hba.conf'));
    assert.deepEqual(
      found?.settingsFiles.map((path) => path.slice(root.length + 1)),
      ['etc/15/main/postgresql.conf', 'etc/15/main/conf.d/a.conf', 'etc/15/main/conf.d/b.conf', 'etc/15/shared.conf'],
    );
  });

  it('lies where the last start took it from', () => {
    debian();
    const main = write('elsewhere/my.conf', "hba_file = '/hba'\n");
    write('data/postmaster.opts', `/bin/postgres "-D" "${data}" "-c" "config_file=${main}" "-c" "hba_file=/other"\n`);
    const found = findConfiguration(data, env());
    assert.deepEqual([found?.files['postgresql.conf'], found?.files['pg_hba.conf']], [main, '/other']);
    const directory = dirname(write('conf/postgresql.conf', `data_directory = '${data}'\n`));
    write('data/postmaster.opts', `/bin/postgres "-D" "${directory}"\n`);
    assert.equal(findConfiguration(data, env())?.files['pg_ident.conf'], join(directory, 'pg_ident.conf'));
  });

  it('is found through links', () => {
    symlinkSync(data, join(root, 'link'));
    debian(join(root, 'link'));
    assert.deepEqual(findDebianCluster(data, env()), {
      version: '15',
      name: 'main',
      directory: join(root, 'etc/15/main'),
    });
    assert.equal(findDebianCluster(root, env()), undefined);
  });
});
