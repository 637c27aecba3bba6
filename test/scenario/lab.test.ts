import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SqlSession } from '../../src/connection/sql-session.ts';
import type { PlayReport } from '../../src/demo/play.ts';
import { PlayPlace } from '../support/play-place.ts';

for (const { lab, copies, commands } of [
  {
    lab: 'sql-dump',
    copies: ['backupscript', 'backuptar'],
    commands: [/^pgrecall dump .*--format plain/, /^pgrecall dump .*--format tar/, /^pgrecall load .* backuptar$/],
  },
  {
    lab: 'parallel-dump',
    copies: ['paralleltest'],
    commands: [/^pgrecall dump .*--format directory --jobs 4$/, /^pgrecall load .*--jobs 4$/],
  },
]) {
  test(`the practice ${lab} proves that every row has come back, and leaves nothing behind`, async () => {
    using place = new PlayPlace();
    const report = await place.report<PlayReport>('lab', lab);
    assert.equal(report.proof.holds, true);
    const found = Object.fromEntries(report.proof.checks.map((check) => [check.name, check.found]));
    for (const copy of copies) {
      assert.equal(found[`${copy}: tables equal in every row`], 15);
      assert.equal(found[`${copy}: keys and checks equal`], 37);
      assert.equal(found[`${copy}: anything that the original has not`], 0);
    }
    const typed = report.steps.flatMap((step) => step.actions.map((action) => action.command));
    for (const pattern of commands) {
      assert.ok(
        typed.some((command) => pattern.test(command)),
        String(pattern),
      );
    }
    assert.equal(report.kept, false);
    assert.deepEqual(readdirSync(place.directory), []);
    assert.deepEqual(place.processes(), []);
  });
}

test('a copy in which somebody changed a row and dropped an index is not what was dumped: the practice says where, and exit 1', async () => {
  using place = new PlayPlace();
  let changed: Promise<void> | undefined;
  const { exitStatus, stdout, stderr } = await place.play(['lab', 'sql-dump'], (_running, soFar) => {
    if (/^ 7\. /m.test(soFar)) changed ??= change(place.directory);
  });
  await changed;
  assert.ok(changed);
  assert.equal(exitStatus, 1, stderr);
  assert.match(stderr, /the proof does not hold; everything is kept in/);
  assert.match(stdout, /^ +payment +14596 +OTHERS: 14595 rows +the same$/m);
  assert.match(stdout, /^ +backupscript: payment +14596 rows +14595 rows, other content +WRONG$/m);
  assert.match(stdout, /^ +backupscript: indexes equal +32 +31 +WRONG$/m);
  assert.match(stdout, /^ +backuptar: tables equal in every row +15 +15 +ok$/m);
  const [directory = ''] = readdirSync(place.directory);
  assert.ok(existsSync(join(place.directory, directory, 'data', 'PG_VERSION')));
  assert.deepEqual(place.processes(), []);
});

/** While the tar archive is loaded, in what was loaded from the script. */
async function change(parent: string): Promise<void> {
  const [directory = ''] = readdirSync(parent);
  await using session = await SqlSession.connect(`host=${join(parent, directory)} dbname=backupscript user=postgres`, {
    applicationName: 'somebody',
  });
  await session.query('DELETE FROM payment WHERE payment_id = (SELECT min(payment_id) FROM payment)');
  await session.query('DROP INDEX idx_title');
}

test('a practice that there is not is refused, with the one that was probably meant', async () => {
  using place = new PlayPlace();
  const { exitStatus, stderr } = await place.play(['lab', 'sqldump']);
  assert.equal(exitStatus, 2);
  assert.match(stderr, /unknown lab "sqldump"/);
  assert.match(stderr, /did you mean "sql-dump"\?/);
});
