import type { Lsn } from '../postgres/lsn.ts';
import type { SegmentIndex } from './segment-index.ts';

/**
 * Whether segments are of one and the same WAL. Every record says where the one before it starts; so does the first of a
 * segment. A server that was put back to an earlier state of its disk writes other WAL under the same names, and what is
 * archived of both does not hang together.
 */
export class SegmentLinks {
  /** Where the last whole record starts. */
  #last: Lsn | undefined;
  /** Where the record starts that was going on at the end of the segment. */
  #goingOn: Lsn | undefined;

  /** Takes segments in order; false where one does not follow the one before. */
  follows(index: SegmentIndex): boolean {
    // one that was given up does not count: the record after it follows the one before
    const before = index.continuationBytes > 0 ? this.#goingOn : this.#last;
    const said = index.previousRecordLsn;
    if (before !== undefined && said !== undefined && said !== before) return false;
    this.#last = index.lastRecordLsn ?? before;
    this.#goingOn = index.tail?.lsn ?? this.#goingOn;
    return true;
  }
}
