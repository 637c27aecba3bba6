import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import type { PlayReport } from '../../src/demo/play.ts';
import { PlayPlace } from '../support/play-place.ts';

test('the practice pitr brings the cluster back in its own place, and leaves nothing behind', async () => {
  using place = new PlayPlace();
  const report = await place.report<PlayReport>('lab', 'pitr');
  assert.equal(report.proof.holds, true);
  const typed = report.steps.flatMap((step) => step.actions.map((action) => action.command));
  for (const pattern of [/--plan$/, /--pause$/, /--continue --yes$/, /--forget$/]) {
    assert.ok(
      typed.some((command) => command.startsWith('pgrecall recover ') && pattern.test(command)),
      String(pattern),
    );
  }
  assert.equal(report.kept, false);
  assert.deepEqual(readdirSync(place.directory), []);
  assert.deepEqual(place.processes(), []);
});
