import type { Lsn } from '../postgres/lsn.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { ReceiveStart } from './receive-plan.ts';

/** What the receiver tells while it works. */
export type ReceiveEvent =
  | { readonly kind: 'slot-made'; readonly slot: string }
  | ({ readonly kind: 'streaming' } & Omit<ReceiveStart, 'unrelated'>)
  | { readonly kind: 'unrelated'; readonly timeline: Timeline }
  | { readonly kind: 'segment-stored'; readonly name: string }
  | { readonly kind: 'partial-stored'; readonly name: string; readonly untilLsn: Lsn }
  | { readonly kind: 'timeline-ended'; readonly timeline: Timeline; readonly next: Timeline; readonly switchLsn: Lsn }
  | { readonly kind: 'gap-accepted'; readonly fromLsn: Lsn; readonly toLsn: Lsn }
  | { readonly kind: 'lost'; readonly error: Error; readonly retryMs: number };

/** Where receiving ended. */
export interface ReceiveResult {
  readonly timeline: Timeline | undefined;
  /** Everything before it is durable; undefined where nothing was received. */
  readonly flushedLsn: Lsn | undefined;
  readonly segmentsStored: number;
}
