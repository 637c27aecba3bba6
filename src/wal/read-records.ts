import { PgrecallError } from '../errors/pgrecall-error.ts';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import { readSegmentHeader } from './page-header.ts';
import { RecordWalker } from './record-walker.ts';
import { RecordParts } from './record.ts';
import { resourceManagerName } from './resource-managers.ts';
import type { IndexOptions } from './segment-index.ts';
import type { RelationFork } from './wal-event.ts';

export interface BlockReference {
  readonly id: number;
  readonly relation: RelationFork;
  readonly block: number;
  /** A full-page image: one that replay puts in place, or one that is only there to be compared. */
  readonly image: 'none' | 'apply' | 'verify';
}

export interface WalRecord {
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
  readonly previousLsn: Lsn;
  readonly xid: number;
  readonly resourceManager: string;
  readonly info: number;
  readonly lengthBytes: number;
  readonly mainBytes: number;
  readonly blocks: readonly BlockReference[];
}

const images = ['none', 'apply', 'verify'] as const;

/**
 * The records that lie wholly within a segment, one by one, as pg_waldump lists them. For looking at WAL;
 * `indexSegment` goes the same way without making objects. Throws `wal-damaged` at what it cannot read.
 */
export function* readRecords(segment: Uint8Array, options: IndexOptions = {}): Generator<WalRecord> {
  const header = readSegmentHeader(segment);
  const { postgresMajor, startLsn } = header;
  if (postgresMajor === undefined)
    throw new PgrecallError('wal-damaged', 'WAL of a version that pgrecall does not know');
  const walker = new RecordWalker(segment, header, postgresMajor, options);
  const parts = new RecordParts(postgresMajor);
  while (walker.next()) {
    const { view, at, startOffset } = walker;
    if (!parts.parse(view, at, walker.haveBytes, walker.lengthBytes)) {
      throw new PgrecallError('wal-damaged', `the parts of the record at byte ${startOffset} do not add up`);
    }
    yield {
      lsn: lsn(startLsn + BigInt(startOffset)),
      endLsn: lsn(startLsn + BigInt(walker.endOffset)),
      previousLsn: lsn(view.getBigUint64(at + 8, true)),
      xid: walker.xid,
      resourceManager: resourceManagerName(walker.resourceManager, postgresMajor) ?? String(walker.resourceManager),
      info: walker.info,
      lengthBytes: walker.lengthBytes,
      mainBytes: parts.mainBytes,
      blocks: blockReferences(parts),
    };
  }
  if (walker.problem !== undefined) throw new PgrecallError('wal-damaged', walker.problem);
}

function blockReferences(parts: RecordParts): BlockReference[] {
  return Array.from({ length: parts.blockCount }, (_, index) => ({
    id: parts.blockIds[index] ?? 0,
    relation: {
      spcOid: parts.spcOids[index] ?? 0,
      dbOid: parts.dbOids[index] ?? 0,
      relNumber: parts.relNumbers[index] ?? 0,
      fork: parts.forks[index] ?? 0,
    },
    block: parts.blocks[index] ?? 0,
    image: images[parts.images[index] ?? 0] ?? 'none',
  }));
}
