import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isMade, planMade, removeMade } from './made-tablespaces.ts';

test('a place of a tablespace that was empty before is empty again, and one that was not there is gone', () => {
  const root = mkdtempSync(join(tmpdir(), 'pgrecall-made-'));
  try {
    const [empty, absent] = [join(root, 'empty'), join(root, 'absent')];
    mkdirSync(join(empty, 'lost+found'), { recursive: true });
    const made = planMade([empty, absent], 'PG_15_1');
    for (const place of [empty, absent]) {
      mkdirSync(join(place, 'PG_15_1', '5'), { recursive: true });
      writeFileSync(join(place, 'PG_15_1', '5', '16384'), 'new');
      assert.ok(isMade(made, place, 'PG_15_1'));
    }
    assert.ok(!isMade(made, join(root, 'another'), 'PG_15_1'));
    removeMade(made);
    removeMade(made);
    assert.deepEqual(readdirSync(empty), ['lost+found']);
    assert.ok(!existsSync(absent));
  } finally {
    rmSync(root, { recursive: true });
  }
});
