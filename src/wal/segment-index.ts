/*
 * The WAL index of one segment: what pgrecall learns from a segment while it archives it. This is the face
 * of the folder: indexSegment makes an index, joinRecord adds the record between two segments, encodeSegmentIndex
 * and decodeSegmentIndex store it.
 */

export { indexSegment } from './index-segment.ts';
export { joinRecord } from './join-record.ts';
export { readSegmentHeader, type SegmentHeader } from './page-header.ts';
export { decodeSegmentIndex, encodeSegmentIndex } from './segment-index-codec.ts';
export type {
  BlockChanges,
  Commit,
  IndexOptions,
  JoinedRecord,
  RestorePoint,
  SegmentEnding,
  SegmentIndex,
} from './segment-index-types.ts';
export type { RelationFork, RelationLocator, WalEvent, WalLevel } from './wal-event.ts';
