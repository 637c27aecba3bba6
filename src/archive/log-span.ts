import { BoundedReader } from '../bytes/bounded-reader.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { assert } from '../errors/pgrecall-error.ts';
import { decodeBarriers, encodeBarriers, type SegmentBarrier } from './barriers.ts';
import type { SegmentSummary } from './segment-summary.ts';
import { logsPerGroup } from './wal-keys.ts';

/** Segments of one log, one after the other, through which replay goes. */
export interface LogRun {
  /** Of the first one, counted in the log from 0. */
  readonly place: number;
  /** Whole ones; 0 where all there is is the beginning of one. */
  readonly segments: number;
  /** Where replay ends in the last of them, or in the beginning, in bytes from its start; `undefined`: at its end. */
  readonly usedBytes: number | undefined;
  readonly firstCommitTime: bigint | undefined;
  readonly lastCommitTime: bigint | undefined;
  /** In order, each with its place in the log; absent where there are none. */
  readonly barriers?: readonly PlacedBarrier[];
}

export interface PlacedBarrier extends SegmentBarrier {
  /** Of its segment, counted in the log from 0. */
  readonly place: number;
}

/** What a catalogue has to know of a log. */
export interface LogSpan {
  /** Of a log that is not whole: what lay in its folder when this was found, as `hashContents` gives it. */
  readonly contents: string | undefined;
  /** In order; beginnings of segments behind the whole ones. */
  readonly runs: readonly LogRun[];
}

/** A segment, or the beginning of one; without a summary where it cannot be read. */
export interface PlacedSegment {
  readonly place: number;
  readonly summary: SegmentSummary | undefined;
}

/** Joins what a log has, in the order of the segments, into runs. */
export function runsOf(whole: readonly PlacedSegment[], begun: readonly PlacedSegment[] = []): LogRun[] {
  const runs: { -readonly [key in keyof LogRun]: LogRun[key] }[] = [];
  for (const { place, summary } of whole) {
    let run = runs.at(-1);
    if (!run || run.usedBytes !== undefined || run.place + run.segments !== place) {
      run = { place, segments: 0, usedBytes: undefined, firstCommitTime: undefined, lastCommitTime: undefined };
      runs.push(run);
    }
    run.segments += 1;
    if (summary && summary.barriers.length > 0) {
      run.barriers = [...(run.barriers ?? []), ...placed(summary, place, run.lastCommitTime)];
    }
    run.firstCommitTime ??= summary?.firstCommitTime;
    run.lastCommitTime = summary?.lastCommitTime ?? run.lastCommitTime;
    if (summary && endsEarly(summary)) run.usedBytes = summary.usedBytes;
  }
  for (const { place, summary } of begun) {
    if (!summary) continue;
    const { usedBytes, firstCommitTime, lastCommitTime } = summary;
    const barriers = placed(summary, place, undefined);
    runs.push({
      place,
      segments: 0,
      usedBytes,
      firstCommitTime,
      lastCommitTime,
      ...(barriers.length > 0 ? { barriers } : {}),
    });
  }
  return runs;
}

function placed({ barriers }: SegmentSummary, place: number, before: bigint | undefined): PlacedBarrier[] {
  return barriers.map(({ atBytes, lastCommitTime }) => ({ place, atBytes, lastCommitTime: lastCommitTime ?? before }));
}

/** Of a log whose segments are all there. */
export function spanOfLog(summaries: readonly SegmentSummary[]): LogSpan {
  return { contents: undefined, runs: runsOf(summaries.map((summary, place) => ({ place, summary }))) };
}

/** Replay would take such a segment for the end of WAL, although others follow it. */
function endsEarly({ ending, readable }: SegmentSummary): boolean {
  return readable && ending === 'end-of-wal';
}

/*
 * A group of 256 logs. For each of them a kind, and what follows it:
 *
 *   0  nothing is known of it, or it is not there
 *   1  whole, replay goes through, nothing committed
 *   2  the same with commits: times of the first and of the last one
 *   3  whole: runs
 *   4  not whole: the hash of what its folder has, 16 bytes; runs
 *
 * Runs: how many, then each: place, segments, 0 or bytes used + 1, bits for what follows: the times of its commits,
 * its barriers with their places before them.
 */

const format = 1;
const kinds = { unknown: 0, quiet: 1, busy: 2, whole: 3, other: 4 } as const;
const bits = { commits: 1, barriers: 2 } as const;
const hashBytes = 16;

export type Group = readonly (LogSpan | undefined)[];

export function encodeGroup(spans: Group, segmentsPerLog: number): Uint8Array {
  assert(spans.length === Number(logsPerGroup), `a group of ${spans.length} logs`);
  const writer = new ByteWriter(spans.length * 18);
  writer.u8(format);
  for (const span of spans) encodeSpan(span, segmentsPerLog, writer);
  return writer.finish();
}

function encodeSpan(span: LogSpan | undefined, segmentsPerLog: number, writer: ByteWriter): void {
  if (!span) {
    writer.u8(kinds.unknown);
    return;
  }
  const [first] = span.runs;
  const only = span.runs.length === 1 ? first : undefined;
  if (span.contents !== undefined) writer.u8(kinds.other).bytes(Buffer.from(span.contents, 'hex'));
  else if (only?.segments === segmentsPerLog && only.usedBytes === undefined && !only.barriers) {
    writer.u8(only.firstCommitTime === undefined ? kinds.quiet : kinds.busy);
    if (only.firstCommitTime !== undefined) writer.i64(only.firstCommitTime);
    if (only.firstCommitTime !== undefined) writer.i64(only.lastCommitTime ?? only.firstCommitTime);
    return;
  } else writer.u8(kinds.whole);
  writer.varint(span.runs.length);
  for (const { place, segments, usedBytes, firstCommitTime, lastCommitTime, barriers } of span.runs) {
    writer.varint(place).varint(segments);
    writer.varint(usedBytes === undefined ? 0 : usedBytes + 1);
    writer.u8((firstCommitTime === undefined ? 0 : bits.commits) | (barriers ? bits.barriers : 0));
    if (firstCommitTime !== undefined) writer.i64(firstCommitTime).i64(lastCommitTime ?? firstCommitTime);
    if (!barriers) continue;
    encodeBarriers(barriers, writer);
    for (const barrier of barriers) writer.varint(barrier.place);
  }
}

/** Throws `decode` for what `encodeGroup` cannot have made. */
export function decodeGroup(bytes: Uint8Array, segmentsPerLog: number): (LogSpan | undefined)[] {
  const reader = new BoundedReader(bytes, 'group of logs');
  const found = reader.u8();
  if (found !== format) reader.fail(`format ${found} where ${format} is expected`);
  const spans = Array.from({ length: Number(logsPerGroup) }, () => decodeSpan(reader, segmentsPerLog));
  reader.end();
  return spans;
}

function decodeSpan(reader: BoundedReader, segmentsPerLog: number): LogSpan | undefined {
  const kind = reader.u8();
  switch (kind) {
    case kinds.unknown:
      return undefined;
    case kinds.quiet:
    case kinds.busy:
      return {
        contents: undefined,
        runs: [{ place: 0, segments: segmentsPerLog, usedBytes: undefined, ...decodeTimes(reader, kind - 1) }],
      };
    case kinds.whole:
      return { contents: undefined, runs: decodeRuns(reader, segmentsPerLog) };
    case kinds.other:
      return {
        contents: Buffer.from(reader.bytes(hashBytes)).toString('hex'),
        runs: decodeRuns(reader, segmentsPerLog),
      };
    default:
      return reader.fail(`a log of kind ${kind}`);
  }
}

function decodeRuns(reader: BoundedReader, segmentsPerLog: number): LogRun[] {
  const count = reader.varint();
  // A beginning beside each segment at most.
  if (count > segmentsPerLog * 2) reader.fail(`${count} runs in a log of ${segmentsPerLog} segments`);
  return Array.from({ length: count }, () => {
    const place = reader.varint();
    const segments = reader.varint();
    if (place >= segmentsPerLog || place + segments > segmentsPerLog) reader.fail(`segments beyond the log's end`);
    const used = reader.varint();
    const head = reader.u8();
    if (head > 3) reader.fail('unknown bits');
    const times = decodeTimes(reader, head & bits.commits);
    const barriers = (head & bits.barriers) === 0 ? undefined : decodePlaced(reader, segmentsPerLog);
    const usedBytes = used === 0 ? undefined : used - 1;
    return { place, segments, usedBytes, ...times, ...(barriers ? { barriers } : {}) };
  });
}

function decodePlaced(reader: BoundedReader, segmentsPerLog: number): PlacedBarrier[] {
  return decodeBarriers(reader).map((barrier) => {
    const place = reader.varint();
    if (place >= segmentsPerLog) reader.fail('a barrier beyond the end of the log');
    return { place, ...barrier };
  });
}

function decodeTimes(reader: BoundedReader, has: number): Pick<LogRun, 'firstCommitTime' | 'lastCommitTime'> {
  return has === 0
    ? { firstCommitTime: undefined, lastCommitTime: undefined }
    : { firstCommitTime: reader.i64(), lastCommitTime: reader.i64() };
}
