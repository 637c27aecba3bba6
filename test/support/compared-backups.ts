import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseLsn } from '../../src/postgres/lsn.ts';
import { pageBytes, readPageLsn } from '../../src/postgres/page.ts';
import { parseRelationPath } from '../../src/postgres/relation-file.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { checkWith, type BackupChanges, type BackupRig } from './backup-rig.ts';
import type { TestCluster } from './cluster.ts';
import { readBackup } from './made-up-backup.ts';

/* Backups of real clusters beside others of the same moment, and what is restored of them beside the cluster. */

/**
 * Pages that were changed since the backup began are WAL's to replace. Those of the same LSN differ in hint bits at most,
 * which nobody need log.
 */
export async function comparePages(rig: BackupRig, record: BackupRecord, independent: BackupRecord): Promise<void> {
  const found = await readBackup(rig.clusterRepository, record.id);
  const expected = await readBackup(rig.clusterRepository, independent.id);
  const startLsn = parseLsn(record.startLsn);
  let compared = 0;
  for (const [path, content] of expected) {
    const relation = parseRelationPath(path);
    if (!Buffer.isBuffer(content) || !relation || relation.fork === 'fsm') continue;
    const other = found.get(path);
    assert.ok(Buffer.isBuffer(other), `${record.id} has no ${path}`);
    for (let at = 0; at < content.length; at += pageBytes) {
      const page = content.subarray(at, at + pageBytes);
      const ours: Buffer = other.subarray(at, at + pageBytes);
      if (ours.equals(page)) compared += 1;
      else if (readPageLsn(page) < startLsn && page.some((byte) => byte !== 0)) {
        assert.equal(readPageLsn(ours), readPageLsn(page), `block ${at / pageBytes} of ${path} in ${record.id}`);
      }
    }
  }
  assert.ok(compared > 500, `only ${compared} pages are the same`);
}

/** Takes the backup, and at once a full one that stores everything; both have the same pages. */
export async function backUpTwice(rig: BackupRig, changes: BackupChanges): Promise<BackupRecord> {
  const archiving = new AbortController();
  const archived = archiveBeside(rig, archiving.signal);
  try {
    const record = await rig.backUp(changes);
    const independent = await rig.backUp({ ...changes, type: 'full', independent: true });
    await comparePages(rig, record, independent);
    await rig.clusterRepository.deleteBackup(independent.id);
    return record;
  } finally {
    archiving.abort();
    await archived;
  }
}

/** The rig's archive_command only puts segments into a spool: what the server forgets meanwhile comes from there. */
async function archiveBeside(rig: BackupRig, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await rig.archive();
    await sleep(50);
  }
}

/** What applications see. */
export async function contentOf(cluster: TestCluster): Promise<string> {
  await using session = await cluster.session();
  const tables = await session.query<{ name: string }>(
    "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relpersistence = 'p' AND relnamespace = 'public'::regnamespace ORDER BY 1",
  );
  const lines: string[] = [];
  for (const { name } of tables) {
    const [row] = await session.query<{ content: string }>(
      `SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '-') AS content FROM ${name} t`,
    );
    lines.push(`${name} ${row?.content}`);
  }
  const databases = await session.query<{ datname: string }>('SELECT datname FROM pg_database ORDER BY 1');
  for (const { datname } of databases.filter((found) => /^(copied|moving|staying)/.test(found.datname))) {
    await using inside = await cluster.session(datname);
    const [row] = await inside.query<{ sum: string }>('SELECT sum(id)::text AS sum FROM inside');
    lines.push(`${datname} ${row?.sum}`);
  }
  return lines.join('\n');
}

export interface Kept {
  readonly record: BackupRecord;
  readonly content: string;
}

/** Restores, recovers to the end of the backup, and looks at everything. */
export async function checkRestored(rig: BackupRig, { record, content }: Kept): Promise<void> {
  const plan = await rig.plan({ targetImmediate: true, targetAction: 'promote' }, record);
  const places = record.tablespaces.map(({ oid }) => `${oid}=${rig.tablespace(`${record.id}-${oid}`)}`);
  const directory = await rig.restore(plan, { tablespaces: places });
  checkWith(rig.cluster.major, 'pg_verifybackup', [directory]);
  const restored = await rig.start(directory);
  await using session = await restored.session();
  for (let tries = 0; ; tries += 1) {
    const [row] = await session.query<{ recovers: boolean }>('SELECT pg_is_in_recovery() AS recovers');
    if (row?.recovers !== true) break;
    assert.ok(tries < 600, restored.log());
    await sleep(50);
  }
  assert.equal(await contentOf(restored), content, record.id);
  if (rig.cluster.major === 15) {
    const where = [`--host=${restored.socketDirectory}`, `--port=${restored.port}`, '--username=postgres'];
    checkWith(15, 'pg_amcheck', [...where, '--install-missing', '--heapallindexed', 'postgres']);
  }
  await session.close();
  await restored.stop();
  checkWith(rig.cluster.major, 'pg_checksums', ['--check', '--pgdata', directory]);
}
