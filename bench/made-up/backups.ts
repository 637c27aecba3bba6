import { hash } from 'node:crypto';
import { formatBackupId } from '../../src/backup/backup-id.ts';
import { formatLsn, lsn } from '../../src/postgres/lsn.ts';
import { formatSegmentName, segmentNumber, segmentStart } from '../../src/postgres/segment-name.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import { toUnixMillis } from '../../src/wal/transaction-time.ts';
import { timeOf, type Run } from './layout.ts';
import { madeUpSystem, segmentBytes } from './segment.ts';

/** Packs that a record names: those of a cluster of some hundred GB, which an incremental refers to as well. */
export const packsOfBackup = 100;
const segmentsOfBackup = 3;

/** Backups spread evenly over the archive, each with a record and a manifest of one directory. Says how many there are. */
export async function makeUpBackups(cluster: ClusterRepository, runs: readonly Run[], count: number): Promise<number> {
  const segments = runs.reduce((sum, run) => sum + run.count, 0);
  for (let i = 0; i < count; i += 1) {
    const overall = Math.floor(((i + 0.5) * segments) / count);
    const run = runs.findLast(({ firstOverall }) => firstOverall <= overall);
    if (!run) throw new Error(`no run has segment ${overall}`);
    const record = makeUpRecord(run, Math.min(overall, run.firstOverall + run.count - segmentsOfBackup), i);
    const manifest = await cluster.createManifest(record.id);
    await manifest.add(dataDirectory);
    await manifest.finish();
    await cluster.writeRecord(record.id, record);
  }
  return count;
}

const dataDirectory = {
  path: '',
  kind: 'directory',
  mode: 0o700,
  owner: 'postgres',
  group: 'postgres',
  modifiedMs: 0,
  sizeBytes: 0,
  crc32c: 0,
  extents: [],
  sums: [],
  flags: 0,
} as const;

export function makeUpRecord(run: Run, overall: number, place: number): BackupRecord {
  const number = segmentNumber(run.first + BigInt(overall - run.firstOverall));
  const last = segmentNumber(number + BigInt(segmentsOfBackup - 1));
  const startLsn = segmentStart(number, segmentBytes);
  const startedAt = new Date(toUnixMillis(timeOf(overall)));
  const stoppedAt = new Date(toUnixMillis(timeOf(overall + segmentsOfBackup - 1)));
  const type = place % 7 === 0 ? 'full' : 'incremental';
  return {
    id: formatBackupId(startedAt, type),
    format: 1,
    kind: 'physical',
    temperature: 'hot',
    type,
    incarnation: 1,
    postgresMajor: 15,
    systemIdentifier: String(madeUpSystem),
    startedAt: startedAt.toISOString(),
    stoppedAt: stoppedAt.toISOString(),
    timeline: run.timeline,
    startLsn: formatLsn(lsn(startLsn + 0x28n)),
    endLsn: formatLsn(lsn(segmentStart(last, segmentBytes) + 0x100n)),
    checkpointLsn: formatLsn(lsn(startLsn + 0x60n)),
    startSegment: formatSegmentName({ timeline: run.timeline, number }, segmentBytes),
    stopSegment: formatSegmentName({ timeline: run.timeline, number: last }, segmentBytes),
    fromStandby: false,
    sizeBytes: 300_000_000_000,
    storedBytes: type === 'full' ? 100_000_000_000 : 4_000_000_000,
    files: 12_000,
    keep: place % 100 === 0,
    note: place % 50 === 0 ? 'before the release' : '',
    tablespaces: [],
    dataChecksums: true,
    badPages: [],
    pgrecallVersion: '0.1.0',
    packs: Array.from({ length: packsOfBackup }, (_, i) => hash('sha256', `${place - (place % 7)} ${i}`).slice(0, 32)),
    outsideFiles: ['/etc/postgresql/15/main/postgresql.conf', '/etc/postgresql/15/main/pg_hba.conf'],
    warnings: [],
  };
}
