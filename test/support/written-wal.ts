import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeControlFile } from '../../src/postgres/control-file.ts';
import { type Lsn } from '../../src/postgres/lsn.ts';
import { isSegmentName, parseSegmentName, segmentStart } from '../../src/postgres/segment-name.ts';
import { indexSegment } from '../../src/wal/index-segment.ts';
import { joinRecord } from '../../src/wal/join-record.ts';
import { readRecords, type WalRecord } from '../../src/wal/read-records.ts';
import type { JoinedRecord, SegmentIndex } from '../../src/wal/segment-index.ts';
import { TestCluster } from './cluster.ts';
import { fullPostgres } from './full-postgres.ts';
import { giveToServer } from './server-user.ts';
import { crash, loadSettings, writeAllKindsOfWal, type RestorePointMade } from './wal-load.ts';
import { dumpWal, type DumpedWal } from './waldump.ts';

/** WAL of a server under load, as we and as pg_waldump read it. */
export interface WrittenWal {
  readonly segments: readonly { readonly name: string; readonly bytes: Buffer }[];
  readonly records: readonly WalRecord[];
  readonly indexes: readonly SegmentIndex[];
  /** What lies between each index and the next. */
  readonly joined: readonly JoinedRecord[];
  readonly dumped: DumpedWal;
  readonly points: readonly RestorePointMade[];
  readonly checkpointLsn: Lsn;
}

/** The load on a server that is stopped afterwards, read by us and by pg_waldump. */
export async function writeWal(major: 15 | 18, walSegmentMiB: number): Promise<WrittenWal> {
  await using cluster = await TestCluster.create({ major, walSegmentMiB, settings: loadSettings });
  const tablespace = join(cluster.socketDirectory, 'space');
  mkdirSync(tablespace);
  giveToServer(tablespace);
  const compression = major === 15 ? ['pglz', 'lz4', 'zstd'] : ['pglz'];
  const points = await writeAllKindsOfWal({ cluster, compression, tablespace });
  await crash(cluster, walSegmentMiB);
  await cluster.stop();
  const { dataDirectory } = cluster;
  const directory = join(dataDirectory, 'pg_wal');
  const { checkpointLsn } = decodeControlFile(readFileSync(join(dataDirectory, 'global/pg_control')));
  const segments = readSegments(directory, walSegmentMiB * 1_048_576, checkpointLsn);
  const indexes = segments.map(({ bytes }) => indexSegment(bytes, { verifyCrc: true }));
  const program = join(major === 15 ? '/usr/lib/postgresql/15/bin' : fullPostgres().binDirectory, 'pg_waldump');
  const dumped = await dumpWal({ program, directory, timeline: 1, startLsn: indexes[0]?.startLsn ?? checkpointLsn });
  return {
    segments,
    records: segments.flatMap(({ bytes }) => [...readRecords(bytes, { verifyCrc: true })]),
    indexes,
    joined: indexes.slice(1).map((index, i) => joinRecord(indexes[i] ?? index, index)),
    dumped,
    points,
    checkpointLsn,
  };
}

/** In the order of WAL, up to the one that holds `lastLsn`: files after it wait to be used again. */
export function readSegments(directory: string, segmentBytes: number, lastLsn: Lsn): { name: string; bytes: Buffer }[] {
  return readdirSync(directory)
    .filter((name) => isSegmentName(name))
    .toSorted()
    .filter((name) => segmentStart(parseSegmentName(name, segmentBytes).number, segmentBytes) <= lastLsn)
    .map((name) => ({ name, bytes: readFileSync(join(directory, name)) }));
}
