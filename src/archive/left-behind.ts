import { closeSync, fstatSync, openSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode, isErrno } from '../errors/pgrecall-error.ts';
import { lsn } from '../postgres/lsn.ts';
import { isSegmentName, parseSegmentName, segmentOf } from '../postgres/segment-name.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import { readSegmentHeader } from '../wal/page-header.ts';
import type { Stored, WalStore } from './wal-store.ts';

/*
 * What a primary that died had not archived yet, its standby has: it received it. But a standby marks what it receives as
 * archived (walreceiver.c, with archive_mode = on), and once promoted hands over WAL of its new timeline only. Then the
 * archive would lack the last segments before the switch, for ever. So, with the history file of the new timeline, which
 * the server hands over before anything else, goes what pg_wal has of the timelines before it and the archive lacks.
 */

/** xlp_pageaddr, in the header of a page (wal/page-header.ts). */
const pageAddressOffset = 8;

/**
 * Stores the whole segments of `walDirectory` that lie on the way to the timeline and are not archived; their names.
 * The segment in which a timeline was left is on the next one, too. Throws what `WalStore.putSegment` throws.
 */
export async function storeLeftBehind(
  store: WalStore,
  history: TimelineHistory,
  walDirectory: string,
): Promise<readonly string[]> {
  const stored: string[] = [];
  for (const name of leftBehind(store.segmentBytes, history, readdirSync(walDirectory))) {
    try {
      // Settled: the server removes its own, and whoever stored it may have died before it was durable.
      if (await store.settleSegment(name)) continue;
      const bytes = readSegment(join(walDirectory, name));
      if (bytes?.length === store.segmentBytes && (await putReceived(store, name, bytes)) === 'stored')
        stored.push(name);
    } catch (error) {
      // No reason to keep the history back: two contents are both there, and what is missing is told by `check`.
      if (!hasCode(error, 'wal-other-content', 'wal-damaged')) throw error;
    }
  }
  return stored;
}

async function putReceived(store: WalStore, name: string, bytes: Uint8Array): Promise<Stored> {
  const length = receivedLength(bytes);
  if (length === bytes.length) return store.putSegment(name, bytes);
  return store.putPartial(name, bytes.subarray(0, length));
}

/**
 * How much of a segment was received. What follows a switch of segments (pg_switch_wal, archive_timeout) is zeros, page headers
 * and all, and replay needs none of it: a standby whose primary died in between has there what the file held before,
 * which the segment of the primary has not. Throws `wal-damaged` where it does not begin as a segment does.
 */
export function receivedLength(bytes: Uint8Array): number {
  const { startLsn, walBlockBytes: pageBytes } = readSegmentHeader(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; at += pageBytes) {
    const address = view.getBigUint64(at + pageAddressOffset, true);
    if (address === startLsn + BigInt(at)) continue;
    if (!bytes.subarray(at, at + pageBytes).every((byte) => byte === 0)) return at;
  }
  return bytes.length;
}

/** Of the files, the segments that end before their timeline was left, and begin after it was entered. */
export function leftBehind(segmentBytes: number, history: TimelineHistory, files: readonly string[]): string[] {
  const names = files.filter(isSegmentName).toSorted();
  return names.filter((name) => {
    const { timeline, number } = parseSegmentName(name, segmentBytes);
    const at = history.parents.findIndex((parent) => parent.timeline === timeline);
    const parent = history.parents[at];
    if (!parent) return false;
    const entered = history.parents[at - 1]?.switchLsn ?? lsn(0n);
    return number >= segmentOf(entered, segmentBytes) && number < segmentOf(parent.switchLsn, segmentBytes);
  });
}

/** `undefined` where the server takes the file for something else meanwhile: it renames old segments and writes over them. */
function readSegment(path: string): Uint8Array | undefined {
  try {
    const descriptor = openSync(path, 'r');
    try {
      const bytes = readFileSync(descriptor);
      const read = fstatSync(descriptor);
      const now = statSync(path);
      return read.ino === now.ino && read.dev === now.dev ? bytes : undefined;
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
