import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { segmentStart, type SegmentName } from '../postgres/segment-name.ts';
import type { Incarnation } from '../repository/cluster-document.ts';
import { readSegmentHeader } from '../wal/page-header.ts';

/**
 * Refuses what is not the segment that its name says, of this cluster: better an archive_command that fails, so that
 * the server keeps the segment, than an archive that cannot be replayed. The version of the WAL need not be known.
 * Throws `wal-damaged`, `wal-other-cluster`.
 */
export function checkSegment(name: string, parsed: SegmentName, bytes: Uint8Array, incarnation: Incarnation): void {
  const { segmentBytes, systemIdentifier } = incarnation;
  const header = headerOf(name, bytes);
  if (header.systemIdentifier !== systemIdentifier) {
    throw new PgrecallError(
      'wal-other-cluster',
      `segment ${name} has the system identifier ${header.systemIdentifier}; the cluster in the repository has ${systemIdentifier}`,
      {
        hint: 'another server archives under this cluster’s name; after initdb or pg_upgrade run pgrecall init --new-incarnation',
        details: { name, found: header.systemIdentifier, expected: systemIdentifier },
      },
    );
  }
  if (header.segmentBytes !== segmentBytes) {
    throw damaged(name, `it says that segments have ${header.segmentBytes} bytes where ${segmentBytes} are expected`);
  }
  const startLsn = segmentStart(parsed.number, segmentBytes);
  if (header.startLsn !== startLsn) {
    throw damaged(name, `it begins at ${formatLsn(header.startLsn)} where its name says ${formatLsn(startLsn)}`);
  }
  // A segment begins as a copy of its parent's: its first pages may be of an older timeline, never of a newer one.
  if (header.timeline > parsed.timeline) {
    throw damaged(name, `its first page is of timeline ${header.timeline}`);
  }
}

/** Throws `wal-damaged` unless the file has the size that segments have. */
export function checkSegmentSize(name: string, sizeBytes: number, incarnation: Incarnation): void {
  if (sizeBytes === incarnation.segmentBytes) return;
  throw damaged(name, `it has ${sizeBytes} bytes where segments have ${incarnation.segmentBytes}`);
}

/** Throws `wal-damaged` where the beginning of a segment is longer than one. */
export function checkBeginningSize(name: string, sizeBytes: number, incarnation: Incarnation): void {
  if (sizeBytes <= incarnation.segmentBytes) return;
  throw damaged(name, `its beginning has ${sizeBytes} bytes where segments have ${incarnation.segmentBytes}`);
}

function headerOf(name: string, bytes: Uint8Array): ReturnType<typeof readSegmentHeader> {
  try {
    return readSegmentHeader(bytes);
  } catch (error) {
    if (!hasCode(error, 'wal-damaged')) throw error;
    throw damaged(name, error.message, error);
  }
}

function damaged(name: string, problem: string, cause?: unknown): PgrecallError {
  return new PgrecallError('wal-damaged', `segment ${name} is not stored: ${problem}`, {
    hint: 'the server keeps the segment; compare the file with what pg_waldump says of it',
    details: { name },
    cause,
  });
}
