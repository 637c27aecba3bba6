import { BoundedReader } from '../bytes/bounded-reader.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';
import type { RestorePoint, SegmentEnding, SegmentIndex } from '../wal/segment-index.ts';
import { barriersOf, decodeBarriers, encodeBarriers, type SegmentBarrier } from './barriers.ts';

/**
 * What a catalogue has to know of a segment: some tens of bytes, where its index has thousands. Times are
 * microseconds since 2000-01-01 UTC, as in WAL.
 */
export interface SegmentSummary {
  /** Of the first and the last transaction that committed; `undefined` where none did. */
  readonly firstCommitTime: bigint | undefined;
  readonly lastCommitTime: bigint | undefined;
  /** The latest end of a transaction, aborted ones included: a target time after it is not in this segment. */
  readonly latestEndTime: bigint | undefined;
  /** Where its whole records end, in bytes from its beginning. */
  readonly usedBytes: number;
  readonly ending: SegmentEnding;
  /** Whether its index is whole: WAL of an unknown version, or damaged, is archived all the same. */
  readonly readable: boolean;
  /** Whether the record that crosses into the next segment may be the end of a transaction or a restore point. */
  readonly tailMayTell: boolean;
  /** Whether a record that begins in it may make a tablespace; `false` only where it is certain that none does. */
  readonly mayMakeTablespace: boolean;
  readonly restorePoints: readonly string[];
  /** In order. */
  readonly barriers: readonly SegmentBarrier[];
}

const endings: readonly SegmentEnding[] = ['full', 'switch', 'end-of-wal'];
const format = 1;
const flags = { commits: 4, ends: 8, readable: 16, tailMayTell: 32, noTablespace: 64, barriers: 128 } as const;

/** Resource managers whose records end transactions or name restore points: XLOG and Transaction. */
const tellingManagers = new Set([0, 1]);
const tablespaceManagers = new Set([5]);
const resourceManagerAt = 17;

export function summarize(index: SegmentIndex): SegmentSummary {
  const columns = index.commitColumns;
  let first: number | undefined;
  let last: number | undefined;
  let latest: number | undefined;
  if (columns) {
    const { times, kinds } = columns;
    for (let i = 0; i < times.length; i += 1) {
      const time = times[i] ?? 0;
      if (latest === undefined || time > latest) latest = time;
      // 0 commit, 2 commit of a prepared one
      if (kinds[i] !== 0 && kinds[i] !== 2) continue;
      first ??= time;
      last = time;
    }
  }
  const asTime = (value: number | undefined): bigint | undefined => (value === undefined ? undefined : BigInt(value));
  return {
    firstCommitTime: asTime(first),
    lastCommitTime: asTime(last),
    latestEndTime: asTime(latest),
    usedBytes: Number(index.usedEndLsn - index.startLsn),
    ending: index.ending,
    readable: index.problem === undefined,
    tailMayTell: tailMayBeOf(index, tellingManagers),
    mayMakeTablespace: mayMakeTablespace(index),
    restorePoints: index.restorePoints.map((point: RestorePoint) => point.name),
    barriers: barriersOf(index),
  };
}

function tailMayBeOf({ tail }: SegmentIndex, managers: ReadonlySet<number>): boolean {
  if (!tail) return false;
  const manager = tail.bytes[resourceManagerAt];
  return manager === undefined || managers.has(manager);
}

function mayMakeTablespace(index: SegmentIndex): boolean {
  if (index.problem !== undefined || tailMayBeOf(index, tablespaceManagers)) return true;
  return index.events.some(({ kind }) => kind === 'tablespace-create');
}

export function encodeSummary(summary: SegmentSummary, into: ByteWriter): void {
  const { firstCommitTime, lastCommitTime, latestEndTime, restorePoints, barriers } = summary;
  into.u8(format);
  into.u8(
    endings.indexOf(summary.ending) |
      (firstCommitTime === undefined ? 0 : flags.commits) |
      (latestEndTime === undefined ? 0 : flags.ends) |
      (summary.readable ? flags.readable : 0) |
      (summary.tailMayTell ? flags.tailMayTell : 0) |
      (summary.mayMakeTablespace ? 0 : flags.noTablespace) |
      (barriers.length === 0 ? 0 : flags.barriers),
  );
  into.varint(summary.usedBytes);
  if (firstCommitTime !== undefined) into.i64(firstCommitTime).i64(lastCommitTime ?? firstCommitTime);
  if (latestEndTime !== undefined) into.i64(latestEndTime);
  into.varint(restorePoints.length);
  for (const name of restorePoints) into.text(name);
  if (barriers.length > 0) encodeBarriers(barriers, into);
}

/** Fails through its reader on what `encodeSummary` cannot have made. */
export function decodeSummary(reader: BoundedReader): SegmentSummary {
  const found = reader.u8();
  if (found !== format) reader.fail(`a summary of format ${found} where ${format} is expected`);
  const head = reader.u8();
  const ending = endings[head & 3] ?? reader.fail('an unknown ending');
  const usedBytes = reader.varint();
  const hasCommits = (head & flags.commits) !== 0;
  const firstCommitTime = hasCommits ? reader.i64() : undefined;
  const lastCommitTime = hasCommits ? reader.i64() : undefined;
  const latestEndTime = (head & flags.ends) === 0 ? undefined : reader.i64();
  const count = reader.varint();
  if (count > reader.remaining) reader.fail(`${count} restore points in ${reader.remaining} bytes`);
  const restorePoints = Array.from({ length: count }, () => reader.text());
  return {
    firstCommitTime,
    lastCommitTime,
    latestEndTime,
    usedBytes,
    ending,
    readable: (head & flags.readable) !== 0,
    tailMayTell: (head & flags.tailMayTell) !== 0,
    mayMakeTablespace: (head & flags.noTablespace) === 0,
    restorePoints,
    barriers: (head & flags.barriers) === 0 ? [] : decodeBarriers(reader),
  };
}
