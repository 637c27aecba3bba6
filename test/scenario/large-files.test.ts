import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { BackupRig, checkWith } from '../support/backup-rig.ts';
import { giveToServer } from '../support/server-user.ts';

/* Files of more than 1 GiB. They are holes for the most part, which read as zeros and take no space. */

const gibibyte = 1_073_741_824;
const blockBytes = 8192;

/** A file with something at its start, across 1 GiB and at its end, and zeros between. */
function writeSparse(path: string, sizeBytes: number): void {
  const descriptor = openSync(path, 'wx', 0o600);
  try {
    for (const offset of [0, gibibyte - 300_000, sizeBytes - 600_000]) {
      writeSync(descriptor, Buffer.alloc(600_000, `what lies at ${offset} `), 0, 600_000, offset);
    }
  } finally {
    closeSync(descriptor);
  }
  giveToServer(path);
  assert.equal(statSync(path).size, sizeBytes);
}

/**
 * A relation in two files: PostgreSQL begins another one after 1 GiB. Its first file is made as long as it gets; the
 * server takes the pages that came for unused ones, and goes on behind them. Gives the path of the first file.
 */
async function makeLargeRelation(session: SqlSession): Promise<string> {
  await session.query('CREATE TABLE large AS SELECT i, md5(i::text) AS v FROM generate_series(1, 100) i');
  await session.query('CHECKPOINT');
  const [row] = await session.query<{ path: string }>(
    `SELECT current_setting('data_directory') || '/' || pg_relation_filepath('large') AS path`,
  );
  const { path = '' } = row ?? {};
  truncateSync(path, gibibyte);
  await session.query('INSERT INTO large SELECT i, md5(i::text) FROM generate_series(101, 20000) i');
  assert.ok(statSync(`${path}.1`).size > 50 * blockBytes);
  return path;
}

async function contentOf(session: SqlSession): Promise<unknown> {
  const [row] = await session.query(
    `SELECT count(*)::int, md5(string_agg(v, ',' ORDER BY i)), min(ctid)::text AS first, max(ctid)::text AS last
       FROM large WHERE v = md5(i::text)`,
  );
  return row;
}

it('a relation and another file of more than 1 GiB are backed up and restored byte for byte', async () => {
  await using rig = await BackupRig.create({ major: 15, walSegmentMiB: 1, settings: { autovacuum: 'off' } });
  const { dataDirectory } = rig.cluster;
  await using session = await rig.cluster.session();
  const relation = (await makeLargeRelation(session)).slice(dataDirectory.length + 1);
  const content = await contentOf(session);
  // Whoever reads first writes hints into the pages; after this they stay as they are.
  await session.query('CHECKPOINT');
  mkdirSync(join(dataDirectory, 'extension'), { mode: 0o700 });
  giveToServer(join(dataDirectory, 'extension'));
  writeSparse(join(dataDirectory, 'extension', 'large'), gibibyte + 5_000_001);

  const backup = await rig.backUp();
  assert.deepEqual([backup.badPages, backup.warnings], [[], []]);
  assert.ok(backup.sizeBytes > 2 * gibibyte && backup.storedBytes < 0.05 * gibibyte, String(backup.storedBytes));

  const directory = await rig.restore(await rig.plan({ targetImmediate: true, targetAction: 'promote' }));
  for (const path of [relation, `${relation}.1`, 'extension/large']) {
    execFileSync('cmp', [join(dataDirectory, path), join(directory, path)], { stdio: 'pipe' });
  }
  checkWith(15, 'pg_verifybackup', [directory]);
  const restored = await rig.start(directory);
  await using other = await restored.session();
  assert.deepEqual(await contentOf(other), content);
});
