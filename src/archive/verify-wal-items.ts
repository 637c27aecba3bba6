import type { Timeline } from '../postgres/timeline.ts';
import type { ErrorCode } from '../errors/catalogue.ts';

/** Objects of one log to be read back; structured-cloneable. */
export interface VerifyWalTask {
  readonly timeline: Timeline;
  readonly log: bigint;
  /** Names of objects in the log's folder. */
  readonly names: readonly string[];
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
  /** Whole segments that have no index: WAL that pgrecall cannot read, or a crash before the index was written. */
  readonly withoutIndex: readonly string[];
}
