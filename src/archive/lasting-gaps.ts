import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupRecord } from '../repository/backup-record.ts';
import { findGaps, type WalGap } from './recoverable.ts';
import { readWalCatalogue, type WalCatalogue } from './wal-catalogue.ts';
import type { WalStore } from './wal-store.ts';

const patienceMs = 5000;
const pollMs = 250;

/** An archiver stores twice as many segments at once as it has threads, of which it has 256 at most. */
const segmentsUnderWay = 512n;

export interface LastingGaps {
  readonly gaps: readonly WalGap[];
  /** In which they were found. */
  readonly catalogue: WalCatalogue;
}

/**
 * The gaps that stay. The archiver stores several segments at once, and they arrive in any order: what is missing
 * between two that are there may come a moment later. What is missing further back does not.
 */
export async function lastingGaps(
  store: WalStore,
  backups: readonly BackupRecord[],
  options: {
    /** Read just now, where it was. */
    readonly catalogue?: WalCatalogue;
    readonly signal: AbortSignal;
  },
): Promise<LastingGaps> {
  const { segmentBytes } = store;
  const look = (catalogue: WalCatalogue): LastingGaps => ({
    gaps: findGaps(backups, catalogue, segmentBytes),
    catalogue,
  });
  let found = look(options.catalogue ?? (await readWalCatalogue(store)));
  for (let waitedMs = 0; mayClose(found, segmentBytes) && waitedMs < patienceMs; waitedMs += pollMs) {
    await sleep(pollMs, undefined, { signal: options.signal });
    found = look(await readWalCatalogue(store));
  }
  return found;
}

function mayClose({ gaps, catalogue }: LastingGaps, segmentBytes: number): boolean {
  return gaps.some((gap) => {
    const last = catalogue.ranges.findLast(({ timeline }) => timeline === gap.timeline);
    return last !== undefined && last.endLsn - gap.toLsn <= segmentsUnderWay * BigInt(segmentBytes);
  });
}
