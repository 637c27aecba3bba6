import { Bytes, check } from './second-reader-sealed.ts';

/* The second reader's WAL index: docs/repository-format.md, "WAL index". Positions in bytes from the segment's beginning. */

export interface SummaryRead {
  readonly ending: number;
  readonly complete: boolean;
  readonly tailMayTell: boolean;
  readonly certainlyNoTablespace: boolean;
  readonly usedBytes: number;
  readonly commitTimes: readonly [bigint, bigint] | undefined;
  readonly latestEnd: bigint | undefined;
  readonly restorePoints: readonly string[];
  readonly barriers: readonly BarrierRead[];
}

interface BarrierRead {
  readonly atBytes: number;
  readonly lastCommitTime: bigint | undefined;
}

export interface IndexRead {
  readonly magic: number;
  readonly systemIdentifier: bigint;
  readonly timeline: number;
  readonly segmentBytes: number;
  readonly pageBytes: number;
  readonly number: bigint;
  readonly firstRecord: number | undefined;
  /** To the record before the first one. */
  readonly bytesBack: bigint;
  readonly lastRecord: number | undefined;
  readonly usedBytes: number;
  readonly ending: number;
  readonly problem: string | undefined;
  readonly commits: readonly { kind: number; xid: number; start: number; length: number; time: bigint }[];
  readonly restorePoints: readonly { start: number; length: number; time: bigint; name: string }[];
  readonly changes: readonly { fork: readonly number[]; cutTo: number | undefined; blocks: readonly number[] }[];
  readonly events: readonly { kind: number; start: number; fields: readonly (number | bigint | string)[] }[];
  readonly continuationBytes: number;
  readonly head: Buffer;
  readonly tail: { start: number; bytes: Buffer } | undefined;
}

export function readSummaries(bytes: Buffer): SummaryRead[] {
  const reader = new Bytes(bytes);
  const found: SummaryRead[] = [];
  while (reader.left > 0) found.push(readSummary(reader));
  return found;
}

function readSummary(reader: Bytes): SummaryRead {
  check(reader.u8() === 1, 'a summary of another format');
  const head = reader.u8();
  const usedBytes = reader.varint();
  const commitTimes = head & 4 ? ([i64(reader), i64(reader)] as const) : undefined;
  const latestEnd = head & 8 ? i64(reader) : undefined;
  return {
    ending: head & 3,
    complete: (head & 16) !== 0,
    tailMayTell: (head & 32) !== 0,
    certainlyNoTablespace: (head & 64) !== 0,
    usedBytes,
    commitTimes,
    latestEnd,
    restorePoints: Array.from({ length: reader.count() }, () => reader.text()),
    barriers: head & 128 ? Array.from({ length: reader.count() }, () => readBarrier(reader)) : [],
  };
}

function readBarrier(reader: Bytes): BarrierRead {
  return { atBytes: reader.varint(), lastCommitTime: reader.u8() === 1 ? i64(reader) : undefined };
}

export interface RunRead {
  readonly place: number;
  readonly segments: number;
  readonly usedBytes: number | undefined;
  readonly commitTimes: readonly [bigint, bigint] | undefined;
  readonly barriers: readonly BarrierRead[];
  /** Of the segments of the barriers. */
  readonly places: readonly number[];
}

/** For each of its logs what is known: nothing, that it is whole and unbroken, or its runs. */
export function readGroup(
  bytes: Buffer,
  segmentsPerLog: number,
): ({ contents: string; runs: RunRead[] } | undefined)[] {
  const reader = new Bytes(bytes);
  check(reader.u8() === 1, 'a group of another format');
  const logs = Array.from({ length: 256 }, () => {
    const kind = reader.u8();
    check(kind < 5, 'a log of an unknown kind');
    if (kind === 0) return undefined;
    if (kind < 3) {
      const commitTimes = kind === 2 ? ([i64(reader), i64(reader)] as const) : undefined;
      const whole = { place: 0, segments: segmentsPerLog, usedBytes: undefined, commitTimes };
      return { contents: '', runs: [{ ...whole, barriers: [], places: [] }] };
    }
    const contents = kind === 4 ? reader.take(16).toString('hex') : '';
    return { contents, runs: Array.from({ length: reader.count() }, () => readRun(reader)) };
  });
  check(reader.left === 0, 'a group that is too long');
  return logs;
}

function readRun(reader: Bytes): RunRead {
  const [place, segments, used] = [reader.varint(), reader.varint(), reader.varint()];
  const head = reader.u8();
  const commitTimes = head & 1 ? ([i64(reader), i64(reader)] as const) : undefined;
  const barriers = head & 2 ? Array.from({ length: reader.count() }, () => readBarrier(reader)) : [];
  const places = barriers.map(() => reader.varint());
  return { place, segments, usedBytes: used === 0 ? undefined : used - 1, commitTimes, barriers, places };
}

const i64 = (reader: Bytes): bigint => reader.take(8).readBigInt64LE();

function zigzag(reader: Bytes): bigint {
  const value = reader.bigVarint();
  return value & 1n ? -(value + 1n) / 2n : value / 2n;
}

/** Field types of each kind of event: `b` one byte, `v` varint, `z` zigzag, `t` text, `*` a list of what follows. */
const eventFields = 'bvvvb b zvvb b b v  vz vz vvvb vvvvb v*vvv bvv v*v vt v b'.split(' ');

export function readSegmentIndex(bytes: Buffer): IndexRead {
  const reader = new Bytes(bytes);
  check(reader.u8() === 1, 'an index of another format');
  const magic = reader.varint();
  const systemIdentifier = reader.bigVarint();
  const timeline = reader.varint();
  const segmentBytes = 2 ** reader.u8();
  const pageBytes = 2 ** reader.u8();
  const number = reader.bigVarint();
  const first = reader.varint();
  const bytesBack = reader.bigVarint();
  const last = reader.varint();
  const usedBytes = 8 * reader.varint();
  const ending = reader.u8();
  const problem = reader.u8() === 1 ? reader.text() : undefined;
  const commits = readCommits(reader);
  const restorePoints = Array.from({ length: reader.count() }, () => ({
    start: 8 * reader.varint(),
    length: 8 * reader.varint(),
    time: zigzag(reader),
    name: reader.text(),
  }));
  const changes = readChanges(reader);
  const events = readEvents(reader);
  const continuationBytes = reader.varint();
  const head = reader.take(reader.varint());
  const tailStart = reader.varint();
  const tail = tailStart === 0 ? undefined : { start: 8 * (tailStart - 1), bytes: reader.take(reader.varint()) };
  check(reader.left === 0, 'an index that is too long');
  return {
    magic,
    systemIdentifier,
    timeline,
    segmentBytes,
    pageBytes,
    number,
    firstRecord: first === 0 ? undefined : 8 * (first - 1),
    bytesBack,
    lastRecord: last === 0 ? undefined : 8 * (last - 1),
    usedBytes,
    ending,
    problem,
    commits,
    restorePoints,
    changes,
    events,
    continuationBytes,
    head,
    tail,
  };
}

function readCommits(reader: Bytes): IndexRead['commits'] {
  const count = reader.count();
  const kinds: number[] = [];
  while (kinds.length < count) {
    const kind = reader.u8();
    for (let run = reader.varint(); run > 0; run -= 1) kinds.push(kind);
  }
  const xids = differences(reader, count);
  const gaps = kinds.map(() => 8 * reader.varint());
  const lengths = kinds.map(() => 8 * reader.varint());
  const times = differences(reader, count);
  let end = 0;
  return kinds.map((kind, index) => {
    const start = end + (gaps[index] ?? 0);
    const length = lengths[index] ?? 0;
    end = start + length;
    return { kind, xid: Number(xids[index]), start, length, time: times[index] ?? 0n };
  });
}

function differences(reader: Bytes, count: number): bigint[] {
  let value = 0n;
  return Array.from({ length: count }, () => (value += zigzag(reader)));
}

function readChanges(reader: Bytes): IndexRead['changes'] {
  let [tablespace, database, file] = [0, 0, 0];
  return Array.from({ length: reader.count() }, () => {
    const flags = reader.u8();
    if (flags & 1) file += reader.varint();
    else [tablespace, database, file] = [reader.varint(), reader.varint(), reader.varint()];
    const cutTo = flags & 2 ? reader.varint() : undefined;
    let next = 0;
    const blocks = Array.from({ length: reader.count() }, () => {
      const block = next + reader.varint();
      next = block + 1;
      return block;
    });
    return { fork: [tablespace, database, file, flags >> 2], cutTo, blocks };
  });
}

function readEvents(reader: Bytes): IndexRead['events'] {
  let start = 0;
  return Array.from({ length: reader.count() }, () => {
    const kind = reader.u8();
    start += 8 * reader.varint();
    const types = eventFields[kind];
    check(types !== undefined, 'an event of an unknown kind');
    return { kind, start, fields: readFields(reader, types) };
  });
}

function readFields(reader: Bytes, types: string): (number | bigint | string)[] {
  const [once = '', repeated] = types.split('*');
  const fields = once.split('').map((type) => readField(reader, type));
  if (repeated === undefined) return fields;
  for (let count = reader.count(); count > 0; count -= 1) {
    fields.push(...repeated.split('').map((type) => readField(reader, type)));
  }
  return fields;
}

function readField(reader: Bytes, type: string): number | bigint | string {
  switch (type) {
    case 'b':
      return reader.u8();
    case 'z':
      return zigzag(reader);
    case 't':
      return reader.text();
    default:
      return reader.bigVarint();
  }
}
