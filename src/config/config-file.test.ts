import assert from 'node:assert/strict';
import { chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { configCandidates, findConfigFile, parseToml, readConfigFile } from './config-file.ts';

const root = mkdtempSync(join(tmpdir(), 'pgrecall-config-'));
after(() => rmSync(root, { recursive: true }));
const place = (name: string): { cwd: string; home: string } => {
  const found = { cwd: join(root, name, 'work'), home: join(root, name, 'home') };
  for (const directory of Object.values(found)) mkdirSync(directory, { recursive: true });
  return found;
};
const write = (path: string): string => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '');
  return path;
};

test('the file that is named wins, then the environment’s, the working directory’s, the user’s', () => {
  const at = place('order');
  const [here, own] = [write(join(at.cwd, 'pgrecall.toml')), write(join(at.home, '.config/pgrecall/pgrecall.toml'))];
  assert.deepEqual(configCandidates(at), [here, own, '/etc/pgrecall/pgrecall.toml']);
  const env = { PGRECALL_CONFIG: 'other.toml' };
  assert.equal(findConfigFile({ ...at, env, file: 'named.toml' }), join(at.cwd, 'named.toml'));
  assert.equal(findConfigFile({ ...at, env }), join(at.cwd, 'other.toml'));
  assert.equal(findConfigFile({ ...at, env: { PGRECALL_CONFIG: '' } }), here);
  assert.equal(findConfigFile({ ...at, env: {} }), here);
  assert.equal(findConfigFile({ ...at, cwd: root, env: {} }), own);
});

test('root does not follow a configuration that another user left in the working directory', (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root can give a file away');
  const at = place('foreign');
  const file = write(join(at.cwd, 'pgrecall.toml'));
  chownSync(file, 65_534, 65_534);
  assert.throws(
    () => findConfigFile({ ...at, env: {} }),
    (error) => hasCode(error, 'config-invalid') && error.hint?.includes(`--config ${file}`) === true,
  );
  assert.equal(findConfigFile({ ...at, env: {}, file }), file);
});

test('an error in the file names the line, and shows nothing of it', () => {
  const text = 'repository = "/backup"\n[clusters.main]\nconnection = "postgresql://u:hunter2@h/db\n';
  assert.throws(
    () => parseToml(text, '/etc/pgrecall/pgrecall.toml'),
    (error) => {
      assert.ok(hasCode(error, 'config-invalid'));
      assert.match(error.message, /line 3, column \d+/);
      assert.ok(!JSON.stringify([error.message, error.hint, error.details, String(error.cause)]).includes('hunter2'));
      return true;
    },
  );
});

test('a file that is not there, or no file, says so', () => {
  assert.throws(
    () => readConfigFile(join(root, 'absent.toml')),
    (error) => hasCode(error, 'config-missing'),
  );
  assert.throws(
    () => readConfigFile(root),
    (error) => hasCode(error, 'config-invalid'),
  );
});
