import type { Lsn } from '../postgres/lsn.ts';
import { isHistoryName, segmentNumber, segmentStart, type SegmentName } from '../postgres/segment-name.ts';
import { parseHistory, type TimelineHistory } from '../postgres/timeline-history.ts';
import { timeline as toTimeline, type Timeline } from '../postgres/timeline.ts';
import type { WalStore } from './wal-store.ts';

/*
 * After a failover the old primary may bring more WAL of the timeline that was left: its own crash recovery writes some,
 * and it archives what it wrote before it died. That is right, one may want to recover to it. But a standby that has not
 * heard of the new timeline yet asks for more of the old one before it looks for a newer (xlogrecovery.c,
 * WaitForWALToBecomeAvailable). What it replayed beyond the fork would keep it from following the new primary, for ever.
 * So a standby gets no WAL from behind the place where the newest timeline left the one that it asks for.
 */

/** Where the newest timeline that comes from `timeline` left it; `undefined` where none does. */
export function leftAt(timeline: Timeline, histories: Iterable<TimelineHistory>): Lsn | undefined {
  let newest: TimelineHistory | undefined;
  for (const history of histories) {
    if (!history.parents.some((parent) => parent.timeline === timeline)) continue;
    if (!newest || history.timeline > newest.timeline) newest = history;
  }
  return newest?.parents.find((parent) => parent.timeline === timeline)?.switchLsn;
}

/** How much of a segment a standby gets: all, none, or what lies before a position in it. */
export type SegmentShare =
  | { readonly kind: 'all' }
  | { readonly kind: 'none' }
  | { readonly kind: 'until'; readonly lsn: Lsn };

/** Histories never change: each is read once. */
export class LeftTimelines {
  readonly #store: WalStore;
  readonly #known = new Map<string, TimelineHistory>();

  constructor(store: WalStore) {
    this.#store = store;
  }

  /** And where its timeline was left, if it was. */
  async shareOf({ timeline, number }: SegmentName): Promise<{ readonly share: SegmentShare; readonly leftLsn?: Lsn }> {
    await this.#look();
    const lsn = leftAt(timeline, this.#known.values());
    if (lsn === undefined) return { share: { kind: 'all' } };
    const { segmentBytes } = this.#store;
    if (lsn <= segmentStart(number, segmentBytes)) return { share: { kind: 'none' }, leftLsn: lsn };
    const isBefore = lsn >= segmentStart(segmentNumber(number + 1n), segmentBytes);
    return { share: isBefore ? { kind: 'all' } : { kind: 'until', lsn }, leftLsn: lsn };
  }

  async #look(): Promise<void> {
    for (const name of await this.#store.cluster.listNames(this.#store.keys.walFolder)) {
      if (!isHistoryName(name) || this.#known.has(name)) continue;
      const bytes = await this.#store.getHistory(name);
      if (!bytes) continue;
      const of = toTimeline(Number.parseInt(name.slice(0, 8), 16));
      this.#known.set(name, parseHistory(Buffer.from(bytes).toString('utf8'), of));
    }
  }
}
