import { closeSync, fstatSync, openSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode, isErrno } from '../errors/pgrecall-error.ts';
import { lsn } from '../postgres/lsn.ts';
import { isSegmentName, parseSegmentName, segmentOf } from '../postgres/segment-name.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import type { WalStore } from './wal-store.ts';

/*
 * What a primary that died had not archived yet, its standby has: it received it. But a standby marks what it receives as
 * archived (walreceiver.c, with archive_mode = on), and once promoted hands over WAL of its new timeline only. Then the
 * archive would lack the last segments before the switch, for ever. So, with the history file of the new timeline, which
 * the server hands over before anything else, goes what pg_wal has of the timelines before it and the archive lacks.
 */

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
    if (await isArchived(store, name)) continue;
    const bytes = readSegment(join(walDirectory, name));
    if (bytes?.length !== store.segmentBytes) continue;
    if ((await store.putSegment(name, bytes)) === 'stored') stored.push(name);
  }
  return stored;
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

/** Two contents under one name are both there. */
async function isArchived(store: WalStore, name: string): Promise<boolean> {
  try {
    return (await store.findSegment(name)) !== undefined;
  } catch (error) {
    if (hasCode(error, 'wal-other-content')) return true;
    throw error;
  }
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
