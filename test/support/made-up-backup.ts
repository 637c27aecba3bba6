import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { WalStore } from '../../src/archive/wal-store.ts';
import { copyHere } from '../../src/backup/copying.ts';
import { takeHotBackup, type HotBackupOptions } from '../../src/backup/hot-backup.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import { openWithAccess, type Repository } from '../../src/repository/repository.ts';
import { executeRestore, type ExecuteRestoreOptions } from '../../src/restore/execute-restore.ts';
import { ExtentReader } from '../../src/repository/extent-reader.ts';
import type { RestoreReport } from '../../src/restore/restore-over.ts';
import type { RestorePlan } from '../../src/restore/restore-plan.ts';
import { restoreHere } from '../../src/restore/restoring.ts';
import { parseTarget } from '../../src/restore/target.ts';
import { mapTablespaces } from '../../src/restore/target-directory.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import { parseLsn } from '../../src/postgres/lsn.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { MadeUpServer, type MadeUpCluster } from './made-up-cluster.ts';
import { noon } from './test-repository.ts';

/* Backup and restore of a made-up cluster in this thread, into any storage. */

/** The repository over another storage, as another process opens it. */
export function reopened(repository: Repository, storage: Storage): ClusterRepository {
  const access = repository.access({ kind: 'local', directory: '/nowhere' });
  return openWithAccess(access, storage).cluster('main');
}

export async function backUpMadeUp(
  made: MadeUpCluster,
  cluster: ClusterRepository,
  changes: Partial<HotBackupOptions> = {},
): Promise<BackupRecord> {
  return takeHotBackup({
    cluster,
    incarnation: made.incarnation,
    store: new WalStore(cluster, made.incarnation),
    server: new MadeUpServer(),
    dataDirectory: made.dataDirectory,
    copying: (startLsn) => copyHere(cluster, startLsn),
    note: '',
    keep: false,
    walTimeoutMs: 0,
    now: noon,
    randomBytes,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    say: () => undefined,
    ...changes,
  });
}

/** Every file of a backup with its content, every directory and link without. */
export async function readBackup(cluster: ClusterRepository, id: string): Promise<Map<string, Buffer | string>> {
  const found = new Map<string, Buffer | string>();
  const reader = new ExtentReader(cluster);
  await using manifest = await cluster.openManifest(id);
  try {
    for await (const entry of manifest.entries()) {
      if (entry.kind !== 'file') {
        found.set(entry.path, entry.target ?? entry.kind);
        continue;
      }
      const bytes = Buffer.alloc(entry.sizeBytes);
      const { extents } = await entry.loadMaps();
      await reader.read(extents, (part, extent) => bytes.set(part, extent.fileOffset));
      found.set(entry.path, bytes);
    }
  } finally {
    await reader.close();
  }
  const control = await manifest.attachment('pg_control');
  if (control) found.set('global/pg_control', Buffer.from(control));
  return found;
}

/** What lies below a directory, links followed, as `readBackup` gives it. */
export function readTree(directory: string): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  if (!existsSync(directory)) return found;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true, encoding: 'utf8' })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) found.set(path.slice(directory.length + 1), readFileSync(path));
  }
  return found;
}

function planFor(backup: BackupRecord): RestorePlan {
  return {
    request: parseTarget({}),
    timeline: timeline(1),
    backup,
    path: [{ timeline: timeline(1), startLsn: parseLsn('0/0'), endLsn: undefined }],
    stop: { kind: 'end' },
    reachableLsn: parseLsn(backup.endLsn),
    reachableTime: undefined,
    replayedTablespaces: [],
    warnings: [],
  };
}

export async function restoreMadeUp(
  made: MadeUpCluster,
  cluster: ClusterRepository,
  backup: BackupRecord,
  directory: string,
  changes: Partial<ExecuteRestoreOptions> = {},
): Promise<RestoreReport> {
  const restoring = changes.restoring ?? restoreHere(cluster);
  try {
    return await executeRestore({
      cluster,
      store: new WalStore(cluster, made.incarnation),
      plan: planFor(backup),
      directory,
      tablespaces: mapTablespaces(
        backup,
        backup.tablespaces.map(({ oid }) => `${oid}=${directory}-tablespace-${oid}`),
      ),
      settings: { restoreCommand: 'false', more: {} },
      script: { path: join(directory, 'pg_wal', 'pgrecall', 'restore-command'), text: '#!/bin/sh\n' },
      owner: () => undefined,
      signal: new AbortController().signal,
      onProgress: () => undefined,
      ...changes,
      restoring,
    });
  } finally {
    await restoring.close();
  }
}

/** Compares maps of files so that a difference shows as a name, not as a megabyte of bytes. */
export function sameFiles(found: ReadonlyMap<string, unknown>, expected: ReadonlyMap<string, unknown>): void {
  assert.deepEqual([...found.keys()].toSorted(), [...expected.keys()].toSorted());
  for (const [path, content] of expected) {
    const other = found.get(path);
    const same = Buffer.isBuffer(content) && Buffer.isBuffer(other) ? content.equals(other) : content === other;
    assert.ok(same, `"${path}" is not what it was`);
  }
}
