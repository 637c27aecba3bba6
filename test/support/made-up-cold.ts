import { randomBytes } from 'node:crypto';
import { WalStore } from '../../src/archive/wal-store.ts';
import { takeColdBackup, type ColdBackupOptions } from '../../src/backup/cold-backup.ts';
import { copyHere } from '../../src/backup/copying.ts';
import { crc32c } from '../../src/bytes/crc32c.ts';
import type { Lsn } from '../../src/postgres/lsn.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import { noPlaces } from './cold-rig.ts';
import { madeUpControl, type MadeUpCluster } from './made-up-cluster.ts';
import { identifier, mebibyte, nameOf } from './test-archive.ts';
import { noon } from './test-repository.ts';
import { WalBuilder } from './wal-builder.ts';

/* A made-up cluster that was shut down: what a cold backup looks at, and no more. */

const states = { 'shut down': 1, 'in production': 6 } as const;

/** Puts it to rest: its WAL has a checkpoint in segment 2, and what its server left behind that in an earlier use. */
export function shutDown(made: MadeUpCluster, state: keyof typeof states = 'shut down'): Lsn {
  const builder = new WalBuilder({
    startLsn: BigInt(2 * mebibyte),
    segmentBytes: mebibyte,
    systemIdentifier: identifier,
  });
  builder.filler(4096);
  const checkpoint = Buffer.alloc(88);
  checkpoint.writeUInt32LE(1, 8);
  checkpoint.writeUInt32LE(1, 12);
  const checkpointLsn = builder.record({ resourceManager: 0, info: 0, main: checkpoint });
  if (state === 'in production') for (let i = 0; i < 10; i += 1) builder.filler(4096);
  made.write(`pg_wal/${nameOf(2)}`, Buffer.from(builder.segment).fill(0xa5, mebibyte - 8192));
  const control = madeUpControl({ redoLsn: checkpointLsn });
  control.writeUInt32LE(states[state], 16);
  control.writeBigUInt64LE(checkpointLsn, 32);
  control.writeUInt32LE(crc32c(control.subarray(0, 288)), 288);
  made.write('global/pg_control', control);
  return checkpointLsn;
}

export async function backUpMadeUpCold(
  made: MadeUpCluster,
  cluster: ClusterRepository,
  changes: Partial<ColdBackupOptions> = {},
): Promise<BackupRecord> {
  return takeColdBackup({
    cluster,
    incarnation: made.incarnation,
    store: new WalStore(cluster, made.incarnation),
    dataDirectory: made.dataDirectory,
    places: noPlaces,
    copying: (startLsn) => copyHere(cluster, startLsn),
    note: '',
    keep: false,
    now: noon,
    randomBytes,
    say: () => undefined,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    ...changes,
  });
}
