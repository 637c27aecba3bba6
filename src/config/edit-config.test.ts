import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../errors/pgrecall-error.ts';
import { parseToml } from './config-file.ts';
import { defaultConfigFile, readConfigText, withCluster, writeConfig } from './edit-config.ts';

const file = 'pgrecall.toml';
const entry = { connection: 'host=/run/postgresql', repository: '/backup' };

test('a new file says what it is', () => {
  const text = withCluster(undefined, file, 'main', entry);
  assert.match(text, /^# Configuration of pgrecall/);
  assert.deepEqual(structuredClone(parseToml(text, file)), { clusters: { main: entry } });
});

const written = `# ours
repository = "/b" # the big disk

[clusters.main] # production
# do not touch
connection = "host=a"
data_directory = "/data"   # on the fast disk


[clusters.other]
connection = "host=b"
`;

test('a cluster is added behind what is there', () => {
  assert.equal(
    withCluster(written, file, 'third', { connection: 'host=c' }),
    `${written}\n[clusters.third]\nconnection = "host=c"\n`,
  );
});

test('a value changes in its own line; comments and other lines stay', () => {
  assert.equal(
    withCluster(written, file, 'main', { connection: 'host=z', pg_bin: '/bin' }),
    written
      .replace('connection = "host=a"', 'connection = "host=z"')
      .replace('# on the fast disk\n', '# on the fast disk\npg_bin = "/bin"\n'),
  );
  assert.equal(withCluster(written, file, 'other', { repository: '/c' }), `${written.trimEnd()}\nrepository = "/c"\n`);
});

test('nothing to change changes nothing', () => {
  assert.equal(withCluster(written, file, 'main', {}), written);
  assert.equal(withCluster(written, file, 'main', { connection: 'host=a' }), written);
});

test('a file that is written in another way is left to who wrote it', () => {
  for (const text of [
    'clusters = { main = { connection = "host=a" } }\n',
    '[clusters]\nmain.connection = "host=a"\n',
    '[clusters.main]\nconnection = """\n[x]\nconnection = 1"""\n',
  ]) {
    assert.throws(
      () => withCluster(text, file, 'main', { connection: 'host=z', pg_bin: '/bin' }),
      (error) => hasCode(error, 'config-invalid') && /pg_bin = "\/bin"/.test(error.hint ?? ''),
      text,
    );
  }
});

test('any text comes back as it was given', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (connection, repository) => {
      const added = withCluster(written, file, 'new', { connection, repository });
      const again = withCluster(added, file, 'new', { connection: repository, data_directory: connection });
      const { clusters } = parseToml(again, file) as { clusters: Record<string, Record<string, string>> };
      assert.deepEqual({ ...clusters['new'] }, { connection: repository, repository, data_directory: connection });
    }),
  );
});

test('it is written whole, through a link, with no more rights than asked for', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'pgrecall-edit-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'new', 'pgrecall.toml');
  assert.equal(readConfigText(path), undefined);
  writeConfig(path, 'a = 1\n', { mode: 0o644, gid: undefined });
  assert.equal(readConfigText(path), 'a = 1\n');
  assert.equal(statSync(path).mode & 0o777, 0o644);
  mkdirSync(join(directory, 'link'));
  const link = join(directory, 'link', 'pgrecall.toml');
  symlinkSync(path, link);
  writeConfig(link, 'a = 2\n', { mode: 0o600, gid: undefined });
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.equal(readFileSync(path, 'utf8'), 'a = 2\n');
  assert.equal(statSync(path).mode & 0o777, 0o600, 'a password came in');
  writeConfig(path, 'a = 3\n', { mode: 0o644, gid: undefined });
  assert.equal(statSync(path).mode & 0o777, 0o600, 'and what was closed stays closed');
});

test('root’s configuration is the machine’s, anyone else’s is their own', () => {
  assert.equal(defaultConfigFile({ uid: 0, home: '/root' }), '/etc/pgrecall/pgrecall.toml');
  assert.equal(defaultConfigFile({ uid: 26, home: '/var/lib/pgsql' }), '/var/lib/pgsql/.config/pgrecall/pgrecall.toml');
});
