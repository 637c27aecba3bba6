import { randomBytes } from 'node:crypto';
import { takeColdBackup, type ColdBackupOptions } from '../../src/backup/cold-backup.ts';
import { copyInThreads } from '../../src/backup/copying.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { readPostmasterPid } from '../../src/server/postmaster-pid.ts';
import { findDirectoryUse } from '../../src/server/directory-use.ts';
import type { BackupRig } from './backup-rig.ts';
import type { TestCluster } from './cluster.ts';
import { eventually } from './eventually.ts';

/** No configuration is known but what lies in the data directory. */
export const noPlaces: ColdBackupOptions['places'] = {
  dataDirectory: undefined,
  configurationFiles: {},
  settingsFiles: [],
};

export type ColdChanges = Partial<ColdBackupOptions>;

/** A cold backup of the rig's cluster, which has to be stopped. */
export async function backUpCold(rig: BackupRig, changes: ColdChanges = {}): Promise<BackupRecord> {
  const access = rig.repository.access({ kind: 'local', directory: rig.repositoryDirectory });
  return takeColdBackup({
    cluster: rig.clusterRepository,
    incarnation: rig.incarnation,
    store: rig.store,
    dataDirectory: rig.cluster.dataDirectory,
    places: noPlaces,
    copying: (startLsn) => copyInThreads(access, 'main', startLsn, 2),
    note: '',
    keep: false,
    now: () => new Date(),
    randomBytes,
    say: () => undefined,
    signal: AbortSignal.timeout(120_000),
    onProgress: () => undefined,
    ...changes,
  });
}

/** Stops the cluster and waits until its last process is gone. */
export async function putToRest(cluster: TestCluster): Promise<void> {
  await cluster.stop();
  await eventually('all processes of the server are gone', () => isAtRest(cluster));
}

/** Kills the server as a machine that dies does, and waits until its last process is gone. */
export async function crash(cluster: TestCluster): Promise<void> {
  const { pid } = readPostmasterPid(cluster.dataDirectory) ?? { pid: 0 };
  if (pid > 1) process.kill(pid, 'SIGKILL');
  // It is a child of this process, which has to take notice: PostgreSQL counts one that has not been taken notice of.
  await eventually('the server is gone', () => !exists(pid));
  await eventually('all processes of the server are gone', () => isAtRest(cluster));
}

function isAtRest(cluster: TestCluster): boolean {
  return findDirectoryUse(cluster.dataDirectory).kind !== 'running';
}

function exists(pid: number): boolean {
  try {
    return pid > 1 && process.kill(pid, 0);
  } catch {
    return false;
  }
}
