import type { BoundedReader } from '../bytes/bounded-reader.ts';
import type { ByteWriter } from '../bytes/byte-writer.ts';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import { timeline, type Timeline } from '../postgres/timeline.ts';
import type { RelationLocator, WalEvent, WalLevel } from './wal-event.ts';

/*
 * Events in a stored index: their number, then each as a tag (1), the distance of its record from the one before in units
 * of 8 bytes, and its fields. Numbers are variable-length, LSNs and times included (times zigzag).
 * A tag is the event's place in this list, which may only grow.
 */
const kinds: readonly WalEvent['kind'][] = [
  'checkpoint',
  'checkpoint-redo',
  'end-of-recovery',
  'parameter-change',
  'full-page-writes',
  'backup-end',
  'switch',
  'overwrite-contrecord',
  'prepare',
  'relation-create',
  'relation-truncate',
  'relation-drop',
  'database-create',
  'database-drop',
  'tablespace-create',
  'tablespace-drop',
  'untracked-change',
];

/** By their number in the index; the last one says that a record does not tell. */
const walLevels: readonly (WalLevel | undefined)[] = ['minimal', 'replica', 'logical', undefined];
const strategies = ['file-copy', 'wal-log'] as const;

/** A signed 64-bit number as an unsigned one that is small where its size is. */
export function zigzag(value: bigint): bigint {
  return BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
}

function unzigzag(value: bigint): bigint {
  return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
}

export function encodeEvents(writer: ByteWriter, events: readonly WalEvent[], startLsn: Lsn): void {
  writer.varint(events.length);
  let before = 0;
  for (const event of events) {
    const at = Number(event.lsn - startLsn) / 8;
    writer.u8(kinds.indexOf(event.kind)).varint(at - before);
    before = at;
    encodeFields(writer, event);
  }
}

function encodeFields(writer: ByteWriter, event: WalEvent): void {
  switch (event.kind) {
    case 'checkpoint':
      writer.u8(event.shutdown ? 1 : 0).bigVarint(event.redoLsn);
      writer.varint(event.timeline).varint(event.previousTimeline).u8(walLevels.indexOf(event.walLevel));
      return;
    case 'checkpoint-redo':
    case 'parameter-change':
      writer.u8(walLevels.indexOf(event.walLevel));
      return;
    case 'end-of-recovery':
      writer.bigVarint(zigzag(event.time)).varint(event.timeline).varint(event.previousTimeline);
      writer.u8(walLevels.indexOf(event.walLevel));
      return;
    case 'full-page-writes':
      writer.u8(event.enabled ? 1 : 0);
      return;
    case 'backup-end':
      writer.bigVarint(event.startLsn);
      return;
    case 'switch':
      return;
    case 'overwrite-contrecord':
      writer.bigVarint(event.overwrittenLsn).bigVarint(zigzag(event.time));
      return;
    case 'prepare':
      writer.varint(event.xid).bigVarint(zigzag(event.time));
      return;
    case 'relation-create':
      encodeRelation(writer, event.relation);
      writer.u8(event.relation.fork);
      return;
    case 'relation-truncate':
      encodeRelation(writer, event.relation);
      writer.varint(event.blocks).u8(event.forks.reduce((bits, fork) => bits | (1 << fork), 0));
      return;
    case 'relation-drop':
      writer.varint(event.xid).varint(event.relations.length);
      for (const relation of event.relations) encodeRelation(writer, relation);
      return;
    case 'database-create':
      writer.u8(strategies.indexOf(event.strategy)).varint(event.dbOid).varint(event.spcOid);
      return;
    case 'database-drop':
      writer.varint(event.dbOid).varint(event.spcOids.length);
      for (const spcOid of event.spcOids) writer.varint(spcOid);
      return;
    case 'tablespace-create':
      writer.varint(event.spcOid).text(event.path);
      return;
    case 'tablespace-drop':
      writer.varint(event.spcOid);
      return;
    case 'untracked-change':
      writer.u8(event.resourceManager);
  }
}

function encodeRelation(writer: ByteWriter, relation: RelationLocator): void {
  writer.varint(relation.spcOid).varint(relation.dbOid).varint(relation.relNumber);
}

/** Throws `decode`. `segmentUnits`: size of the segment in units of 8 bytes; no event starts beyond it. */
export function decodeEvents(reader: BoundedReader, startLsn: Lsn, segmentUnits: number): WalEvent[] {
  const count = readCount(reader, 2, 'events');
  const events: WalEvent[] = [];
  let at = 0;
  for (let index = 0; index < count; index += 1) {
    const tag = reader.u8();
    const kind = kinds[tag] ?? reader.fail(`an event of kind ${tag}`);
    at += reader.varint();
    if (at >= segmentUnits) reader.fail('an event beyond the end of its segment');
    events.push(decodeFields(reader, kind, lsn(startLsn + BigInt(at * 8))));
  }
  return events;
}

function decodeFields(reader: BoundedReader, kind: WalEvent['kind'], at: Lsn): WalEvent {
  switch (kind) {
    case 'checkpoint':
      return {
        kind,
        lsn: at,
        shutdown: readFlag(reader),
        redoLsn: lsn(reader.bigVarint()),
        ...readTimelines(reader),
        walLevel: readWalLevel(reader),
      };
    case 'checkpoint-redo':
    case 'parameter-change':
      return { kind, lsn: at, walLevel: readWalLevel(reader) ?? reader.fail('no wal_level') };
    case 'end-of-recovery':
      return { kind, lsn: at, time: readTime(reader), ...readTimelines(reader), walLevel: readWalLevel(reader) };
    case 'full-page-writes':
      return { kind, lsn: at, enabled: readFlag(reader) };
    case 'backup-end':
      return { kind, lsn: at, startLsn: lsn(reader.bigVarint()) };
    case 'switch':
      return { kind, lsn: at };
    case 'overwrite-contrecord':
      return { kind, lsn: at, overwrittenLsn: lsn(reader.bigVarint()), time: readTime(reader) };
    case 'prepare':
      return { kind, lsn: at, xid: readU32(reader), time: readTime(reader) };
    case 'relation-create': {
      const relation = readRelation(reader);
      const fork = reader.u8();
      if (fork > 3) reader.fail(`fork ${fork}`);
      return { kind, lsn: at, relation: { ...relation, fork } };
    }
    case 'relation-truncate': {
      const relation = readRelation(reader);
      const blocks = readU32(reader);
      const bits = reader.u8();
      if (bits > 0xf) reader.fail(`forks ${bits}`);
      return { kind, lsn: at, relation, blocks, forks: [0, 1, 2, 3].filter((fork) => (bits & (1 << fork)) !== 0) };
    }
    case 'relation-drop': {
      const xid = readU32(reader);
      const count = readCount(reader, 3, 'relations');
      return { kind, lsn: at, xid, relations: Array.from({ length: count }, () => readRelation(reader)) };
    }
    case 'database-create': {
      const strategy = strategies[reader.u8()] ?? reader.fail('an unknown strategy');
      return { kind, lsn: at, strategy, dbOid: readU32(reader), spcOid: readU32(reader) };
    }
    case 'database-drop': {
      const dbOid = readU32(reader);
      const count = readCount(reader, 1, 'tablespaces');
      return { kind, lsn: at, dbOid, spcOids: Array.from({ length: count }, () => readU32(reader)) };
    }
    case 'tablespace-create':
      return { kind, lsn: at, spcOid: readU32(reader), path: reader.text() };
    case 'tablespace-drop':
      return { kind, lsn: at, spcOid: readU32(reader) };
    case 'untracked-change':
      return { kind, lsn: at, resourceManager: reader.u8() };
  }
}

/** A number of items of at least `itemBytes` each: no more than there are bytes for. */
export function readCount(reader: BoundedReader, itemBytes: number, what: string): number {
  const count = reader.varint();
  if (count > reader.remaining / itemBytes) reader.fail(`${count} ${what} in ${reader.remaining} bytes`);
  return count;
}

export function readU32(reader: BoundedReader): number {
  const value = reader.varint();
  if (value > 0xffff_ffff) reader.fail(`${value} where 32 bits are expected`);
  return value;
}

export function readTime(reader: BoundedReader): bigint {
  return unzigzag(reader.bigVarint());
}

function readFlag(reader: BoundedReader): boolean {
  const value = reader.u8();
  if (value > 1) reader.fail(`${value} where 0 or 1 is expected`);
  return value === 1;
}

function readWalLevel(reader: BoundedReader): WalLevel | undefined {
  const value = reader.u8();
  if (value >= walLevels.length) reader.fail(`wal_level ${value}`);
  return walLevels[value];
}

function readRelation(reader: BoundedReader): RelationLocator {
  return { spcOid: readU32(reader), dbOid: readU32(reader), relNumber: readU32(reader) };
}

export function readTimeline(reader: BoundedReader): Timeline {
  const value = readU32(reader);
  return value === 0 ? reader.fail('a timeline of 0') : timeline(value);
}

function readTimelines(reader: BoundedReader): { timeline: Timeline; previousTimeline: Timeline } {
  return { timeline: readTimeline(reader), previousTimeline: readTimeline(reader) };
}
