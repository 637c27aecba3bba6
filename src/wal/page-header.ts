import { PgrecallError } from '../errors/pgrecall-error.ts';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import { isSegmentSize } from '../postgres/segment-name.ts';
import { systemIdentifier, type SystemIdentifier } from '../postgres/system-identifier.ts';
import { timeline, type Timeline } from '../postgres/timeline.ts';

/*
 * Headers of WAL pages, after access/xlog_internal.h.
 *
 *   offset  bytes
 *        0      2  xlp_magic     which format: one a major version
 *        2      2  xlp_info      flags below
 *        4      4  xlp_tli       timeline of the first record on the page
 *        8      8  xlp_pageaddr  LSN of the page; another one in a recycled segment means "not written yet"
 *       16      4  xlp_rem_len   bytes that the record begun on an earlier page still has
 *       20      4  padding                                                       short header: 24 bytes
 *       24      8  xlp_sysid     system identifier, and the rest only on a segment's first page
 *       32      4  xlp_seg_size
 *       36      4  xlp_xlog_blcksz                                                long header: 40 bytes
 */

export const shortHeaderBytes = 24;
export const longHeaderBytes = 40;

export const pageFlags = {
  firstIsContinuation: 0x1,
  longHeader: 0x2,
  /** Backup blocks on the page may be removed (XLP_BKP_REMOVABLE). */
  removable: 0x4,
  /** The record that should go on here was given up; a new one takes its place. */
  firstIsOverwrite: 0x8,
} as const;

const knownFlags = 0xf;

const majorsByMagic: ReadonlyMap<number, number> = new Map([
  [0xd10d, 14],
  [0xd110, 15],
  [0xd113, 16],
  [0xd116, 17],
  [0xd118, 18],
]);

export function majorOfMagic(walMagic: number): number | undefined {
  return majorsByMagic.get(walMagic);
}

export interface SegmentHeader {
  readonly walMagic: number;
  /** Undefined for a version that pgrecall does not know. */
  readonly postgresMajor: number | undefined;
  readonly systemIdentifier: SystemIdentifier;
  /** Of the first page: an ancestor's where the segment begins as a copy of its parent's. */
  readonly timeline: Timeline;
  readonly startLsn: Lsn;
  readonly segmentBytes: number;
  /** Size of WAL's pages (XLOG_BLCKSZ), nearly always 8192. */
  readonly walBlockBytes: number;
}

const hex = (value: number): string => `0x${value.toString(16).toUpperCase().padStart(4, '0')}`;

function damaged(problem: string): PgrecallError {
  return new PgrecallError('wal-damaged', `not the beginning of a WAL segment: ${problem}`);
}

/**
 * Decodes the long header at the beginning of a segment; needs its first 40 bytes.
 * Throws `wal-damaged` where they are not such a header. The version need not be a known one.
 */
export function readSegmentHeader(firstPage: Uint8Array): SegmentHeader {
  if (firstPage.length < longHeaderBytes) {
    throw damaged(`expected at least ${longHeaderBytes} bytes, found ${firstPage.length}`);
  }
  const view = new DataView(firstPage.buffer, firstPage.byteOffset, firstPage.byteLength);
  const walMagic = view.getUint16(0, true);
  // every version so far is 0xD0.. or 0xD1..
  if (walMagic >> 12 !== 0xd) throw damaged(`its magic is ${hex(walMagic)}`);
  const flags = view.getUint16(2, true);
  if ((flags & pageFlags.longHeader) === 0) throw damaged(`its flags ${hex(flags)} lack the long header's`);
  const pageTimeline = view.getUint32(4, true);
  if (pageTimeline === 0) throw damaged('its timeline is 0');
  const segmentBytes = view.getUint32(32, true);
  if (!isSegmentSize(segmentBytes)) throw damaged(`it says that segments have ${segmentBytes} bytes`);
  const walBlockBytes = view.getUint32(36, true);
  if (walBlockBytes < 1024 || walBlockBytes > 65_536 || (walBlockBytes & (walBlockBytes - 1)) !== 0) {
    throw damaged(`it says that pages have ${walBlockBytes} bytes`);
  }
  const startLsn = lsn(view.getBigUint64(8, true));
  if (startLsn % BigInt(segmentBytes) !== 0n) {
    throw damaged(`its address ${startLsn} is no multiple of the segment size ${segmentBytes}`);
  }
  return {
    walMagic,
    postgresMajor: majorOfMagic(walMagic),
    systemIdentifier: systemIdentifier(view.getBigUint64(24, true)),
    timeline: timeline(pageTimeline),
    startLsn,
    segmentBytes,
    walBlockBytes,
  };
}

/** What a page's header says, once the page has proved to be the expected one. */
export interface PageHeader {
  readonly flags: number;
  readonly timeline: number;
  readonly remainingBytes: number;
}

/** A short header's fields where the page at `offset` belongs there, else why it does not. */
export function readPageHeader(view: DataView, offset: number, of: SegmentHeader): PageHeader | string {
  const magic = view.getUint16(offset, true);
  if (magic !== of.walMagic) return `a page with magic ${hex(magic)} instead of ${hex(of.walMagic)}`;
  const high = Number(of.startLsn >> 32n);
  const low = Number(of.startLsn & 0xffff_ffffn) + offset;
  if (view.getUint32(offset + 8, true) !== low || view.getUint32(offset + 12, true) !== high) {
    return 'a page with another address';
  }
  const flags = view.getUint16(offset + 2, true);
  if ((flags & ~knownFlags) !== 0 || (flags & pageFlags.longHeader) !== 0) return `a page with flags ${hex(flags)}`;
  const pageTimeline = view.getUint32(offset + 4, true);
  if (pageTimeline === 0) return 'a page of timeline 0';
  const remainingBytes = view.getUint32(offset + 16, true);
  const continued = (flags & pageFlags.firstIsContinuation) !== 0;
  if (continued !== remainingBytes > 0)
    return `a page with flags ${hex(flags)} and ${remainingBytes} bytes of a record`;
  return { flags, timeline: pageTimeline, remainingBytes };
}
