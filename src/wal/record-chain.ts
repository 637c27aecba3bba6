import { crc32cRange } from '../bytes/crc32c.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import { segmentNumber, segmentOf, segmentStart, type SegmentNumber } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import {
  longHeaderBytes,
  pageFlags,
  readPageHeader,
  readSegmentHeader,
  shortHeaderBytes,
  type PageHeader,
  type SegmentHeader,
} from './page-header.ts';
import { recordHeaderBytes } from './record.ts';
import { isResourceManager } from './resource-managers.ts';
import { isSwitch } from './switch-record.ts';

/*
 * WAL read record by record from any position, across pages and segments, as a server reads it that starts after a
 * crash (access/transam/xlogreader.c): every record is put together and its CRC checked, and WAL ends before the first
 * one that is not whole. `RecordWalker` is for WAL that is known to be there, one segment at a time.
 */

export interface WalSource {
  /** Of the last record at most; pages of its ancestors may come before. */
  readonly timeline: Timeline;
  readonly systemIdentifier: string;
  readonly segmentBytes: number;
  /** `undefined` where there is none. */
  readonly segment: (number: SegmentNumber) => Uint8Array | undefined;
}

export interface ChainedRecord {
  readonly lsn: Lsn;
  /** Up to where its bytes go, aligned to 8; the end of the segment where it is a switch. */
  readonly endLsn: Lsn;
  readonly resourceManager: number;
  readonly info: number;
}

interface Page {
  readonly lsn: Lsn;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where the page begins in `bytes`, its records, and its end. */
  readonly start: number;
  readonly body: number;
  readonly end: number;
  readonly flags: number;
  readonly remainingBytes: number;
}

interface OpenSegment {
  readonly number: SegmentNumber;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly header: SegmentHeader;
}

/** Where the bytes of a record lie, and where its last page and it end. */
interface Gathered {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly at: number;
  readonly length: number;
  readonly endLsn: Lsn;
}

/** The records from `startLsn`, where one has to start, to the end of WAL. */
export function* recordsFrom(source: WalSource, startLsn: Lsn): Generator<ChainedRecord> {
  const chain = new RecordChain(source);
  for (let at = startLsn; ;) {
    const record = chain.read(at);
    if (!record) return;
    yield record;
    at = record.endLsn;
  }
}

class RecordChain {
  readonly #source: WalSource;
  #segment: OpenSegment | undefined;
  #previousLsn: Lsn | undefined;
  #timeline = 0;

  constructor(source: WalSource) {
    this.#source = source;
  }

  /** The record at `at`, or behind the page header that stands there. */
  read(at: Lsn): ChainedRecord | undefined {
    const page = this.#page(at);
    if (!page) return undefined;
    const offset = Math.max(page.start + Number(at - page.lsn), page.body);
    const isContinued = (page.flags & pageFlags.firstIsContinuation) !== 0 && offset === page.body;
    if (isContinued || offset + 4 > page.end) return undefined;
    const length = page.view.getUint32(offset, true);
    if (length < recordHeaderBytes) return undefined;
    const startLsn = lsn(page.lsn + BigInt(offset - page.start));
    if (offset + length > page.end) return this.#readAcross(startLsn, page, offset, length);
    const { bytes, view } = page;
    return this.#checked(startLsn, { bytes, view, at: offset, length, endLsn: aligned(startLsn + BigInt(length)) });
  }

  #readAcross(startLsn: Lsn, first: Page, offset: number, length: number): ChainedRecord | undefined {
    const parts = [first.bytes.subarray(offset, first.end)];
    let remaining = length - (first.end - offset);
    for (let before = first; ;) {
      const page = this.#page(lsn(before.lsn + BigInt(before.end - before.start)));
      if (!page) return undefined;
      // Given up by a crash, as the server has noted afterwards; what took its place begins here.
      if ((page.flags & pageFlags.firstIsOverwrite) !== 0) return this.read(page.lsn);
      if ((page.flags & pageFlags.firstIsContinuation) === 0 || page.remainingBytes !== remaining) return undefined;
      const end = page.body + Math.min(page.end - page.body, remaining);
      parts.push(page.bytes.subarray(page.body, end));
      remaining -= end - page.body;
      if (remaining === 0) {
        const bytes = Buffer.concat(parts);
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        return this.#checked(startLsn, {
          bytes,
          view,
          at: 0,
          length,
          endLsn: aligned(page.lsn + BigInt(end - page.start)),
        });
      }
      before = page;
    }
  }

  #checked(startLsn: Lsn, { bytes, view, at, length, endLsn }: Gathered): ChainedRecord | undefined {
    const previous = view.getBigUint64(at + 8, true);
    const isNext = this.#previousLsn === undefined ? previous < startLsn : previous === this.#previousLsn;
    const info = view.getUint8(at + 16);
    const resourceManager = view.getUint8(at + 17);
    const major = this.#segment?.header.postgresMajor;
    if (!isNext || major === undefined || !isResourceManager(resourceManager, major)) return undefined;
    const crc = crc32cRange(bytes, at, at + 20, crc32cRange(bytes, at + recordHeaderBytes, at + length));
    if (crc !== view.getUint32(at + 20, true)) return undefined;
    this.#previousLsn = startLsn;
    const switches = isSwitch(resourceManager, info);
    return { lsn: startLsn, endLsn: switches ? this.#segmentEnd(lsn(endLsn - 1n)) : endLsn, resourceManager, info };
  }

  #segmentEnd(at: Lsn): Lsn {
    const { segmentBytes } = this.#source;
    return segmentStart(segmentNumber(segmentOf(at, segmentBytes) + 1n), segmentBytes);
  }

  /** The page that holds `at`; `undefined` where that one was never written. */
  #page(at: Lsn): Page | undefined {
    const segment = this.#open(segmentOf(at, this.#source.segmentBytes));
    if (!segment) return undefined;
    const { bytes, view, header } = segment;
    const within = Number(at - header.startLsn);
    const start = within - (within % header.walBlockBytes);
    const end = start + header.walBlockBytes;
    if (end > bytes.length) return undefined;
    const page = start === 0 ? firstPage(view, header) : readPageHeader(view, start, header);
    if (typeof page === 'string' || page.timeline < this.#timeline || page.timeline > this.#source.timeline) {
      return undefined;
    }
    this.#timeline = page.timeline;
    const pageLsn = lsn(header.startLsn + BigInt(start));
    const body = start + (start === 0 ? longHeaderBytes : shortHeaderBytes);
    return { lsn: pageLsn, bytes, view, start, body, end, flags: page.flags, remainingBytes: page.remainingBytes };
  }

  #open(number: SegmentNumber): OpenSegment | undefined {
    if (this.#segment?.number === number) return this.#segment;
    const { segmentBytes, systemIdentifier } = this.#source;
    const bytes = this.#source.segment(number);
    if (!bytes) return undefined;
    const header = headerOf(bytes);
    const isRight =
      header?.segmentBytes === segmentBytes &&
      header.systemIdentifier === systemIdentifier &&
      header.startLsn === segmentStart(number, segmentBytes);
    if (!isRight) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#segment = { number, bytes, view, header };
    return this.#segment;
  }
}

function headerOf(bytes: Uint8Array): SegmentHeader | undefined {
  try {
    return readSegmentHeader(bytes);
  } catch (error) {
    if (hasCode(error, 'wal-damaged')) return undefined;
    throw error;
  }
}

/** What `readPageHeader` says of the others. */
function firstPage(view: DataView, { timeline }: SegmentHeader): PageHeader {
  return { flags: view.getUint16(2, true), timeline, remainingBytes: view.getUint32(16, true) };
}

function aligned(position: bigint): Lsn {
  return lsn((position + 7n) & ~7n);
}
