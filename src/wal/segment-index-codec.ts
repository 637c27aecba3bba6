import { BoundedReader } from '../bytes/bounded-reader.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { assert } from '../errors/pgrecall-error.ts';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import { isSegmentSize } from '../postgres/segment-name.ts';
import { systemIdentifier } from '../postgres/system-identifier.ts';
import { compareRelations } from './block-changes.ts';
import { columnsOf, commitKinds, commitsOf, maxTime, minTime, type CommitColumns } from './commit-columns.ts';
import { decodeEvents, encodeEvents, readCount, readTime, readTimeline, readU32, zigzag } from './event-codec.ts';
import { majorOfMagic } from './page-header.ts';
import { maxKeptBytes } from './record-walker.ts';
import type { BlockChanges, Commit, RestorePoint, SegmentEnding, SegmentIndex } from './segment-index.ts';

/*
 * A stored index. Integers are unsigned LEB128 unless a width is given; positions are offsets within the segment in
 * units of 8 bytes, since every record starts and ends on such a boundary.
 *
 *   format (1) = 1
 *   magic | system identifier | timeline | log2 of the segment size (1) | log2 of WAL's page size (1)
 *   segment number | first record + 1, or 0 | bytes from the record before it, or 0 | last record + 1, or 0
 *   end of the last record | ending (1) | problem: 0, or 1 and the text
 *   commits: how many, then five columns
 *     kinds    runs of (kind, how many)                                        ~ 0 bytes a commit
 *     xids     difference to the one before, zigzag                              1
 *     starts   distance from the end of the commit before                        1
 *     lengths  from start to end                                                 1
 *     times    microseconds since the one before, zigzag                         2
 *   restore points: how many, then start | length | time (zigzag) | name
 *   changes: how many forks, in order, then each
 *     flags (1): 1 same tablespace and database as before, 2 was cut; fork in bits 2 and 3
 *     [tablespace | database] | file number (the difference, if the same database) | [cut to] | number of blocks
 *     blocks: the first, then differences less one               1 byte a block in ranges, 2 where sparse
 *   events (event-codec.ts)
 *   bytes that go on from the segment before | those kept: length, bytes | tail: 0, or start + 1 | length, bytes
 *
 * A commit takes 5 bytes, a block 1 to 2, before the repository compresses them.
 */

const format = 1;
const endings: readonly SegmentEnding[] = ['full', 'switch', 'end-of-wal'];
const changeFlags = { sameDatabase: 1, cut: 2, forkShift: 2 } as const;

/** Deterministic: the same index always gives the same bytes. */
export function encodeSegmentIndex(index: SegmentIndex): Uint8Array {
  const { startLsn } = index;
  const segmentBytes = Number(index.endLsn - startLsn);
  const units = (position: Lsn): number => {
    const offset = Number(position - startLsn);
    assert(offset % 8 === 0 && offset >= 0 && offset <= segmentBytes, 'a position that is not in its segment');
    return offset / 8;
  };
  const commits = index.commitColumns ?? columnsOf(index.commits, startLsn);
  const writer = new ByteWriter(4096 + commits.xids.length * 8);
  writer.u8(format).varint(index.walMagic).bigVarint(BigInt(index.systemIdentifier)).varint(index.timeline);
  writer.u8(Math.log2(segmentBytes)).u8(Math.log2(index.walBlockBytes));
  writer.bigVarint(startLsn / BigInt(segmentBytes));
  writer.varint(index.firstRecordLsn === undefined ? 0 : units(index.firstRecordLsn) + 1);
  const { firstRecordLsn, previousRecordLsn, lastRecordLsn } = index;
  const isLinked = firstRecordLsn !== undefined && previousRecordLsn !== undefined;
  writer.bigVarint(isLinked ? firstRecordLsn - previousRecordLsn : 0n);
  writer.varint(lastRecordLsn === undefined ? 0 : units(lastRecordLsn) + 1);
  writer.varint(units(index.usedEndLsn)).u8(endings.indexOf(index.ending));
  if (index.problem === undefined) writer.u8(0);
  else writer.u8(1).text(index.problem);

  encodeCommits(writer, commits);
  writer.varint(index.restorePoints.length);
  for (const point of index.restorePoints) {
    const start = units(point.lsn);
    writer
      .varint(start)
      .varint(units(point.endLsn) - start)
      .bigVarint(zigzag(point.time))
      .text(point.name);
  }
  encodeChanges(writer, index.changes);
  encodeEvents(writer, index.events, startLsn);
  writer.varint(index.continuationBytes).varint(index.head.length).bytes(index.head);
  if (index.tail === undefined) writer.varint(0);
  else
    writer
      .varint(units(index.tail.lsn) + 1)
      .varint(index.tail.bytes.length)
      .bytes(index.tail.bytes);
  return writer.finish();
}

function encodeCommits(writer: ByteWriter, { xids, starts, ends, times, kinds }: CommitColumns): void {
  const count = xids.length;
  writer.varint(count);
  for (let index = 0; index < count;) {
    const kind = kinds[index] ?? 0;
    let end = index + 1;
    while (end < count && kinds[end] === kind) end += 1;
    writer.u8(kind).varint(end - index);
    index = end;
  }
  encodeDifferences(writer, xids);
  for (let index = 0; index < count; index += 1) {
    const gap = (starts[index] ?? 0) - (index === 0 ? 0 : (ends[index - 1] ?? 0));
    assert(gap >= 0 && gap % 8 === 0, 'commits out of order');
    writer.varint(gap / 8);
  }
  for (let index = 0; index < count; index += 1) {
    const lengthBytes = (ends[index] ?? 0) - (starts[index] ?? 0);
    assert(lengthBytes >= 0 && lengthBytes % 8 === 0, 'a commit that ends before it starts');
    writer.varint(lengthBytes / 8);
  }
  encodeDifferences(writer, times);
}

/** Each as the zigzag difference to the one before; whole numbers that are far from 2^53. */
function encodeDifferences(writer: ByteWriter, column: Uint32Array | Float64Array): void {
  let before = 0;
  for (const value of column) {
    const difference = value - before;
    writer.varint(difference < 0 ? -difference * 2 - 1 : difference * 2);
    before = value;
  }
}

function encodeChanges(writer: ByteWriter, changes: readonly BlockChanges[]): void {
  writer.varint(changes.length);
  let before: BlockChanges | undefined;
  for (const change of changes) {
    const { spcOid, dbOid, relNumber, fork } = change.relation;
    const same = before !== undefined && before.relation.spcOid === spcOid && before.relation.dbOid === dbOid;
    const cut = change.truncatedTo !== undefined;
    writer.u8((same ? changeFlags.sameDatabase : 0) | (cut ? changeFlags.cut : 0) | (fork << changeFlags.forkShift));
    if (!same) writer.varint(spcOid).varint(dbOid);
    writer.varint(same ? relNumber - (before?.relation.relNumber ?? 0) : relNumber);
    if (change.truncatedTo !== undefined) writer.varint(change.truncatedTo);
    writer.varint(change.blocks.length);
    let next = 0;
    for (const block of change.blocks) {
      writer.varint(block - next);
      next = block + 1;
    }
    before = change;
  }
}

/** Throws `decode` where the bytes are not an index that `encodeSegmentIndex` could have made. */
export function decodeSegmentIndex(bytes: Uint8Array): SegmentIndex {
  const reader = new BoundedReader(bytes, 'WAL index');
  const found = reader.u8();
  if (found !== format) reader.fail(`format ${found} where ${format} is expected`);
  const walMagic = reader.varint();
  if (walMagic > 0xffff) reader.fail(`magic ${walMagic}`);
  const identifier = systemIdentifier(reader.bigVarint());
  const segmentTimeline = readTimeline(reader);
  const segmentBytes = 2 ** reader.u8();
  if (!isSegmentSize(segmentBytes)) reader.fail(`segments of ${segmentBytes} bytes`);
  const walBlockBytes = 2 ** reader.u8();
  if (walBlockBytes < 1024 || walBlockBytes > 65_536) reader.fail(`WAL pages of ${walBlockBytes} bytes`);
  const number = reader.bigVarint();
  const startLsn = number * BigInt(segmentBytes);
  if (startLsn + BigInt(segmentBytes) > 0xffff_ffff_ffff_ffffn) reader.fail(`segment number ${number}`);

  const segmentUnits = segmentBytes / 8;
  const at = (units: number): Lsn => (startLsn + BigInt(units * 8)) as Lsn;
  /** A position at most `limit` units into the segment. */
  const position = (limit: number, from = 0): number => {
    const units = from + reader.varint();
    return units > limit ? reader.fail('a position beyond the end of the segment') : units;
  };
  const first = position(segmentUnits);
  const firstRecordLsn = first === 0 ? undefined : at(first - 1);
  const previousRecordLsn = readPrevious(reader, firstRecordLsn);
  const last = position(segmentUnits);
  const usedEndLsn = at(position(segmentUnits));
  const ending = endings[reader.u8()] ?? reader.fail('an unknown ending');
  const problem = readProblem(reader);
  const commitColumns = decodeCommits(reader, lsn(startLsn), segmentBytes);
  let commits: Commit[] | undefined;
  const restorePoints = Array.from({ length: readCount(reader, 4, 'restore points') }, (): RestorePoint => {
    const start = position(segmentUnits - 1);
    const end = position(segmentUnits, start);
    return { lsn: at(start), endLsn: at(end), time: readTime(reader), name: reader.text() };
  });
  const changes = decodeChanges(reader);
  const events = decodeEvents(reader, lsn(startLsn), segmentUnits);
  const continuationBytes = readU32(reader);
  const head = readKept(reader);
  if (head.length > continuationBytes) reader.fail('more bytes kept than there were');
  const tailStart = position(segmentUnits);
  const tail = tailStart === 0 ? undefined : { lsn: at(tailStart - 1), bytes: readKept(reader) };
  reader.end();
  return {
    walMagic,
    postgresMajor: majorOfMagic(walMagic),
    systemIdentifier: identifier,
    timeline: segmentTimeline,
    startLsn: lsn(startLsn),
    endLsn: at(segmentUnits),
    walBlockBytes,
    firstRecordLsn,
    previousRecordLsn,
    lastRecordLsn: last === 0 ? undefined : at(last - 1),
    usedEndLsn,
    ending,
    get commits(): readonly Commit[] {
      commits ??= commitsOf(commitColumns);
      return commits;
    },
    commitColumns,
    restorePoints,
    changes,
    events,
    continuationBytes,
    head,
    tail,
    ...(problem !== undefined && { problem }),
  };
}

function readPrevious(reader: BoundedReader, from: Lsn | undefined): Lsn | undefined {
  const bytes = reader.bigVarint();
  if (bytes === 0n) return undefined;
  return from === undefined || bytes > from ? reader.fail(`a record ${bytes} bytes before`) : lsn(from - bytes);
}

function readProblem(reader: BoundedReader): string | undefined {
  const flag = reader.u8();
  if (flag > 1) reader.fail(`${flag} where 0 or 1 is expected`);
  return flag === 1 ? reader.text() : undefined;
}

function readKept(reader: BoundedReader): Uint8Array {
  const length = reader.varint();
  if (length > maxKeptBytes) reader.fail(`${length} bytes of a record where at most ${maxKeptBytes} are kept`);
  return new Uint8Array(reader.bytes(length));
}

function decodeCommits(reader: BoundedReader, startLsn: Lsn, segmentBytes: number): CommitColumns {
  const count = readCount(reader, 4, 'commits');
  const kinds = new Uint8Array(count);
  for (let index = 0; index < count;) {
    const kind = reader.u8();
    if (kind >= commitKinds.length) reader.fail(`a commit of kind ${kind}`);
    const run = reader.varint();
    if (run === 0 || run > count - index) reader.fail(`a run of ${run} commits`);
    kinds.fill(kind, index, index + run);
    index += run;
  }
  const xids = new Uint32Array(count);
  decodeDifferences(reader, xids, 0, 0xffff_ffff);
  // a start is told from the end before it, and that by the lengths: read both columns, then add up
  const starts = new Uint32Array(count);
  const ends = new Uint32Array(count);
  for (let index = 0; index < count; index += 1) starts[index] = readU32(reader);
  let end = 0;
  for (let index = 0; index < count; index += 1) {
    const start = end + (starts[index] ?? 0) * 8;
    end = start + reader.varint() * 8;
    if (end > segmentBytes) reader.fail('a commit beyond the end of the segment');
    starts[index] = start;
    ends[index] = end;
  }
  const times = new Float64Array(count);
  decodeDifferences(reader, times, minTime, maxTime);
  return { startLsn, xids, starts, ends, times, kinds };
}

function decodeDifferences(reader: BoundedReader, into: Uint32Array | Float64Array, least: number, most: number): void {
  let value = 0;
  for (let index = 0; index < into.length; index += 1) {
    const folded = reader.varint();
    value += folded % 2 === 0 ? folded / 2 : -(folded + 1) / 2;
    if (value < least || value > most) reader.fail(`${value} where ${least} to ${most} is expected`);
    into[index] = value;
  }
}

function decodeChanges(reader: BoundedReader): BlockChanges[] {
  const count = readCount(reader, 3, 'relations');
  const changes: BlockChanges[] = [];
  let before: BlockChanges | undefined;
  for (let index = 0; index < count; index += 1) {
    const flags = reader.u8();
    if (flags > 0xf) reader.fail(`flags ${flags} of a relation`);
    const same = (flags & changeFlags.sameDatabase) !== 0;
    const spcOid = same ? (before?.relation.spcOid ?? reader.fail('no relation before')) : readU32(reader);
    const dbOid = same ? (before?.relation.dbOid ?? 0) : readU32(reader);
    const relNumber = readU32(reader) + (same ? (before?.relation.relNumber ?? 0) : 0);
    if (relNumber > 0xffff_ffff) reader.fail(`file number ${relNumber}`);
    const truncatedTo = (flags & changeFlags.cut) === 0 ? undefined : readU32(reader);
    const change: BlockChanges = {
      relation: { spcOid, dbOid, relNumber, fork: flags >> changeFlags.forkShift },
      blocks: readBlocks(reader),
      ...(truncatedTo !== undefined && { truncatedTo }),
    };
    if (before !== undefined && compareRelations(before, change) >= 0) reader.fail('relations out of order');
    changes.push(change);
    before = change;
  }
  return changes;
}

function readBlocks(reader: BoundedReader): Uint32Array {
  const blocks = new Uint32Array(readCount(reader, 1, 'blocks'));
  let next = 0;
  for (let index = 0; index < blocks.length; index += 1) {
    const block = next + reader.varint();
    if (block > 0xffff_ffff) reader.fail(`block ${block}`);
    blocks[index] = block;
    next = block + 1;
  }
  return blocks;
}
