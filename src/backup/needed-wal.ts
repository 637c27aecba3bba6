import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WalStore } from '../archive/wal-store.ts';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, segmentBefore, segmentNumber, segmentOf, segmentStart } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';

export interface NeededWal {
  readonly store: WalStore;
  readonly dataDirectory: string;
  readonly timeline: Timeline;
  readonly startLsn: Lsn;
  readonly stopLsn: Lsn;
  readonly segmentBytes: number;
  /** Up to where the server has WAL in pg_wal; asked again and again. */
  readonly writtenLsn: () => Promise<Lsn>;
  /** A standby cannot switch segments: the last one is stored as far as it goes. */
  readonly fromStandby: boolean;
  readonly timeoutMs: number;
  readonly now: () => Date;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

const pollMs = 100;

/** Names of the segments from the first to the last byte that the backup needs, in order. */
export function neededSegments(needed: {
  readonly timeline: Timeline;
  readonly startLsn: Lsn;
  readonly stopLsn: Lsn;
  readonly segmentBytes: number;
}): string[] {
  const names: string[] = [];
  const last = segmentBefore(needed.stopLsn, needed.segmentBytes);
  for (
    let number = segmentOf(needed.startLsn, needed.segmentBytes);
    number <= last;
    number = segmentNumber(number + 1n)
  ) {
    names.push(formatSegmentName({ timeline: needed.timeline, number }, needed.segmentBytes));
  }
  return names;
}

/**
 * Returns when every segment that the backup needs is in the repository; only then can the backup be
 * called complete. Segments that the archiver has not brought yet, but that lie complete in pg_wal, are
 * stored from there: pushing one twice is harmless, waiting for a stuck archiver is not.
 *
 * Throws `wal-not-archived` when one is still missing after the time given.
 */
export async function ensureWal(needed: NeededWal): Promise<void> {
  const deadlineMs = needed.now().getTime() + needed.timeoutMs;
  for (const name of neededSegments(needed)) {
    let said = false;
    while (!(await isStored(needed, name))) {
      needed.signal.throwIfAborted();
      if (needed.now().getTime() > deadlineMs) throw missing(needed, name);
      if (!said) needed.say(`waiting for ${name} to be archived`);
      said = true;
      await sleep(pollMs, undefined, { signal: needed.signal });
    }
  }
}

async function isStored(needed: NeededWal, name: string): Promise<boolean> {
  if (await needed.store.findSegment(name)) return true;
  const written = await needed.writtenLsn();
  const number = segmentNumberOf(needed, name);
  const start = segmentStart(number, needed.segmentBytes);
  const end = segmentStart(segmentNumber(number + 1n), needed.segmentBytes);
  if (written < end && !(needed.fromStandby && written >= needed.stopLsn && end > needed.stopLsn)) return false;
  const bytes = readIfThere(join(needed.dataDirectory, 'pg_wal', name));
  if (bytes?.length !== needed.segmentBytes) return false;
  if (written >= end) {
    await needed.store.putSegment(name, bytes);
  } else {
    // What lies behind the last byte received is left from an earlier use of the file.
    bytes.fill(0, Number(written - start));
    await needed.store.putPartial(name, bytes);
  }
  return true;
}

function segmentNumberOf(needed: NeededWal, name: string): ReturnType<typeof segmentNumber> {
  const first = segmentOf(needed.startLsn, needed.segmentBytes);
  return segmentNumber(first + BigInt(neededSegments(needed).indexOf(name)));
}

function readIfThere(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EACCES')) return undefined;
    throw error;
  }
}

function missing(needed: NeededWal, name: string): PgrecallError {
  return new PgrecallError(
    'wal-not-archived',
    `the backup needs WAL from ${formatLsn(needed.startLsn)} to ${formatLsn(needed.stopLsn)}, and segment ${name} did not reach the repository within ${Math.round(needed.timeoutMs / 1000)} s`,
    {
      hint: 'look at archive_command’s messages in the server’s log, and at pgrecall check; the backup is not listed, since it could not be restored',
      details: { segment: name, startLsn: formatLsn(needed.startLsn), endLsn: formatLsn(needed.stopLsn) },
    },
  );
}
