import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { removeForeignConfiguration } from './foreign-configuration.ts';

test('a setting that was taken out since the backup does not come back with it', () => {
  const root = mkdtempSync(join(tmpdir(), 'pgrecall-foreign-'));
  try {
    const [directory, kept] = [join(root, 'data'), join(root, 'kept')];
    const brought = ['postgresql.conf', 'postgresql.auto.conf', 'pg_hba.conf', 'old.conf', 'PG_VERSION'];
    for (const folder of ['data/conf.d', 'kept/conf.d']) mkdirSync(join(root, folder), { recursive: true });
    for (const name of [...brought, 'conf.d/a.conf', 'conf.d/removed.conf']) writeFileSync(join(directory, name), '');
    for (const name of ['pg_hba.conf', 'conf.d/a.conf']) writeFileSync(join(kept, name), '');
    symlinkSync('/etc/postgresql.conf', join(kept, 'postgresql.conf'));
    removeForeignConfiguration(directory, kept);
    const left = ['PG_VERSION', 'conf.d', 'pg_hba.conf', 'postgresql.auto.conf', 'postgresql.conf'];
    assert.deepEqual(readdirSync(directory).toSorted(), left);
    assert.deepEqual(readdirSync(join(directory, 'conf.d')), ['a.conf']);
    rmSync(join(kept, 'conf.d'), { recursive: true });
    removeForeignConfiguration(directory, kept);
    assert.ok(!readdirSync(directory).includes('conf.d'));
  } finally {
    rmSync(root, { recursive: true });
  }
});
