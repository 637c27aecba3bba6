import { BoundedReader } from '../bytes/bounded-reader.ts';
import { crc32c } from '../bytes/crc32c.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { lsn, type Lsn } from './lsn.ts';
import { isSegmentSize } from './segment-name.ts';
import { systemIdentifier, type SystemIdentifier } from './system-identifier.ts';
import { isTimeline, type Timeline } from './timeline.ts';
import { controlCrcOffset, majorOfCatalog } from './version.ts';

/*
 * global/pg_control, after catalog/pg_control.h (ControlFileData, CheckPoint) as a 64-bit little-endian
 * machine lays it out:
 *
 *   at   field                          at   field
 *    0   system identifier      u64     144  minimum recovery timeline   u32
 *    8   control version        u32     152  backup start                u64
 *   12   catalog version        u32     160  backup end                  u64
 *   16   state                  u32     168  backup end required         u8
 *   24   time                   i64     172  wal_level                   u32
 *   32   checkpoint             u64     216  block size                  u32
 *   40   redo                   u64     220  relation segment blocks     u32
 *   48   timeline               u32     224  WAL block size              u32
 *   52   previous timeline      u32     228  WAL segment size            u32
 *   64   next transaction       u64     252  data checksum version       u32
 *  104   checkpoint time        i64     288  CRC-32C of all before (version 1800: at 292,
 *  136   minimum recovery point u64          after default_char_signedness at 256)
 */

export type ClusterState =
  | 'starting up'
  | 'shut down'
  | 'shut down in recovery'
  | 'shutting down'
  | 'in crash recovery'
  | 'in archive recovery'
  | 'in production';

const states: readonly ClusterState[] = [
  'starting up',
  'shut down',
  'shut down in recovery',
  'shutting down',
  'in crash recovery',
  'in archive recovery',
  'in production',
];

const walLevels = ['minimal', 'replica', 'logical'] as const;

export interface ControlFile {
  readonly systemIdentifier: SystemIdentifier;
  readonly controlVersion: number;
  readonly catalogVersion: number;
  readonly postgresMajor: number;
  readonly state: ClusterState;
  /** Unix seconds. */
  readonly modifiedAt: bigint;
  readonly checkpointLsn: Lsn;
  readonly redoLsn: Lsn;
  readonly timeline: Timeline;
  readonly previousTimeline: Timeline;
  /** The full 64 bits, epoch and all. */
  readonly nextXid: bigint;
  /** Unix seconds. */
  readonly checkpointTime: bigint;
  readonly minRecoveryLsn: Lsn;
  /** 0 where there is none. */
  readonly minRecoveryTimeline: number;
  readonly backupStartLsn: Lsn;
  readonly backupEndLsn: Lsn;
  readonly backupEndRequired: boolean;
  readonly walLevel: string;
  readonly blockBytes: number;
  readonly relationSegmentBlocks: number;
  readonly walBlockBytes: number;
  readonly segmentBytes: number;
  readonly dataChecksums: boolean;
}

/** Throws `decode` for bytes that are damaged, `postgres-version` for a version that is not supported. */
export function decodeControlFile(bytes: Uint8Array): ControlFile {
  const reader = new BoundedReader(bytes, 'pg_control');
  const identifier = reader.u64();
  const controlVersion = reader.u32();
  const catalogVersion = reader.u32();
  checkCrc(bytes, controlVersion);
  const postgresMajor = majorOfCatalog(catalogVersion);
  if (postgresMajor === undefined) {
    throw new PgrecallError(
      'postgres-version',
      `pg_control is of catalog version ${catalogVersion}, which is no release that pgrecall knows`,
    );
  }
  const at = (offset: number): BoundedReader => new BoundedReader(bytes, 'pg_control', offset);
  const state = at(16).u32();
  const named = states[state];
  if (named === undefined) return at(16).fail(`state ${state}, expected 0 to 6`);
  return {
    systemIdentifier: systemIdentifier(identifier),
    controlVersion,
    catalogVersion,
    postgresMajor,
    state: named,
    modifiedAt: at(24).i64(),
    checkpointLsn: lsn(at(32).u64()),
    redoLsn: lsn(at(40).u64()),
    timeline: readTimeline(at(48)),
    previousTimeline: readTimeline(at(52)),
    nextXid: at(64).u64(),
    checkpointTime: at(104).i64(),
    minRecoveryLsn: lsn(at(136).u64()),
    minRecoveryTimeline: at(144).u32(),
    backupStartLsn: lsn(at(152).u64()),
    backupEndLsn: lsn(at(160).u64()),
    backupEndRequired: at(168).u8() !== 0,
    walLevel: walLevels[at(172).u32()] ?? 'unknown',
    blockBytes: at(216).u32(),
    relationSegmentBlocks: at(220).u32(),
    walBlockBytes: at(224).u32(),
    segmentBytes: readSegmentSize(at(228)),
    dataChecksums: at(252).u32() !== 0,
  };
}

function readTimeline(reader: BoundedReader): Timeline {
  const value = reader.u32();
  return isTimeline(value) ? value : reader.fail('a timeline of 0');
}

function readSegmentSize(reader: BoundedReader): number {
  const sizeBytes = reader.u32();
  return isSegmentSize(sizeBytes) ? sizeBytes : reader.fail(`WAL segments of ${sizeBytes} bytes`);
}

function checkCrc(bytes: Uint8Array, controlVersion: number): void {
  const crcOffset = controlCrcOffset(controlVersion);
  if (crcOffset === undefined) {
    const swapped = (controlVersion & 0xffff) === 0 ? ', perhaps of a machine with another byte order' : '';
    throw new PgrecallError(
      'postgres-version',
      `pg_control has version ${controlVersion}${swapped}; pgrecall reads 1300 (14 to 16), 1700 and 1800`,
    );
  }
  const stored = new BoundedReader(bytes, 'pg_control', crcOffset).u32();
  const computed = crc32c(bytes.subarray(0, crcOffset));
  if (stored !== computed) {
    throw new PgrecallError(
      'decode',
      `pg_control: its CRC is ${stored.toString(16)}, computed ${computed.toString(16)}; the file is damaged or half written`,
      {
        details: { stored, computed },
      },
    );
  }
}
