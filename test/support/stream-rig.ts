import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { sinkInto } from '../../src/archive/receive-sink.ts';
import { readServerFacts } from '../../src/backup/backup-server.ts';
import { copyInThreads } from '../../src/backup/copying.ts';
import { takeStreamBackup, type StreamBackupOptions } from '../../src/backup/stream-backup.ts';
import { ReplicationSession } from '../../src/connection/replication-session.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import type { BackupRig } from './backup-rig.ts';

/** What a test may say otherwise. */
export type StreamChanges = Partial<StreamBackupOptions> & { readonly connection?: string };

/** Backs up the rig's cluster over the replication protocol. */
export async function streamBackUp(rig: BackupRig, changes: StreamChanges = {}): Promise<BackupRecord> {
  const { connection = rig.cluster.uri(), ...rest } = changes;
  const walSession = { connection, applicationName: 'pgrecall test' };
  using session = await ReplicationSession.connect(walSession);
  await using sql = await rig.cluster.session();
  const access = rig.repository.access({ kind: 'local', directory: rig.repositoryDirectory });
  return await takeStreamBackup({
    cluster: rig.clusterRepository,
    incarnation: rig.incarnation,
    session,
    walSession,
    sink: sinkInto(rig.store),
    directory: join(rig.directory, 'streaming'),
    facts: await readServerFacts(sql),
    readFile: async () => Buffer.from('no file of this host'),
    copying: (startLsn) => copyInThreads(access, 'main', startLsn, 2),
    type: 'full',
    independent: false,
    note: '',
    keep: false,
    walTimeoutMs: 30_000,
    now: () => new Date(),
    randomBytes,
    signal: AbortSignal.timeout(120_000),
    onTotal: () => undefined,
    onProgress: () => undefined,
    say: () => undefined,
    ...rest,
  });
}
