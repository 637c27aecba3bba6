import { crc32cRange } from '../bytes/crc32c.ts';
import { longHeaderBytes, pageFlags, readPageHeader, shortHeaderBytes, type SegmentHeader } from './page-header.ts';
import { maxHeaderBytes, recordHeaderBytes } from './record.ts';
import { isMainDataRead } from './main-data.ts';
import { isResourceManager } from './resource-managers.ts';
import type { IndexOptions, SegmentEnding } from './segment-index.ts';
import { isRestOfSwitch, isSwitch } from './switch-record.ts';

/** What is kept of a record that crosses the boundary of a segment, on either side of it. */
export const maxKeptBytes = 1_048_576;

const align8 = (value: number): number => (value + 7) & ~7;

/**
 * Walks the records of one segment in order, checking each page header and record header as xlogreader.c does.
 *
 * The walker is its own present record: `next` moves on, the fields tell where the record's bytes lie.
 * A record within one page is read where it stands; one that crosses pages is put together in a scratch buffer,
 * whole if its main data is going to be read or its CRC checked, else only its first kilobyte.
 * Positions are byte offsets within the segment: no BigInt is made per record.
 */
export class RecordWalker {
  readonly header: SegmentHeader;
  readonly #segment: Uint8Array;
  readonly #segmentView: DataView;
  /** Of whole pages. */
  readonly lengthOfAll: number;
  /** What of that was in the file: the rest is padding of its last page. */
  readonly fileBytes: number;
  readonly #major: number;
  readonly #startHigh: number;
  readonly #startLow: number;
  readonly #verifyCrc: boolean;
  #scratch = new Uint8Array(16_384);
  #scratchView = new DataView(this.#scratch.buffer);
  #nextOffset: number;
  #firstOffset = -1;

  /** The present record: where it starts and ends in the segment (the end is aligned to 8 bytes). */
  startOffset = 0;
  endOffset = 0;
  /** Where the whole record before it starts, the last one when there are no more; or -1. */
  lastOffset = -1;
  /** Its length without page headers and alignment (xl_tot_len). */
  lengthBytes = 0;
  xid = 0;
  info = 0;
  resourceManager = 0;
  /** Where its bytes are: `haveBytes` of them from `at` in `bytes`, which `view` shows too. */
  bytes: Uint8Array;
  view: DataView;
  at = 0;
  haveBytes = 0;

  /** Of the last page in use. */
  timeline: number;
  /** Known once `next` has said false. */
  ending: SegmentEnding = 'end-of-wal';
  problem: string | undefined;
  usedEndOffset = 0;

  /** The rest of a record that the segment before began. */
  head: Uint8Array = new Uint8Array(0);
  continuationBytes = 0;
  /** xl_prev of the first record, where its header is here. */
  firstPrevious: bigint | undefined;
  tailOffset = -1;
  tail: Uint8Array = new Uint8Array(0);

  constructor(segment: Uint8Array, header: SegmentHeader, postgresMajor: number, options: IndexOptions) {
    this.header = header;
    const whole = padToPage(segment, header.walBlockBytes);
    this.#segment = whole;
    this.#segmentView = new DataView(whole.buffer, whole.byteOffset, whole.byteLength);
    this.lengthOfAll = Math.min(whole.length, header.segmentBytes);
    this.fileBytes = Math.min(segment.length, header.segmentBytes);
    if (segment.length !== header.segmentBytes && options.partial !== true) {
      this.problem = `a file of ${segment.length} bytes where segments have ${header.segmentBytes}`;
    }
    this.#major = postgresMajor;
    this.#startHigh = Number(header.startLsn >> 32n);
    this.#startLow = Number(header.startLsn & 0xffff_ffffn);
    this.#verifyCrc = options.verifyCrc ?? false;
    this.bytes = whole;
    this.view = this.#segmentView;
    this.timeline = header.timeline;
    this.#nextOffset = this.#skipContinuation();
  }

  /** Where the first record of this segment starts; undefined before `next` was true for the first time. */
  get firstOffset(): number | undefined {
    return this.#firstOffset < 0 ? undefined : this.#firstOffset;
  }

  /** Not cut short: what goes on at its end goes on in the next segment. */
  get #isWhole(): boolean {
    return this.fileBytes === this.header.segmentBytes;
  }

  /** Where the next record starts; -1 where there is none. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  /** Takes note of whole records that were looked at elsewhere, up to the one at `lastOffset`, which ends at `endOffset`. */
  passed(lastOffset: number, endOffset: number): void {
    this.lastOffset = lastOffset;
    this.usedEndOffset = endOffset;
    this.#goOnAt(endOffset);
  }

  /** Moves to the next record; false at the end of what can be read. */
  next(): boolean {
    for (;;) {
      const start = this.#nextOffset;
      if (start < 0) return false;
      if (start >= this.lengthOfAll) return this.#reachedEnd();
      const pageEnd = start - (start % this.header.walBlockBytes) + this.header.walBlockBytes;
      const length = this.#segmentView.getUint32(start, true);
      if (length < recordHeaderBytes) {
        return this.#stop(start, length === 0 ? 'zeros where a record should start' : `a record of ${length} bytes`);
      }
      this.startOffset = start;
      this.lengthBytes = length;
      if (start + length <= pageEnd) {
        if (start + length > this.fileBytes) return this.#reachedEnd();
        this.bytes = this.#segment;
        this.view = this.#segmentView;
        this.at = start;
        this.haveBytes = length;
        this.endOffset = align8(start + length);
        if (!this.#readHeader()) return false;
      } else {
        const crossed = this.#gather(start, pageEnd, length);
        if (crossed === 'overwritten') continue;
        if (crossed === 'stopped') return false;
      }
      if (this.#verifyCrc && !this.#checkCrc()) return false;
      if (this.#firstOffset < 0) this.#noteFirst(start);
      this.lastOffset = start;
      this.usedEndOffset = this.endOffset;
      this.#advance();
      return true;
    }
  }

  #noteFirst(start: number, haveBytes = recordHeaderBytes): void {
    this.#firstOffset = start;
    if (haveBytes >= recordHeaderBytes) this.firstPrevious = this.view.getBigUint64(this.at + 8, true);
  }

  /** Sets where the record after the present one starts. */
  #advance(): void {
    const end = this.endOffset;
    if (!isSwitch(this.resourceManager, this.info)) return this.#goOnAt(end);
    this.ending = 'switch';
    this.#nextOffset = -1;
  }

  #goOnAt(end: number): void {
    const entersPage = end % this.header.walBlockBytes === 0 && end < this.lengthOfAll;
    this.#nextOffset = entersPage ? this.#enterPage(end) : end;
  }

  /** Checks the page at `offset`, on which a new record starts; where that is, or -1 after stopping. */
  #enterPage(offset: number): number {
    if (offset + shortHeaderBytes > this.fileBytes) {
      this.#reachedEnd();
      return -1;
    }
    const page = readPageHeader(this.#segmentView, offset, this.header);
    if (typeof page === 'string') {
      this.#stop(offset, page);
      return -1;
    }
    if (page.remainingBytes > 0) {
      this.#damaged(offset, `a page goes on with ${page.remainingBytes} bytes of a record that is complete`);
      return -1;
    }
    return this.#acceptPage(offset, page.timeline) ? offset + shortHeaderBytes : -1;
  }

  #acceptPage(offset: number, timeline: number): boolean {
    if (timeline < this.timeline) {
      this.#damaged(offset, `a page of timeline ${timeline} follows one of timeline ${this.timeline}`);
      return false;
    }
    this.timeline = timeline;
    return true;
  }

  /** Reads past the rest of the record that the segment before began; where the first record starts, or -1. */
  #skipContinuation(): number {
    const flags = this.#segmentView.getUint16(2, true);
    const remaining = this.#segmentView.getUint32(16, true);
    const continued = (flags & pageFlags.firstIsContinuation) !== 0;
    if (continued !== remaining > 0) {
      this.#damaged(0, `a page with flags ${flags} and ${remaining} bytes of a record`);
      return -1;
    }
    if (!continued) return longHeaderBytes;
    this.head = new Uint8Array(Math.min(remaining, maxKeptBytes, this.lengthOfAll));
    this.continuationBytes = remaining;
    const end = this.#copyAcrossPages(longHeaderBytes, this.header.walBlockBytes, remaining, this.head);
    if (end.kind === 'beyond' && this.#isWhole) {
      this.head = this.head.slice(0, end.copiedBytes);
      return this.lengthOfAll;
    }
    if (end.kind === 'whole') {
      if (isRestOfSwitch(this.#segment, remaining, end.offset)) {
        [this.ending, this.usedEndOffset] = ['switch', end.offset];
        return -1;
      }
      if (end.offset % this.header.walBlockBytes === 0 && end.offset < this.lengthOfAll) {
        return this.#enterPage(end.offset);
      }
      return end.offset;
    }
    // given up before it was finished: as if it had never begun
    this.head = new Uint8Array(0);
    this.continuationBytes = 0;
    return end.kind === 'overwritten' ? end.offset + shortHeaderBytes : -1;
  }

  /** Puts the record together that starts at `start` and crosses the end of its page. */
  #gather(start: number, pageEnd: number, length: number): 'whole' | 'overwritten' | 'stopped' {
    let want = Math.min(length, maxHeaderBytes);
    if (this.#verifyCrc) want = Math.min(length, this.lengthOfAll);
    else if (start + recordHeaderBytes <= pageEnd) {
      const info = this.#segmentView.getUint8(start + 16);
      if (isMainDataRead(this.#segmentView.getUint8(start + 17), info)) want = Math.min(length, this.lengthOfAll);
    }
    this.#reserve(want);
    let end = this.#copyAcrossPages(start, pageEnd, length, this.#scratch.subarray(0, want));
    if (end.kind === 'stopped') return 'stopped';
    if (end.kind === 'overwritten') {
      this.#nextOffset = end.offset + shortHeaderBytes;
      return 'overwritten';
    }
    this.bytes = this.#scratch;
    this.view = this.#scratchView;
    this.at = 0;
    if (end.kind === 'beyond') {
      if (this.#isWhole) this.#keepTail(start, pageEnd, length);
      else this.#nextOffset = -1;
      return 'stopped';
    }
    this.haveBytes = want;
    this.endOffset = end.offset;
    if (!this.#readHeader()) return 'stopped';
    if (want < length && isMainDataRead(this.resourceManager, this.info)) {
      // its header crossed the page too, so that only now is it known what it is
      this.#reserve(length);
      end = this.#copyAcrossPages(start, pageEnd, length, this.#scratch.subarray(0, length));
      this.bytes = this.#scratch;
      this.view = this.#scratchView;
      this.haveBytes = length;
    }
    return 'whole';
  }

  #keepTail(start: number, pageEnd: number, length: number): void {
    this.#nextOffset = -1;
    const want = Math.min(length, maxKeptBytes, this.lengthOfAll - start);
    this.#reserve(want);
    this.bytes = this.#scratch;
    this.view = this.#scratchView;
    const end = this.#copyAcrossPages(start, pageEnd, length, this.#scratch.subarray(0, want));
    const copied = end.kind === 'beyond' ? end.copiedBytes : 0;
    // a header that is all here must make sense before its record counts as one that goes on
    if (copied >= recordHeaderBytes && !this.#readHeader()) return;
    if (this.#firstOffset < 0) this.#noteFirst(start, copied);
    this.tailOffset = start;
    this.tail = this.#scratch.slice(0, copied);
    this.#reachedEnd();
  }

  /**
   * Follows the `length` bytes of a record from `start`, whose page ends at `pageEnd`, through the headers of the pages
   * after it, and copies as much as `into` takes.
   */
  #copyAcrossPages(start: number, pageEnd: number, length: number, into: Uint8Array): Crossing {
    let at = start;
    let end = pageEnd;
    let remaining = length;
    let copied = 0;
    for (;;) {
      const here = Math.min(end - at, remaining);
      const wanted = Math.min(here, into.length - copied);
      if (wanted > 0) {
        into.set(this.#segment.subarray(at, at + wanted), copied);
        copied += wanted;
      }
      remaining -= here;
      if (at + here > this.fileBytes) return { kind: 'beyond', offset: end, copiedBytes: copied };
      if (remaining === 0) return { kind: 'whole', offset: align8(at + here), copiedBytes: copied };
      // a header that is cut would say something else
      if (end + shortHeaderBytes > this.fileBytes) return { kind: 'beyond', offset: end, copiedBytes: copied };
      const page = readPageHeader(this.#segmentView, end, this.header);
      if (typeof page === 'string') {
        this.#stop(end, page);
        return { kind: 'stopped', offset: end, copiedBytes: copied };
      }
      if ((page.flags & pageFlags.firstIsOverwrite) !== 0) {
        return {
          kind: this.#acceptPage(end, page.timeline) ? 'overwritten' : 'stopped',
          offset: end,
          copiedBytes: copied,
        };
      }
      if (page.remainingBytes !== remaining) {
        this.#damaged(end, `a page goes on with ${page.remainingBytes} bytes of a record that lacks ${remaining}`);
        return { kind: 'stopped', offset: end, copiedBytes: copied };
      }
      if (!this.#acceptPage(end, page.timeline)) return { kind: 'stopped', offset: end, copiedBytes: copied };
      at = end + shortHeaderBytes;
      end += this.header.walBlockBytes;
    }
  }

  #reserve(lengthBytes: number): void {
    if (this.#scratch.length >= lengthBytes) return;
    this.#scratch = new Uint8Array(Math.max(lengthBytes, this.#scratch.length * 2));
    this.#scratchView = new DataView(this.#scratch.buffer);
  }

  /** Reads and checks the fixed header; false after stopping. */
  #readHeader(): boolean {
    const { view, at } = this;
    const previousLow = view.getUint32(at + 8, true);
    const previousHigh = view.getUint32(at + 12, true);
    const info = view.getUint8(at + 16);
    const resourceManager = view.getUint8(at + 17);
    const linked =
      this.lastOffset >= 0
        ? previousLow === this.#startLow + this.lastOffset && previousHigh === this.#startHigh
        : previousHigh < this.#startHigh ||
          (previousHigh === this.#startHigh && previousLow < this.#startLow + this.startOffset);
    if (!linked) return this.#stop(this.startOffset, 'a record that does not follow the one before');
    if (!isResourceManager(resourceManager, this.#major)) {
      return this.#stop(this.startOffset, `a record of resource manager ${resourceManager}`);
    }
    this.xid = view.getUint32(at + 4, true);
    this.info = info;
    this.resourceManager = resourceManager;
    return true;
  }

  #checkCrc(): boolean {
    const { bytes, at } = this;
    const body = crc32cRange(bytes, at + recordHeaderBytes, at + this.lengthBytes);
    const found = crc32cRange(bytes, at, at + 20, body);
    const expected = this.view.getUint32(at + 20, true);
    return found === expected || this.#damaged(this.startOffset, 'a record with a wrong CRC');
  }

  #reachedEnd(): boolean {
    this.#nextOffset = -1;
    if (this.#isWhole) this.ending = 'full';
    return false;
  }

  /**
   * Ends the walk at what is not WAL. That is how WAL that has not got further looks (zeros, or what a recycled
   * file held before), so it is damage only if a page further on belongs to this very segment.
   */
  #stop(offset: number, found: string): false {
    const pageBytes = this.header.walBlockBytes;
    for (let page = offset - (offset % pageBytes) + pageBytes; page < this.lengthOfAll; page += pageBytes) {
      if (typeof readPageHeader(this.#segmentView, page, this.header) !== 'string') return this.#damaged(offset, found);
    }
    this.#nextOffset = -1;
    this.ending = 'end-of-wal';
    return false;
  }

  #damaged(offset: number, found: string): false {
    this.#nextOffset = -1;
    this.ending = 'end-of-wal';
    this.problem ??= `${found} at byte ${offset} of the segment`;
    return false;
  }
}

/** Zeros after what is there: where a file was cut within a page, WAL ends there. */
function padToPage(segment: Uint8Array, pageBytes: number): Uint8Array {
  const over = segment.length % pageBytes;
  if (over === 0) return segment;
  const padded = new Uint8Array(segment.length - over + pageBytes);
  padded.set(segment);
  return padded;
}

interface Crossing {
  readonly kind: 'whole' | 'overwritten' | 'beyond' | 'stopped';
  readonly offset: number;
  readonly copiedBytes: number;
}
