import type { Lsn } from '../postgres/lsn.ts';
import type { SystemIdentifier } from '../postgres/system-identifier.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { CommitColumns } from './commit-columns.ts';
import type { RelationFork, WalEvent } from './wal-event.ts';

/*
 * The WAL index of one segment: what pgrecall learns from a segment while it archives it. `indexSegment` makes an
 * index, `joinRecord` adds the record between two segments, `encodeSegmentIndex` and `decodeSegmentIndex` store it.
 */

export interface Commit {
  /** Of the transaction; for a prepared one the xid that it was prepared under. */
  readonly xid: number;
  /** Where the record starts. */
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
  /** Microseconds since 2000-01-01 UTC, as in WAL. */
  readonly time: bigint;
  readonly kind: 'commit' | 'abort' | 'commit-prepared' | 'abort-prepared';
}

export interface RestorePoint {
  readonly name: string;
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
  readonly time: bigint;
}

/**
 * The blocks of one fork that records refer to.
 *
 * `truncatedTo`: the fork was cut to (or, with 0, created, dropped or replaced at) this many blocks meanwhile;
 * `blocks` at or beyond it are those touched after that. A relNumber of 0 with `truncatedTo` 0 stands for all
 * relations of that database in that tablespace (CREATE and DROP DATABASE).
 * Free space maps are not fully logged, and clearing bits of the visibility map is logged without a reference to its
 * block: what is copied by block must take these two forks whole.
 */
export interface BlockChanges {
  readonly relation: RelationFork;
  /** Ascending and distinct. */
  readonly blocks: Uint32Array;
  readonly truncatedTo?: number;
}

/** How the records of a segment end: at its end, by a switch record, or before it (WAL had not got further). */
export type SegmentEnding = 'full' | 'switch' | 'end-of-wal';

export interface SegmentIndex {
  readonly walMagic: number;
  /** Undefined for a version that pgrecall does not know; `problem` then says so. */
  readonly postgresMajor: number | undefined;
  readonly systemIdentifier: SystemIdentifier;
  /** Of the last page in use: the segment's own timeline even where it begins as a copy of its parent's. */
  readonly timeline: Timeline;
  readonly startLsn: Lsn;
  /** Of the segment. */
  readonly endLsn: Lsn;
  /** Size of WAL's own pages (XLOG_BLCKSZ). */
  readonly walBlockBytes: number;
  /** The first record that starts here. */
  readonly firstRecordLsn: Lsn | undefined;
  /** Where the record before it starts, as that first one says (xl_prev). */
  readonly previousRecordLsn: Lsn | undefined;
  /** Start of the last whole record that starts here, a switch record included. */
  readonly lastRecordLsn: Lsn | undefined;
  /** End of the last whole record; a switch record or zeros may follow. */
  readonly usedEndLsn: Lsn;
  /** A segment that others follow on its timeline and that ends with 'end-of-wal' is not whole. */
  readonly ending: SegmentEnding;
  /** Made from `commitColumns` when first asked for: a dense segment has tens of thousands. */
  readonly commits: readonly Commit[];
  /** The same as columns, for whoever looks at a few; always there in what indexSegment and decodeSegmentIndex return. */
  readonly commitColumns?: CommitColumns;
  readonly restorePoints: readonly RestorePoint[];
  readonly changes: readonly BlockChanges[];
  readonly events: readonly WalEvent[];
  /** Bytes that the record begun in the segment before still has from here on, in this segment and those after. */
  readonly continuationBytes: number;
  /** The first of those bytes (page headers removed), at most 1 MiB. */
  readonly head: Uint8Array;
  /** The beginning (page headers removed, at most 1 MiB) of a record that goes on in the next segment. */
  readonly tail: { readonly lsn: Lsn; readonly bytes: Uint8Array } | undefined;
  /** Why decoding stopped early: the index is incomplete. */
  readonly problem?: string;
}

/** What the record across a boundary adds; `problem` where its bytes do not tell. */
export interface JoinedRecord {
  readonly commits: readonly Commit[];
  readonly restorePoints: readonly RestorePoint[];
  readonly changes: readonly BlockChanges[];
  readonly events: readonly WalEvent[];
  readonly problem?: string;
}

export interface IndexOptions {
  /** Check the CRC-32C of every record; default false. */
  readonly verifyCrc?: boolean;
  /** Read every record in JavaScript: what the kernel is compared with, and does where it has no room. */
  readonly withoutKernel?: boolean;
  /** The bytes may be only the beginning of a segment (a .partial); else a file of another size is a problem. */
  readonly partial?: boolean;
}
