import { segmentStart, type SegmentNumber } from '../../src/postgres/segment-name.ts';
import { systemIdentifier } from '../../src/postgres/system-identifier.ts';
import type { Timeline } from '../../src/postgres/timeline.ts';
import { lsn } from '../../src/postgres/lsn.ts';
import type { SegmentIndex } from '../../src/wal/segment-index.ts';
import { WalBuilder } from '../../test/support/wal-builder.ts';
import { timeOf } from './layout.ts';

export const segmentBytes = 16_777_216;
export const madeUpSystem = 7_435_620_123_456_789_012n;
const walMagic = 0xd110;

/** Far fewer than a busy server's: only the size of the index depends on it, and a list does not read that. */
const commits = 20;
const commitBytes = 40;
const spacingBytes = 800_000;

/** What a segment says that nobody wrote: some commits and changed blocks. `overall`: its number in the whole archive. */
export function makeUpIndex(timeline: Timeline, number: SegmentNumber, overall: number): SegmentIndex {
  const startLsn = segmentStart(number, segmentBytes);
  const endLsn = lsn(startLsn + BigInt(segmentBytes));
  const firstTime = Number(timeOf(overall));
  const starts = Uint32Array.from({ length: commits }, (_, i) => 8000 + i * spacingBytes);
  return {
    walMagic,
    postgresMajor: 15,
    systemIdentifier: systemIdentifier(madeUpSystem),
    timeline,
    startLsn,
    endLsn,
    walBlockBytes: 8192,
    firstRecordLsn: lsn(startLsn + 40n),
    previousRecordLsn: undefined,
    lastRecordLsn: undefined,
    usedEndLsn: endLsn,
    ending: 'full',
    commits: [],
    commitColumns: {
      startLsn,
      xids: Uint32Array.from({ length: commits }, (_, i) => 1000 + overall * commits + i),
      starts,
      ends: starts.map((start) => start + commitBytes),
      times: Float64Array.from({ length: commits }, (_, i) => firstTime + i * 1_000_000),
      kinds: new Uint8Array(commits),
    },
    restorePoints: [],
    changes: [16_384, 16_390, 16_396].map((relNumber, i) => ({
      relation: { spcOid: 1663, dbOid: 5, relNumber, fork: 0 },
      blocks: Uint32Array.from({ length: 20 }, (_, j) => (overall % 100_000) + i * 1000 + j * 7),
    })),
    events: [],
    continuationBytes: 0,
    head: new Uint8Array(0),
    tail: undefined,
  };
}

/** Real WAL: what is stored of a segment in whose middle a timeline was left. */
export function makeUpBeginning(timeline: Timeline, number: SegmentNumber): Uint8Array {
  const startLsn = segmentStart(number, segmentBytes);
  const wal = new WalBuilder({ walMagic, startLsn, timeline, segmentBytes, systemIdentifier: madeUpSystem });
  const page = Uint8Array.from({ length: 8000 }, (_, i) => (i * 31) % 251);
  while (wal.lsn < startLsn + BigInt(segmentBytes / 2)) wal.record({ main: page });
  return wal.segment;
}
