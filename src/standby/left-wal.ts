import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Stored, WalStore } from '../archive/wal-store.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { invalidLsn, type Lsn } from '../postgres/lsn.ts';
import {
  isHistoryName,
  isPartialName,
  isSegmentName,
  parseSegmentName,
  segmentNumber,
  segmentStart,
} from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { indexSegment } from '../wal/index-segment.ts';
import type { SegmentIndex } from '../wal/segment-index.ts';

/*
 * What the pg_wal of a stopped server holds and the archive does not: the last that a primary had committed before it died
 * lies there. It goes into the repository before a standby is promoted in its stead, which may still replay it, and before the directory is
 * made a standby, which throws it away.
 */

export interface LeftWal {
  /** Put into the repository now; beginnings of segments as `<segment>.partial`. */
  readonly stored: readonly string[];
  /** Files that are no WAL that can be read; they stay where they are. */
  readonly unreadable: readonly string[];
  /** Where WAL of the timeline ends; 0/0 where there is none. */
  readonly endLsn: Lsn;
}

/** Where it goes. */
export type LeftWalStore = Pick<WalStore, 'segmentBytes'> & {
  settleSegment(name: string): Promise<boolean>;
  putSegment(name: string, bytes: Uint8Array): Promise<Stored>;
  putPartial(name: string, bytes: Uint8Array): Promise<Stored>;
  putHistory(name: string, bytes: Uint8Array): Promise<Stored>;
};

/** `walDirectory`: of a server that does not run. Throws what `WalStore.put` throws. */
export async function pushLeftWal(
  store: LeftWalStore,
  walDirectory: string,
  of: Timeline,
  signal: AbortSignal,
): Promise<LeftWal> {
  const stored: string[] = [];
  const unreadable: string[] = [];
  let endLsn = invalidLsn;
  for (const name of readdirSync(walDirectory).toSorted()) {
    signal.throwIfAborted();
    if (isHistoryName(name)) {
      await putHistory(store, name, readFileSync(join(walDirectory, name)), stored);
    } else if (isSegmentName(name) || isPartialName(name)) {
      const path = join(walDirectory, name);
      const segment = isPartialName(name) ? name.slice(0, -'.partial'.length) : name;
      const { timeline, number } = parseSegmentName(segment, store.segmentBytes);
      if (existsSync(join(walDirectory, 'archive_status', `${name}.done`)) && (await store.settleSegment(segment))) {
        if (timeline === of) endLsn = laterOf(endLsn, segmentStart(segmentNumber(number + 1n), store.segmentBytes));
        continue;
      }
      const bytes = readFileSync(path);
      const index = readIndex(segment, bytes, store.segmentBytes);
      if (index === 'other') continue;
      if (index === 'unreadable') {
        unreadable.push(name);
        continue;
      }
      if (timeline === of) endLsn = laterOf(endLsn, index.usedEndLsn);
      const isWhole = index.ending !== 'end-of-wal' && isSegmentName(name);
      if (await put(store, segment, bytes, index, isWhole)) stored.push(isWhole ? segment : `${segment}.partial`);
    }
  }
  return { stored, unreadable, endLsn };
}

async function put(
  store: LeftWalStore,
  segment: string,
  bytes: Uint8Array,
  index: SegmentIndex,
  isWhole: boolean,
): Promise<boolean> {
  if (isWhole) return (await store.putSegment(segment, bytes)) === 'stored';
  // What lies behind is of an earlier use of the file.
  const used = bytes.subarray(0, Number(index.usedEndLsn - index.startLsn));
  return used.length > 0 && (await store.putPartial(segment, used)) === 'stored';
}

async function putHistory(store: LeftWalStore, name: string, bytes: Uint8Array, stored: string[]): Promise<void> {
  if ((await store.putHistory(name, bytes)) === 'stored') stored.push(name);
}

/** `other`: a file that is kept for a segment to come, and holds an earlier one. */
function readIndex(segment: string, bytes: Uint8Array, segmentBytes: number): SegmentIndex | 'other' | 'unreadable' {
  try {
    const index = indexSegment(bytes, { partial: true });
    const { number } = parseSegmentName(segment, segmentBytes);
    if (index.startLsn !== segmentStart(number, segmentBytes)) return 'other';
    return index.problem === undefined ? index : 'unreadable';
  } catch (error) {
    if (!hasCode(error, 'wal-damaged')) throw error;
    return bytes.every((byte) => byte === 0) ? 'other' : 'unreadable';
  }
}

function laterOf(a: Lsn, b: Lsn): Lsn {
  return a > b ? a : b;
}
