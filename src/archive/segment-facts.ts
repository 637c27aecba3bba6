import { hasCode, type PgrecallError } from '../errors/pgrecall-error.ts';
import type { SegmentName } from '../postgres/segment-name.ts';
import { indexSegment } from '../wal/index-segment.ts';
import type { SegmentIndex } from '../wal/segment-index.ts';
import { summarize, type SegmentSummary } from './segment-summary.ts';
import type { WalObjectName } from './wal-keys.ts';
import type { WalStore } from './wal-store.ts';

/** What segments say: from their index, and from themselves where that is missing or damaged. */

/**
 * What of a log can be replayed: names of whole segments and of those of which there is a beginning only. A segment
 * of which two contents are stored is neither: nobody can say which is right.
 */
export function sortOut(contents: readonly WalObjectName[]): { readonly whole: string[]; readonly begun: string[] } {
  const times = new Map<string, number>();
  for (const { kind, segment } of contents) {
    times.set(segment, (times.get(segment) ?? 0) + (kind === 'segment' ? 1 : 0));
  }
  const named = (count: number): string[] => [...times.keys()].filter((segment) => times.get(segment) === count);
  return { whole: named(1), begun: named(0) };
}

/** `undefined` where the segment cannot be read. */
export async function summaryOf(store: WalStore, of: SegmentName, name: string): Promise<SegmentSummary | undefined> {
  const summary = await absentIfDamaged(store.index.readSummary(of));
  if (summary) return summary;
  // Rolled up since the log was listed, or stored by someone who died before writing the index.
  const index = await indexOf(store, of, name);
  return index && summarize(index);
}

/** `undefined` where the segment cannot be read. */
export async function indexOf(store: WalStore, of: SegmentName, name: string): Promise<SegmentIndex | undefined> {
  return (await absentIfDamaged(store.index.read(of))) ?? indexWhole(store, name);
}

async function indexWhole(store: WalStore, name: string): Promise<SegmentIndex | undefined> {
  const bytes = await store.getSegment(name);
  return bytes && tryToIndex(bytes, false);
}

/** Of a segment of which only the beginning is there. */
export async function indexBeginning(store: WalStore, name: string): Promise<SegmentIndex | undefined> {
  const bytes = await store.getPartial(name);
  return bytes && tryToIndex(bytes, true);
}

function tryToIndex(bytes: Uint8Array, partial: boolean): SegmentIndex | undefined {
  try {
    return indexSegment(bytes, { partial });
  } catch {
    // Archived although it cannot be read; replay may know better.
    return undefined;
  }
}

/** What an index says, the segment says too: nothing is lost with it. `verify` tells of the damage. */
export async function absentIfDamaged<T>(reading: Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

export function isDamage(error: unknown): error is PgrecallError {
  return hasCode(error, 'object-damaged', 'object-swapped', 'blob-damaged', 'decode');
}
