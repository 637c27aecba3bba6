import { crc32cRange } from '../bytes/crc32c.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { commitsOf } from './commit-columns.ts';
import { BlockChangeSet } from './block-changes.ts';
import { IndexBuilder } from './index-builder.ts';
import { longHeaderBytes, shortHeaderBytes } from './page-header.ts';
import { isResourceManager } from './resource-managers.ts';
import { RecordParts, recordHeaderBytes } from './record.ts';
import type { JoinedRecord, SegmentIndex } from './segment-index.ts';

const nothing: JoinedRecord = { commits: [], restorePoints: [], changes: [], events: [] };

/**
 * What the record says that begins in the segment of `before` and ends in that of `after`; neither index has it.
 * Empty where no record crosses, or where the one that begins was never finished (a crash: PostgreSQL says so
 * with an overwrite-contrecord).
 *
 * A record that spans three segments or more is told by its first pair: `after` is then the segment that it fills,
 * and its end is computed, not seen; the later pairs add nothing. Of each side at most 1 MiB is kept, which holds all
 * block references and a commit's time; where a longer one would have more to say (relations removed by a commit
 * with a hundred thousand subtransactions), `problem` tells.
 */
export function joinRecord(before: SegmentIndex, after: SegmentIndex): JoinedRecord {
  const { tail, postgresMajor } = before;
  if (before.endLsn !== after.startLsn || before.systemIdentifier !== after.systemIdentifier) {
    return failed(
      `the segments at ${formatLsn(before.startLsn)} and ${formatLsn(after.startLsn)} do not follow each other`,
    );
  }
  if (tail === undefined || postgresMajor === undefined) {
    // nothing to join: a continuation of a record that began still earlier is the business of that pair
    return nothing;
  }
  const where = `the record at ${formatLsn(tail.lsn)}`;
  if (before.walMagic !== after.walMagic) return failed(`${where} goes on in WAL of another version`);
  if (after.continuationBytes === 0) {
    const given = after.events.some(
      (event) => event.kind === 'overwrite-contrecord' && event.overwrittenLsn === tail.lsn,
    );
    return given ? nothing : failed(`${where} does not go on in the next segment`);
  }
  const tailView = new DataView(tail.bytes.buffer, tail.bytes.byteOffset, tail.bytes.byteLength);
  if (tail.bytes.length < 8) return failed(`${where} has no header`);
  const lengthBytes = tailView.getUint32(0, true);
  const tailBytes = capacity(tail.lsn, before);
  if (lengthBytes !== tailBytes + after.continuationBytes) {
    return failed(
      `${where} has ${lengthBytes} bytes, found ${tailBytes} before and ${after.continuationBytes} after the boundary`,
    );
  }
  // bytes kept of the tail are only followed by those of the head where the tail was kept whole
  const bytes = tail.bytes.length < tailBytes ? tail.bytes : Buffer.concat([tail.bytes, after.head]);
  if (bytes.length < recordHeaderBytes) return failed(`${where} has no header`);
  return readJoined(bytes, lengthBytes, tail.lsn, before, postgresMajor, where);
}

function readJoined(
  bytes: Uint8Array,
  lengthBytes: number,
  startLsn: Lsn,
  before: SegmentIndex,
  postgresMajor: number,
  where: string,
): JoinedRecord {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const haveBytes = Math.min(bytes.length, lengthBytes);
  const resourceManager = view.getUint8(17);
  if (!isResourceManager(resourceManager, postgresMajor)) {
    return failed(`${where} is of resource manager ${resourceManager}`);
  }
  if (haveBytes === lengthBytes) {
    const crc = crc32cRange(bytes, 0, 20, crc32cRange(bytes, recordHeaderBytes, lengthBytes));
    if (crc !== view.getUint32(20, true)) return failed(`${where} has a wrong CRC`);
  }
  const parts = new RecordParts(postgresMajor);
  if (!parts.parse(view, 0, haveBytes, lengthBytes)) return failed(`the parts of ${where} do not add up`);
  const builder = new IndexBuilder(startLsn, postgresMajor, new BlockChangeSet(16));
  let problem: string | undefined;
  try {
    builder.note(
      {
        bytes,
        view,
        at: 0,
        haveBytes,
        lengthBytes,
        xid: view.getUint32(4, true),
        info: view.getUint8(16),
        resourceManager,
        startOffset: 0,
        endOffset: spanOf(startLsn, lengthBytes, before),
      },
      parts,
    );
  } catch (error) {
    if (!hasCode(error, 'decode')) throw error;
    problem = `${error.message} of ${where}`;
  }
  return {
    commits: commitsOf(builder.commits.finish(startLsn)),
    restorePoints: builder.restorePoints,
    changes: builder.finishChanges(),
    events: builder.events,
    ...(problem !== undefined && { problem }),
  };
}

function failed(problem: string): JoinedRecord {
  return { ...nothing, problem };
}

/** How many bytes of records there is room for from `from` to the end of its segment. */
function capacity(from: Lsn, segment: SegmentIndex): number {
  const offset = Number(from - segment.startLsn);
  const segmentBytes = Number(segment.endLsn - segment.startLsn);
  const firstPageEnd = offset - (offset % segment.walBlockBytes) + segment.walBlockBytes;
  const pagesAfter = (segmentBytes - firstPageEnd) / segment.walBlockBytes;
  return firstPageEnd - offset + pagesAfter * (segment.walBlockBytes - shortHeaderBytes);
}

/** From the start of a record of `lengthBytes` to its aligned end, with the page headers it crosses. */
function spanOf(from: Lsn, lengthBytes: number, segment: SegmentIndex): number {
  const pageBytes = segment.walBlockBytes;
  const segmentBytes = Number(segment.endLsn - segment.startLsn);
  const start = Number(from - segment.startLsn);
  let at = start;
  let remaining = lengthBytes;
  for (;;) {
    const room = pageBytes - (at % pageBytes);
    if (remaining <= room) return at + ((remaining + 7) & ~7) - start;
    remaining -= room;
    at += room;
    at += at % segmentBytes === 0 ? longHeaderBytes : shortHeaderBytes;
  }
}
