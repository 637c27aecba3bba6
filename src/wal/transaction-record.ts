import { BoundedReader } from '../bytes/bounded-reader.ts';
import type { RelationLocator } from './wal-event.ts';

/*
 * Commit and abort records, after access/xact.h (xl_xact_commit, xl_xact_abort):
 *
 *   xact_time (8); if the record's info has 0x80: xinfo (4), and in this order what xinfo's bits announce:
 *   database and tablespace (8) | count and subtransactions (4 each) | count and relations removed (12 each) |
 *   since 15 count and statistics removed (12 each, 16 since 18) | commit only: count and invalidation messages (16 each) |
 *   xid of the prepared transaction (4) | its global identifier, terminated by NUL | origin's LSN and time (16)
 */

const operationMask = 0x70;

export const transactionOperations = {
  commit: 0x00,
  prepare: 0x10,
  abort: 0x20,
  commitPrepared: 0x30,
  abortPrepared: 0x40,
} as const;

/** xl_info's bit for "xinfo follows"; a commit without it is a time and nothing else. */
export const hasInfo = 0x80;

const parts = {
  database: 1 << 0,
  subtransactions: 1 << 1,
  relations: 1 << 2,
  invalidations: 1 << 3,
  twoPhase: 1 << 4,
  statistics: 1 << 8,
} as const;

export function transactionOperation(info: number): number {
  return info & operationMask;
}

/** The place of the record's kind in `commitKinds`, or -1 for what neither commits nor aborts. */
export function commitKindOf(info: number): number {
  switch (info & operationMask) {
    case transactionOperations.commit:
      return 0;
    case transactionOperations.abort:
      return 1;
    case transactionOperations.commitPrepared:
      return 2;
    case transactionOperations.abortPrepared:
      return 3;
    default:
      return -1;
  }
}

export interface TransactionEnd {
  /** Of the prepared transaction, where the record ends one. */
  readonly preparedXid: number | undefined;
  readonly relations: readonly RelationLocator[];
}

/** What a commit or abort record says besides its time. Throws `decode` where it is shorter than it says. */
export function decodeTransactionEnd(main: Uint8Array, info: number, postgresMajor: number): TransactionEnd {
  if ((info & hasInfo) === 0) return { preparedXid: undefined, relations: [] };
  const reader = new BoundedReader(main, 'commit or abort record', 8);
  const announced = reader.u32();
  const has = (part: number): boolean => (announced & part) !== 0;
  const skipList = (itemBytes: number): void => reader.skip(reader.u32() * itemBytes);
  if (has(parts.database)) reader.skip(8);
  if (has(parts.subtransactions)) skipList(4);
  const relations = has(parts.relations) ? readRelations(reader) : [];
  // what lies between may be long, and not all there where the record was kept in part
  if (!has(parts.twoPhase)) return { preparedXid: undefined, relations };
  if (has(parts.statistics)) skipList(postgresMajor >= 18 ? 16 : 12);
  if (has(parts.invalidations)) skipList(16);
  return { preparedXid: reader.u32(), relations };
}

function readRelations(reader: BoundedReader): RelationLocator[] {
  const count = reader.u32();
  if (count > reader.remaining / 12) reader.fail(`${count} relations in ${reader.remaining} bytes`);
  return Array.from({ length: count }, () => readRelation(reader));
}

export function readRelation(reader: BoundedReader): RelationLocator {
  return { spcOid: reader.u32(), dbOid: reader.u32(), relNumber: reader.u32() };
}
