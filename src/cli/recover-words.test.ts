import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ClusterConfig } from '../config/config.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { readRecoverWords, recoveredDirectory } from './recover-words.ts';

function read(options: Record<string, string | boolean>): ReturnType<typeof readRecoverWords> {
  return readRecoverWords({ positional: { cluster: 'main' }, options, rest: [] });
}

test('what is gone on with takes no word that it would pass over', () => {
  assert.equal(read({ undo: true, yes: true }).action, 'undo');
  assert.equal(read({ continue: true, pause: true, timeout: '5' }).action, 'continue');
  const refused: readonly [string, string | boolean][] = [
    ['plan', true],
    ['delta', true],
    ['ignoreStandbys', true],
    ['port', '5433'],
  ];
  for (const [name, value] of refused) {
    for (const action of ['continue', 'undo', 'forget', 'status']) {
      const isUsage = (error: unknown): boolean => hasCode(error, 'usage') && /exclude/.test(String(error));
      assert.throws(() => read({ [action]: true, [name]: value }), isUsage, `--${action} --${name}`);
    }
  }
  assert.throws(() => read({ continue: true, backup: 'latest' }), /--continue takes --backup only with a target/);
  assert.throws(() => read({ undo: true, targetTime: '2026-01-01' }), /--undo takes no target/);
});

test('a data directory that links lead to is found by its real name, also while it lies aside', () => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'pgrecall-words-')));
  try {
    mkdirSync(join(root, 'disk', 'main'), { recursive: true });
    symlinkSync('disk', join(root, 'alias'));
    symlinkSync('alias/main', join(root, 'data'));
    const found = (): string =>
      recoveredDirectory({ name: 'main', dataDirectory: join(root, 'data') } as ClusterConfig);
    assert.equal(found(), join(root, 'disk', 'main'));
    renameSync(join(root, 'disk', 'main'), join(root, 'disk', 'aside'));
    assert.equal(found(), join(root, 'disk', 'main'));
  } finally {
    rmSync(root, { recursive: true });
  }
});
