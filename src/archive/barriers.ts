import type { BoundedReader } from '../bytes/bounded-reader.ts';
import type { ByteWriter } from '../bytes/byte-writer.ts';
import type { Lsn } from '../postgres/lsn.ts';
import type { SegmentIndex } from '../wal/segment-index.ts';

/*
 * A barrier is a record that PostgreSQL refuses to replay in a recovery from the archive: the one by which a server says
 * that its wal_level is minimal from here on (xlogrecovery.c, CheckRequiredParameterValues, called for each
 * XLOG_PARAMETER_CHANGE). No backup that was taken before it leads beyond; one that was taken later does.
 */

/** In one segment. */
export interface SegmentBarrier {
  /** Where the record starts, in bytes from the beginning of the segment. */
  readonly atBytes: number;
  /** Of the last transaction that committed before it in this segment; microseconds since 2000-01-01 UTC. */
  readonly lastCommitTime: bigint | undefined;
}

/** On a timeline. */
export interface Barrier {
  readonly lsn: Lsn;
  /** Of the last transaction that committed before it, as far as that is known. */
  readonly lastCommitTime: bigint | undefined;
}

/** In the header of a record; and where the record that changes parameters has the level, behind that and its length. */
const infoAt = 16;
const resourceManagerAt = 17;
const walLevelAt = 46;
const parameterChange = 0x60;

/**
 * In the order of WAL. A change of parameters that crosses into the next segment, and says its level only there, counts:
 * one in half a million of such records does.
 */
export function barriersOf(index: SegmentIndex): SegmentBarrier[] {
  const positions = index.events.flatMap((event) => {
    return event.kind === 'parameter-change' && event.walLevel === 'minimal' ? [event.lsn] : [];
  });
  if (index.tail && mayBeBarrier(index.tail.bytes)) positions.push(index.tail.lsn);
  return positions.map((lsn) => {
    const atBytes = Number(lsn - index.startLsn);
    return { atBytes, lastCommitTime: lastCommitBefore(index, atBytes) };
  });
}

function mayBeBarrier(bytes: Uint8Array): boolean {
  const isChange = bytes[resourceManagerAt] === 0 && ((bytes[infoAt] ?? 0) & 0xf0) === parameterChange;
  return isChange && (bytes[walLevelAt] ?? 0) === 0;
}

function lastCommitBefore({ commitColumns }: SegmentIndex, atBytes: number): bigint | undefined {
  if (!commitColumns) return undefined;
  const { starts, kinds, times } = commitColumns;
  let last: number | undefined;
  for (let i = 0; i < starts.length && (starts[i] ?? 0) < atBytes; i += 1) {
    // 0 commit, 2 commit of a prepared one
    if (kinds[i] === 0 || kinds[i] === 2) last = times[i];
  }
  return last === undefined ? undefined : BigInt(last);
}

/** At least one. */
export function encodeBarriers(barriers: readonly SegmentBarrier[], into: ByteWriter): void {
  into.varint(barriers.length);
  for (const { atBytes, lastCommitTime } of barriers) {
    into.varint(atBytes).u8(lastCommitTime === undefined ? 0 : 1);
    if (lastCommitTime !== undefined) into.i64(lastCommitTime);
  }
}

/** Fails through its reader on what `encodeBarriers` cannot have made. */
export function decodeBarriers(reader: BoundedReader): SegmentBarrier[] {
  const count = reader.varint();
  if (count === 0 || count > reader.remaining) reader.fail(`${count} barriers in ${reader.remaining} bytes`);
  return Array.from({ length: count }, () => {
    const atBytes = reader.varint();
    const has = reader.u8();
    if (has > 1) reader.fail('unknown bits');
    return { atBytes, lastCommitTime: has === 0 ? undefined : reader.i64() };
  });
}
