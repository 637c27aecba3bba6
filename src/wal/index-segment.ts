import { hasCode } from '../errors/pgrecall-error.ts';
import { lsn } from '../postgres/lsn.ts';
import { timeline } from '../postgres/timeline.ts';
import { columnsOf, commitsOf } from './commit-columns.ts';
import { BlockChangeSet } from './block-changes.ts';
import { IndexBuilder } from './index-builder.ts';
import { readSegmentHeader, type SegmentHeader } from './page-header.ts';
import { KernelIsFull, mostKernelBytes, RecordKernel } from './record-kernel.ts';
import { RecordWalker } from './record-walker.ts';
import { RecordParts } from './record.ts';
import type { Commit, IndexOptions, SegmentIndex } from './segment-index.ts';

/**
 * Reads one segment's records and keeps what a restore and an increment will ask for.
 *
 * `bytes`: the whole segment; nothing of it is referred to afterwards. Throws `wal-damaged` where it does not begin
 * with a segment's header; everything else that cannot be read ends the index early and is told in `problem`.
 * WAL that simply ends (zeros, or what a recycled file held before) is no problem: see `ending`.
 */
export function indexSegment(bytes: Uint8Array, options: IndexOptions = {}): SegmentIndex {
  const header = readSegmentHeader(bytes);
  const { postgresMajor } = header;
  if (postgresMajor === undefined) return unknownVersion(header);

  const kernel = options.verifyCrc === true || options.withoutKernel === true ? undefined : kernelFor(bytes);
  const { walker, builder, problem } = kernel
    ? readWith(kernel, bytes, { header, postgresMajor, options })
    : readWithout(bytes, { header, postgresMajor, options });

  const at = (offset: number) => lsn(header.startLsn + BigInt(offset));
  const { firstOffset } = walker;
  const commitColumns = builder.commits.finish(header.startLsn);
  let commits: Commit[] | undefined;
  return {
    walMagic: header.walMagic,
    postgresMajor,
    systemIdentifier: header.systemIdentifier,
    timeline: timeline(walker.timeline),
    startLsn: header.startLsn,
    endLsn: at(header.segmentBytes),
    walBlockBytes: header.walBlockBytes,
    firstRecordLsn: firstOffset === undefined ? undefined : at(firstOffset),
    previousRecordLsn: walker.firstPrevious === undefined ? undefined : lsn(walker.firstPrevious),
    lastRecordLsn: walker.lastOffset < 0 ? undefined : at(walker.lastOffset),
    usedEndLsn: at(walker.usedEndOffset),
    ending: problem === undefined ? walker.ending : 'end-of-wal',
    get commits(): readonly Commit[] {
      commits ??= commitsOf(commitColumns);
      return commits;
    },
    commitColumns,
    restorePoints: builder.restorePoints,
    changes: builder.finishChanges(),
    events: builder.events,
    continuationBytes: walker.continuationBytes,
    head: walker.head,
    tail: walker.tailOffset < 0 ? undefined : { lsn: at(walker.tailOffset), bytes: walker.tail },
    ...(problem !== undefined && { problem }),
  };
}

interface SegmentToRead {
  readonly header: SegmentHeader;
  readonly postgresMajor: number;
  readonly options: IndexOptions;
}

interface ReadSegment {
  readonly walker: RecordWalker;
  readonly builder: IndexBuilder;
  readonly problem: string | undefined;
}

function readWith(kernel: RecordKernel, bytes: Uint8Array, of: SegmentToRead): ReadSegment {
  const { header, postgresMajor, options } = of;
  const walker = new RecordWalker(bytes, header, postgresMajor, options);
  const builder = new IndexBuilder(header.startLsn, postgresMajor, kernel);
  kernel.begin(header, postgresMajor, walker.fileBytes, walker.lengthOfAll);
  try {
    return { walker, builder, problem: noteAll(walker, builder, postgresMajor, kernel) };
  } catch (error) {
    if (!(error instanceof KernelIsFull)) throw error;
    return readWithout(bytes, of);
  }
}

function readWithout(bytes: Uint8Array, { header, postgresMajor, options }: SegmentToRead): ReadSegment {
  const walker = new RecordWalker(bytes, header, postgresMajor, options);
  // a guess that seldom has to grow: a block in every kilobyte
  const changes = new BlockChangeSet(Math.min(bytes.length / 1024, 65_536));
  const builder = new IndexBuilder(header.startLsn, postgresMajor, changes);
  return { walker, builder, problem: noteAll(walker, builder, postgresMajor, undefined) };
}

/** Why it stopped before the end, if it did. */
function noteAll(
  walker: RecordWalker,
  builder: IndexBuilder,
  postgresMajor: number,
  kernel: RecordKernel | undefined,
): string | undefined {
  const parts = new RecordParts(postgresMajor);
  while (walker.next()) {
    if (!parts.parse(walker.view, walker.at, walker.haveBytes, walker.lengthBytes)) {
      return `a record whose parts do not add up at byte ${walker.startOffset} of the segment`;
    }
    try {
      builder.note(walker, parts);
    } catch (error) {
      if (!hasCode(error, 'decode')) throw error;
      return `${error.message} of the record at byte ${walker.startOffset} of the segment`;
    }
    kernel?.walk(walker, builder.commits);
  }
  return walker.problem;
}

const kernels = new WeakMap<ArrayBufferLike, RecordKernel>();
let copying: RecordKernel | undefined;

/** Memory for segments, from which `indexSegment` reads them without a copy where they begin at its beginning. */
export function makeSegmentBuffer(capacityBytes: number): Uint8Array {
  if (capacityBytes > mostKernelBytes) return Buffer.allocUnsafeSlow(capacityBytes);
  const kernel = new RecordKernel(capacityBytes);
  kernels.set(kernel.buffer.buffer, kernel);
  return kernel.buffer;
}

/** With the segment in its buffer. */
function kernelFor(bytes: Uint8Array): RecordKernel | undefined {
  const own = kernels.get(bytes.buffer);
  if (own?.buffer.byteOffset === bytes.byteOffset) return own;
  if (bytes.length > mostKernelBytes) return undefined;
  if (!copying || copying.buffer.length < bytes.length) copying = new RecordKernel(bytes.length);
  copying.buffer.set(bytes);
  return copying;
}

function unknownVersion(header: SegmentHeader): SegmentIndex {
  const magic = `0x${header.walMagic.toString(16).toUpperCase()}`;
  return {
    walMagic: header.walMagic,
    postgresMajor: undefined,
    systemIdentifier: header.systemIdentifier,
    timeline: header.timeline,
    startLsn: header.startLsn,
    endLsn: lsn(header.startLsn + BigInt(header.segmentBytes)),
    walBlockBytes: header.walBlockBytes,
    firstRecordLsn: undefined,
    previousRecordLsn: undefined,
    lastRecordLsn: undefined,
    usedEndLsn: header.startLsn,
    ending: 'end-of-wal',
    commits: [],
    commitColumns: columnsOf([], header.startLsn),
    restorePoints: [],
    changes: [],
    events: [],
    continuationBytes: 0,
    head: new Uint8Array(0),
    tail: undefined,
    problem: `WAL of a version that pgrecall does not know (magic ${magic})`,
  };
}
