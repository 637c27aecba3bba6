import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { SegmentName } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { describeLog, listLogSources } from './describe-log.ts';
import { readExpired } from './expired-wal.ts';
import type { LogSpan } from './log-span.ts';
import { logsPerGroup } from './wal-keys.ts';
import type { WalStore } from './wal-store.ts';

/** Places in a log at which the log before is looked at once more: segments come a little out of order. */
const lookBackAt: ReadonlySet<number> = new Set([0, 1, 16]);

/** When segments of the log before are no longer under way: whatever it lacks then may be missing for good. */
const settledAt = 16;

/**
 * After a segment was stored: rolls the index of its log up when that has just become whole, and now and then tells
 * the groups what is new. A failure leaves single objects, which say the same.
 */
export async function rollUpAround(store: WalStore, { timeline, number }: SegmentName): Promise<void> {
  const log = store.keys.logOf(number);
  const place = Number(number - store.keys.firstOfLog(log));
  const last = store.keys.segmentsPerLog - 1;
  try {
    if (place === last) await store.index.rollUpLog(timeline, log);
    else if (lookBackAt.has(place) && log > 0n) await store.index.rollUpLog(timeline, log - 1n);
    if (place === Math.min(settledAt, last)) await writeGroups(store, { timeline, log });
  } catch (error) {
    if (!(error instanceof PgrecallError)) throw error;
  }
}

/**
 * Brings every group of the archive up to date, with logs that are whole and others. Those from `now` on are still
 * being filled, and are left out. Where there is nothing new, some tens of objects are read.
 */
export async function writeGroups(
  store: WalStore,
  now: { readonly timeline: Timeline; readonly log: bigint },
): Promise<void> {
  for (const timeline of await store.listTimelines()) {
    const expired = await readExpired(store, timeline);
    const groups = new Map<bigint, { readonly spans: (LogSpan | undefined)[]; isNew: boolean }>();
    for await (const sources of listLogSources(store, timeline, expired)) {
      const { log } = sources;
      if (timeline === now.timeline && log >= now.log) break;
      const number = log / logsPerGroup;
      const group = groups.get(number) ?? { spans: Array.from({ length: Number(logsPerGroup) }), isNew: false };
      groups.set(number, group);
      const span = await describeLog(store, sources);
      group.spans[Number(log % logsPerGroup)] = span;
      // What holds of the group as it is comes back as the same object.
      group.isNew ||= span !== sources.group;
    }
    for (const [number, { spans, isNew }] of groups) {
      if (isNew) await store.index.writeGroup(timeline, number, spans);
    }
  }
}
