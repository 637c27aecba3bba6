import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { WalStore } from '../archive/wal-store.ts';
import { usedPart } from '../archive/partial-segment.ts';
import { PgrecallError, hasCode, isErrno } from '../errors/pgrecall-error.ts';
import { isPartialName, isSegmentName, parseSegmentName, segmentStart } from '../postgres/segment-name.ts';
import { indexSegment } from '../wal/index-segment.ts';
import { readSegmentHeader } from '../wal/page-header.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';

/*
 * WAL in the pg_wal of a directory that is to be restored in place, and nowhere else: what a server that crashed had
 * committed last lies there, and would be gone.
 */

export interface UnarchivedSegment {
  /** In pg_wal. */
  readonly name: string;
  /** Transactions that end in it; `undefined` where it cannot be read. */
  readonly transactions: number | undefined;
  /** Of the last of them. */
  readonly lastTime: bigint | undefined;
}

/**
 * The segments, and beginnings of segments, that the repository does not have, in the order of their names. Left out are
 * those in which no transaction ended: the last segment of a server that was stopped has a checkpoint and no more. So
 * are files that are kept for segments to come, and hold what they held before.
 */
export async function findUnarchivedWal(directory: string, store: WalStore): Promise<UnarchivedSegment[]> {
  const wal = join(directory, 'pg_wal');
  const found: UnarchivedSegment[] = [];
  for (const name of namesIn(wal)) {
    if (existsSync(join(wal, 'archive_status', `${name}.done`))) continue;
    const bytes = readFileSync(join(wal, name));
    const segment = isPartialName(name) ? name.slice(0, -'.partial'.length) : name;
    if (!isWhatItSays(segment, bytes, store.segmentBytes)) continue;
    const { transactions, lastTime, used } = readHeld(bytes);
    if (transactions !== 0 && !(await isStored(store, segment, used))) found.push({ name, transactions, lastTime });
  }
  return found;
}

function namesIn(wal: string): string[] {
  try {
    return readdirSync(wal)
      .filter((name) => isSegmentName(name) || isPartialName(name))
      .toSorted();
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

function isWhatItSays(segment: string, bytes: Uint8Array, segmentBytes: number): boolean {
  try {
    const { number } = parseSegmentName(segment, segmentBytes);
    return readSegmentHeader(bytes).startLsn === segmentStart(number, segmentBytes);
  } catch (error) {
    if (hasCode(error, 'wal-damaged', 'wal-name')) return false;
    throw error;
  }
}

interface Held extends Omit<UnarchivedSegment, 'name'> {
  /** Without what a recycled file held before. */
  readonly used: Uint8Array;
}

function readHeld(bytes: Uint8Array): Held {
  try {
    const index = indexSegment(bytes, { partial: true });
    const { restorePoints, events, ending, problem } = index;
    const commits = index.commits.filter(({ kind }) => kind.startsWith('commit'));
    if (problem !== undefined)
      return { transactions: undefined, lastTime: commits.at(-1)?.time, used: usedPart(bytes) };
    const prepared = events.filter(({ kind }) => kind === 'prepare');
    // A record that began in the segment before may be a commit.
    const begunBefore = index.continuationBytes > 0 ? 1 : 0;
    return {
      transactions: commits.length + restorePoints.length + prepared.length + begunBefore,
      lastTime: commits.at(-1)?.time,
      used: ending === 'full' ? bytes : bytes.subarray(0, Number(index.usedEndLsn - index.startLsn)),
    };
  } catch (error) {
    if (!hasCode(error, 'wal-damaged')) throw error;
    return { transactions: undefined, lastTime: undefined, used: usedPart(bytes) };
  }
}

/** Whether the repository has all that was written in it. */
async function isStored(store: WalStore, segment: string, used: Uint8Array): Promise<boolean> {
  const stored = (await store.getSegment(segment)) ?? (await store.getPartial(segment));
  return stored !== undefined && Buffer.compare(stored.subarray(0, used.length), used) === 0;
}

export function describeUnarchived({ name, transactions, lastTime }: UnarchivedSegment): string {
  if (transactions === undefined) return `${name} (cannot be read)`;
  const last = lastTime === undefined ? '' : `, the last at ${formatTimestamp(lastTime)}`;
  return `${name} (${transactions} transaction${transactions === 1 ? '' : 's'}${last})`;
}

/** Throws `wal-not-archived` where there is any. */
export function refuseUnarchived(directory: string, segments: readonly UnarchivedSegment[]): void {
  if (segments.length === 0) return;
  throw new PgrecallError(
    'wal-not-archived',
    `"${directory}/pg_wal" has WAL that is not in the repository, and would be lost: ${segments.map(describeUnarchived).join(', ')}`,
    {
      hint: 'archive it first (docs/recovery-guide.md, “In place of the original”, step 2), or do without it: --discard-wal',
      details: { segments: segments.map(({ name }) => name) },
    },
  );
}
