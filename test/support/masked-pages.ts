import { pageBytes } from './relation-pages.ts';

/*
 * Two servers that have replayed the same WAL up to the same record have the same pages, but for what PostgreSQL
 * does not log or lets a reader change: hint bits, free space, counters that run ahead. What is masked here is what its
 * own comparison masks (wal_consistency_checking; access/common/bufmask.c and the mask function of each resource
 * manager). Other than there the LSN of a page stays: both have it from the same record, but for some that are written first.
 */

const checksumAt = 8;
const flagsAt = 10;
const lowerAt = 12;
const upperAt = 14;
const specialAt = 16;
const pruneXidAt = 20;
const headerBytes = 24;

/** PD_HAS_FREE_LINES and PD_PAGE_FULL; PD_ALL_VISIBLE stays. */
const hintFlags = 0x0003;

type PageKind = 'heap' | 'sequence' | 'btree' | 'hash' | 'gist' | 'spgist' | 'brin' | 'gin' | 'other';

/** Told by the size of the special space and by what lies at its end (storage/bufpage.h, the opaque structs of access methods). */
export function kindOf(page: Buffer, special: number = page.readUInt16LE(specialAt)): PageKind {
  const size = pageBytes - special;
  if (size === 0) return 'heap';
  const last = page.readUInt16LE(pageBytes - 2);
  if (size === 16) return last === 0xff80 ? 'hash' : last === 0xff81 ? 'gist' : 'btree';
  if (size !== 8) return 'other';
  if (last === 0xff82) return 'spgist';
  if (last >= 0xf091 && last <= 0xf093) return 'brin';
  if (page.readUInt32LE(special) === 0x1717) return 'sequence';
  return 'gin';
}

/** Masks a page of a main or init fork in its place. One that holds nothing yet becomes zeros: whether it was made ready is not logged. */
export function maskPage(page: Buffer, isInit = false): void {
  // Up to 15 such a page is written before it gets the LSN of its record (btbuildempty and others).
  if (isInit) page.fill(0, 0, 8);
  const lower = page.readUInt16LE(lowerAt);
  const upper = page.readUInt16LE(upperAt);
  const special = page.readUInt16LE(specialAt);
  if (lower < headerBytes || lower > upper || upper > special || special > pageBytes) return;
  page.writeUInt16LE(0, checksumAt);
  const isUnlogged = page.readBigUInt64LE(0) === 0n;
  const kind = kindOf(page, special);
  if (isUnlogged && lower === headerBytes && kind !== 'sequence') {
    page.fill(0);
    return;
  }
  page.writeUInt16LE(page.readUInt16LE(flagsAt) & ~hintFlags, flagsAt);
  page.writeUInt32LE(0, pruneXidAt);
  if (kind === 'sequence') {
    // nextval() logs 32 numbers ahead; until then the page alone knows.
    page.fill(0, lowerAt);
    return;
  }
  if (kind === 'gin' || kind === 'other') return maskIndex(page, lower, upper, kind);
  page.fill(0, lower, upper);
  if (kind === 'heap') maskHeap(page, lower);
  else maskIndex(page, lower, upper, kind);
}

const linePointerBytes = 4;
const xactMask = 0xfff0;
const xminFrozen = 0x0300;
/** HEAP_XMAX_COMMITTED and HEAP_XMAX_INVALID. */
const xmaxHints = 0x0c00;

/** heap_mask(). */
function maskHeap(page: Buffer, lower: number): void {
  for (let at = headerBytes; at < lower; at += linePointerBytes) {
    const pointer = page.readUInt32LE(at);
    const [offset, flags, length] = [pointer & 0x7fff, (pointer >>> 15) & 3, pointer >>> 17];
    if (flags !== 1 || offset < lower || offset + length > pageBytes || length < 23) continue;
    const infomask = page.readUInt16LE(offset + 20);
    const isFrozen = (infomask & xminFrozen) === xminFrozen;
    page.writeUInt16LE(infomask & ~(isFrozen ? xmaxHints : xactMask), offset + 20);
    // The command: replay has the first one of a transaction.
    page.writeUInt32LE(0, offset + 8);
    const end = offset + length;
    page.fill(0, end, Math.min(pageBytes, (end + 7) & ~7));
  }
}

/** Dead marks of entries, and flags that say that there are some. */
function maskIndex(page: Buffer, lower: number, upper: number, kind: PageKind): void {
  const special = page.readUInt16LE(specialAt);
  if (kind === 'btree' || kind === 'gist' || kind === 'hash') {
    for (let at = headerBytes; at + linePointerBytes <= lower; at += linePointerBytes) {
      const pointer = page.readUInt32LE(at);
      page.writeUInt32LE((pointer & ~(3 << 15)) >>> 0, at);
    }
  }
  switch (kind) {
    case 'btree':
      // BTP_HAS_GARBAGE and BTP_SPLIT_END; the cycle of a vacuum.
      page.writeUInt16LE(page.readUInt16LE(special + 12) & ~0x0060, special + 12);
      page.writeUInt16LE(0, special + 14);
      break;
    case 'hash':
      // LH_PAGE_HAS_DEAD_TUPLES
      page.writeUInt16LE(page.readUInt16LE(special + 12) & ~0x0080, special + 12);
      break;
    case 'gist':
      // A sorted build writes a page before it gets the LSN of its record (gist_indexsortbuild_flush_ready_pages).
      page.fill(0, 0, 8);
      // The split that it knows of; F_FOLLOW_RIGHT and F_HAS_GARBAGE.
      page.writeBigUInt64LE(0n, special);
      page.writeUInt16LE(page.readUInt16LE(special + 12) & ~0x0018, special + 12);
      break;
    case 'brin':
      // BRIN_EVACUATE_PAGE
      page.writeUInt16LE(page.readUInt16LE(special + 4) & ~0x0001, special + 4);
      break;
    case 'spgist':
      // SPGIST_META: where there was room the last time (spgUpdateMetaPage).
      if (page.readUInt16LE(special) & 1) page.fill(0, lowerAt, special);
      break;
    default:
      if (kind !== 'gin') break;
      // GIN_DELETED: nobody looks at what is left there.
      if (page.readUInt16LE(special + 6) & 4) page.fill(0);
      else if (lower > headerBytes) page.fill(0, lower, upper);
  }
}
