import type { Timeline } from '../postgres/timeline.ts';
import type { ErrorCode } from '../errors/catalogue.ts';

/** Objects of one log to be read back; structured-cloneable. */
export interface VerifyWalTask {
  readonly timeline: Timeline;
  readonly log: bigint;
  /** Names of objects in the log's folder; with each segment its index is compared. */
  readonly names: readonly string[];
  /** Segments of which the single index alone is read. */
  readonly indexes: readonly string[];
  /** Whether the index of the whole log is read. */
  readonly rolledUp: boolean;
}

/** Something about archived WAL that is not as it was written. */
export interface WalDamage {
  readonly timeline: Timeline;
  /** The segment; of a damaged index, what it is of. */
  readonly name: string;
  readonly what: 'content' | 'index';
  readonly code: ErrorCode;
  readonly message: string;
}

export interface VerifiedWalObjects {
  /** As PostgreSQL would read them. */
  readonly bytes: number;
  readonly damage: readonly WalDamage[];
}
