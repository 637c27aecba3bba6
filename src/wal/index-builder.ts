import { BoundedReader } from '../bytes/bounded-reader.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import { timeline } from '../postgres/timeline.ts';
import type { BlockChangeSink } from './block-changes.ts';
import { CommitColumnsBuilder, maxTime, minTime } from './commit-columns.ts';
import { recordFlags, type RecordParts } from './record.ts';
import { resourceManagers } from './resource-managers.ts';
import type { BlockChanges, RestorePoint } from './segment-index.ts';
import {
  commitKindOf,
  decodeTransactionEnd,
  hasInfo,
  readRelation,
  transactionOperation,
  transactionOperations,
} from './transaction-record.ts';
import { forkNumbers, type WalEvent, type WalLevel } from './wal-event.ts';

const infoMask = 0xf0;

/** pg_control.h */
const xlogOperations = {
  checkpointShutdown: 0x00,
  checkpointOnline: 0x10,
  switch: 0x40,
  backupEnd: 0x50,
  parameterChange: 0x60,
  restorePoint: 0x70,
  fullPageWrites: 0x80,
  endOfRecovery: 0x90,
  overwriteContrecord: 0xd0,
  checkpointRedo: 0xe0,
} as const;

/** storage_xlog.h */
const storageOperations = { create: 0x10, truncate: 0x20 } as const;
const truncateFlags = { heap: 0x1, visibilityMap: 0x2, freeSpaceMap: 0x4 } as const;

/** commands/tablespace.h */
const tablespaceOperations = { create: 0x00, drop: 0x10 } as const;

/** Heap blocks that one block of the visibility map tells of: two bits each, after a page header of 24 bytes. */
const heapBlocksPerMapBlock = (8192 - 24) * 4;

const twoTo32 = 0x1_0000_0000;

/** The record as the walker found it, or as it was joined from two segments. */
export interface FoundRecord {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly at: number;
  readonly haveBytes: number;
  readonly lengthBytes: number;
  readonly xid: number;
  readonly info: number;
  readonly resourceManager: number;
  /** Relative to where the builder begins. */
  readonly startOffset: number;
  readonly endOffset: number;
}

/**
 * Takes records in the order of WAL and keeps what an index tells of them. The rules for blocks
 * follow walsummarizer.c of PostgreSQL 17; every fork's references are kept, though.
 */
export class IndexBuilder {
  readonly #startLsn: Lsn;
  readonly #major: number;
  readonly #changes: BlockChangeSink;
  readonly commits = new CommitColumnsBuilder();
  readonly restorePoints: RestorePoint[] = [];
  readonly events: WalEvent[] = [];

  constructor(startLsn: Lsn, postgresMajor: number, changes: BlockChangeSink) {
    this.#startLsn = startLsn;
    this.#major = postgresMajor;
    this.#changes = changes;
  }

  finishChanges(): BlockChanges[] {
    return this.#changes.finish();
  }

  /** Throws `decode` where the record's main data is shorter than its kind needs. */
  note(record: FoundRecord, parts: RecordParts): void {
    switch (record.resourceManager) {
      case resourceManagers.xlog:
        this.#noteXlog(record, parts);
        break;
      case resourceManagers.transaction:
        this.#noteTransaction(record, parts);
        break;
      case resourceManagers.storage:
        this.#noteStorage(record, parts);
        break;
      case resourceManagers.database:
        this.#noteDatabase(record, parts);
        break;
      case resourceManagers.tablespace:
        this.#noteTablespace(record, parts);
        break;
      default:
        if ((record.info & recordFlags.specialRelationUpdate) !== 0) {
          const { resourceManager } = record;
          this.events.push({ kind: 'untracked-change', lsn: this.#lsnOf(record), resourceManager });
        }
    }
    for (let index = 0; index < parts.blockCount; index += 1) {
      this.#changes.touch(
        parts.spcOids[index] ?? 0,
        parts.dbOids[index] ?? 0,
        parts.relNumbers[index] ?? 0,
        parts.forks[index] ?? 0,
        parts.blocks[index] ?? 0,
      );
    }
  }

  #lsnOf(record: FoundRecord): Lsn {
    return lsn(this.#startLsn + BigInt(record.startOffset));
  }

  #endLsnOf(record: FoundRecord): Lsn {
    return lsn(this.#startLsn + BigInt(record.endOffset));
  }

  /** The main data, as far as it is there: it lies at the end of the record. */
  #main(record: FoundRecord, parts: RecordParts): Uint8Array {
    const from = record.lengthBytes - parts.mainBytes;
    return record.bytes.subarray(record.at + Math.min(from, record.haveBytes), record.at + record.haveBytes);
  }

  #noteTransaction(record: FoundRecord, parts: RecordParts): void {
    const kind = commitKindOf(record.info);
    if (kind < 0) {
      if (transactionOperation(record.info) === transactionOperations.prepare) this.#notePrepare(record, parts);
      return;
    }
    const offset = record.lengthBytes - parts.mainBytes;
    if (parts.mainBytes < 8 || offset + 8 > record.haveBytes) throw shortRecord('commit or abort record');
    const at = record.at + offset;
    const time = record.view.getInt32(at + 4, true) * twoTo32 + record.view.getUint32(at, true);
    if (time < minTime || time > maxTime) throw shortRecord('time of a commit or abort record');
    if ((record.info & hasInfo) === 0) {
      // nearly all of them
      this.commits.push(record.xid, record.startOffset, record.endOffset, time, kind);
    } else {
      this.#noteTransactionEnd(record, parts, time, kind);
    }
  }

  #notePrepare(record: FoundRecord, parts: RecordParts): void {
    // xl_xact_prepare: magic, length, xid, database, time
    const reader = new BoundedReader(this.#main(record, parts), 'prepare record', 8);
    const xid = reader.u32();
    reader.skip(4);
    this.events.push({ kind: 'prepare', lsn: this.#lsnOf(record), xid, time: reader.i64() });
  }

  #noteTransactionEnd(record: FoundRecord, parts: RecordParts, time: number, kind: number): void {
    const main = this.#main(record, parts);
    const { preparedXid, relations } = decodeTransactionEnd(main, record.info, this.#major);
    const at = this.#lsnOf(record);
    const xid = preparedXid ?? record.xid;
    this.commits.push(xid, record.startOffset, record.endOffset, time, kind);
    if (relations.length === 0) return;
    this.events.push({ kind: 'relation-drop', lsn: at, xid, relations });
    for (const { spcOid, dbOid, relNumber } of relations) {
      this.#changes.cut(spcOid, dbOid, relNumber, forkNumbers.main, 0);
      this.#changes.cut(spcOid, dbOid, relNumber, forkNumbers.visibilityMap, 0);
      this.#changes.cut(spcOid, dbOid, relNumber, forkNumbers.init, 0);
    }
  }

  #noteStorage(record: FoundRecord, parts: RecordParts): void {
    const reader = new BoundedReader(this.#main(record, parts), 'storage record');
    const at = this.#lsnOf(record);
    switch (record.info & infoMask) {
      case storageOperations.create: {
        const relation = readRelation(reader);
        const fork = reader.u32();
        if (fork > forkNumbers.init) reader.fail(`fork ${fork}`);
        this.events.push({ kind: 'relation-create', lsn: at, relation: { ...relation, fork } });
        if (fork !== forkNumbers.freeSpaceMap) {
          this.#changes.cut(relation.spcOid, relation.dbOid, relation.relNumber, fork, 0);
        }
        return;
      }
      case storageOperations.truncate:
        this.#noteTruncate(reader, at);
    }
  }

  #noteTruncate(reader: BoundedReader, at: Lsn): void {
    const blocks = reader.u32();
    const relation = readRelation(reader);
    const { spcOid, dbOid, relNumber } = relation;
    const flags = reader.u32();
    const forks: number[] = [];
    if ((flags & truncateFlags.heap) !== 0) {
      forks.push(forkNumbers.main);
      this.#changes.cut(spcOid, dbOid, relNumber, forkNumbers.main, blocks);
    }
    if ((flags & truncateFlags.freeSpaceMap) !== 0) forks.push(forkNumbers.freeSpaceMap);
    if ((flags & truncateFlags.visibilityMap) !== 0) {
      forks.push(forkNumbers.visibilityMap);
      // the map is cut to the blocks that the heap still needs, and the rest of the last one is cleared
      const kept = Math.ceil(blocks / heapBlocksPerMapBlock);
      this.#changes.cut(spcOid, dbOid, relNumber, forkNumbers.visibilityMap, kept);
      if (blocks % heapBlocksPerMapBlock !== 0) {
        this.#changes.touch(spcOid, dbOid, relNumber, forkNumbers.visibilityMap, kept - 1);
      }
    }
    this.events.push({ kind: 'relation-truncate', lsn: at, relation, blocks, forks });
  }

  /** A relation number of 0 stands for all of the database in the tablespace, as in PostgreSQL's own summaries. */
  #noteDatabase(record: FoundRecord, parts: RecordParts): void {
    const reader = new BoundedReader(this.#main(record, parts), 'database record');
    const at = this.#lsnOf(record);
    const operation = record.info & infoMask;
    // 14 knew one way to create a database; since 15 there are two, and dropping moved on
    const drop = this.#major < 15 ? 0x10 : 0x20;
    if (operation === drop) {
      const dbOid = reader.u32();
      const count = reader.u32();
      if (count > reader.remaining / 4) reader.fail(`${count} tablespaces in ${reader.remaining} bytes`);
      const spcOids = Array.from({ length: count }, () => reader.u32());
      this.events.push({ kind: 'database-drop', lsn: at, dbOid, spcOids });
      for (const spcOid of spcOids) this.#changes.cut(spcOid, dbOid, 0, forkNumbers.main, 0);
    } else if (operation < drop) {
      const dbOid = reader.u32();
      const spcOid = reader.u32();
      const strategy = operation === 0 ? 'file-copy' : 'wal-log';
      this.events.push({ kind: 'database-create', lsn: at, strategy, dbOid, spcOid });
      this.#changes.cut(spcOid, dbOid, 0, forkNumbers.main, 0);
    }
  }

  #noteTablespace(record: FoundRecord, parts: RecordParts): void {
    const main = this.#main(record, parts);
    const reader = new BoundedReader(main, 'tablespace record');
    const spcOid = reader.u32();
    const at = this.#lsnOf(record);
    switch (record.info & infoMask) {
      case tablespaceOperations.create:
        this.events.push({ kind: 'tablespace-create', lsn: at, spcOid, path: textUntilNul(main.subarray(4)) });
        return;
      case tablespaceOperations.drop:
        this.events.push({ kind: 'tablespace-drop', lsn: at, spcOid });
    }
  }

  #noteXlog(record: FoundRecord, parts: RecordParts): void {
    const operation = record.info & infoMask;
    const main = this.#main(record, parts);
    const reader = new BoundedReader(main, 'XLOG record');
    const at = this.#lsnOf(record);
    switch (operation) {
      case xlogOperations.checkpointShutdown:
      case xlogOperations.checkpointOnline: {
        const redoLsn = lsn(reader.u64());
        const shutdown = operation === xlogOperations.checkpointShutdown;
        const timelines = readTimelines(reader);
        // after full_page_writes, which takes 4 bytes with its padding
        if (this.#major >= 17) reader.skip(4);
        const walLevel = this.#major >= 17 ? readWalLevel(reader) : undefined;
        this.events.push({ kind: 'checkpoint', lsn: at, shutdown, redoLsn, ...timelines, walLevel });
        return;
      }
      case xlogOperations.checkpointRedo:
        this.events.push({ kind: 'checkpoint-redo', lsn: at, walLevel: readWalLevel(reader) });
        return;
      case xlogOperations.restorePoint: {
        const time = reader.i64();
        const name = textUntilNul(main.subarray(8));
        this.restorePoints.push({ name, lsn: at, endLsn: this.#endLsnOf(record), time });
        return;
      }
      case xlogOperations.endOfRecovery: {
        const time = reader.i64();
        const timelines = readTimelines(reader);
        const walLevel = this.#major >= 17 ? readWalLevel(reader) : undefined;
        this.events.push({ kind: 'end-of-recovery', lsn: at, time, ...timelines, walLevel });
        return;
      }
      case xlogOperations.parameterChange:
        // after five limits of the server
        reader.skip(20);
        this.events.push({ kind: 'parameter-change', lsn: at, walLevel: readWalLevel(reader) });
        return;
      case xlogOperations.fullPageWrites:
        this.events.push({ kind: 'full-page-writes', lsn: at, enabled: reader.u8() !== 0 });
        return;
      case xlogOperations.backupEnd:
        this.events.push({ kind: 'backup-end', lsn: at, startLsn: lsn(reader.u64()) });
        return;
      case xlogOperations.overwriteContrecord: {
        const overwrittenLsn = lsn(reader.u64());
        this.events.push({ kind: 'overwrite-contrecord', lsn: at, overwrittenLsn, time: reader.i64() });
        return;
      }
      case xlogOperations.switch:
        this.events.push({ kind: 'switch', lsn: at });
    }
  }
}

function shortRecord(what: string): PgrecallError {
  return new PgrecallError('decode', `the ${what} is cut or out of range`);
}

function readTimelines(
  reader: BoundedReader,
): Pick<WalEvent & { kind: 'checkpoint' }, 'timeline' | 'previousTimeline'> {
  const [present, previous] = [reader.u32(), reader.u32()];
  if (present === 0 || previous === 0) reader.fail('a timeline of 0');
  return { timeline: timeline(present), previousTimeline: timeline(previous) };
}

const walLevels: readonly WalLevel[] = ['minimal', 'replica', 'logical'];

function readWalLevel(reader: BoundedReader): WalLevel {
  const value = reader.u32();
  return walLevels[value] ?? reader.fail(`wal_level ${value}`);
}

/** Longer than any path or name that PostgreSQL writes; what a damaged record holds is cut here. */
const maxTextBytes = 4096;

function textUntilNul(from: Uint8Array): string {
  const bytes = from.subarray(0, maxTextBytes);
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
}
