import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupRecord } from '../repository/backup-record.ts';
import { findGaps, type WalGap } from './recoverable.ts';
import { readWalCatalogue, type WalCatalogue } from './wal-catalogue.ts';
import type { WalStore } from './wal-store.ts';

const patienceMs = 5000;
const pollMs = 250;

/**
 * The gaps that stay. The archiver stores several segments at once, and they arrive in any order: what is missing
 * between two that are there may come a moment later.
 */
export async function lastingGaps(
  store: WalStore,
  backups: readonly BackupRecord[],
  options: {
    /** Read just now, where it was. */
    readonly catalogue?: WalCatalogue;
    readonly signal: AbortSignal;
  },
): Promise<readonly WalGap[]> {
  let gaps = findGaps(backups, options.catalogue ?? (await readWalCatalogue(store)), store.segmentBytes);
  for (let waitedMs = 0; gaps.length > 0 && waitedMs < patienceMs; waitedMs += pollMs) {
    await sleep(pollMs, undefined, { signal: options.signal });
    gaps = findGaps(backups, await readWalCatalogue(store), store.segmentBytes);
  }
  return gaps;
}
