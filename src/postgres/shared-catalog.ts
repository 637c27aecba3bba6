import { BoundedReader } from '../bytes/bounded-reader.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { pageBytes } from './page.ts';

/*
 * Names of databases and tablespaces, read from the files of a stopped cluster: pg_database and pg_tablespace are heaps in
 * global, whose rows begin with an oid and a name of 64 bytes in every version (catalog/pg_database.h, pg_tablespace.h).
 *
 * Which file is which says global/pg_filenode.map (utils/cache/relmapper.c):
 *   0  u32 magic, 4  u32 count, then pairs of u32: oid of the catalog, number of its file
 *
 * A page (storage/bufpage.h) has the end of its line pointers at byte 12, and from byte 24 on the line pointers, u32:
 * 15 bits offset, 2 bits state (1: a row), 15 bits length. A row (access/htup_details.h):
 *   0  u32 xmin, 4  u32 xmax, 20  u16 infomask, 22  u8 where the columns begin
 */

export const sharedCatalogs = { database: 1262, tablespace: 1213 } as const;

const mapMagic = 0x0059_2717;

/** Numbers of files by oids of catalogs. Throws `decode`. */
export function parseRelationMap(bytes: Uint8Array): Map<number, number> {
  const reader = new BoundedReader(bytes, 'pg_filenode.map');
  const magic = reader.u32();
  if (magic !== mapMagic) throw new PgrecallError('decode', `pg_filenode.map: its magic is ${magic.toString(16)}`);
  const count = reader.u32();
  if (count > reader.remaining / 8) return reader.fail(`${count} entries`);
  return new Map(Array.from({ length: count }, () => [reader.u32(), reader.u32()]));
}

const firstPointer = 24;
const rowState = 1;
const headerBytes = 23;
const nameBytes = 64;

const mask = {
  xminCommitted: 0x0100,
  xminInvalid: 0x0200,
  xmaxCommitted: 0x0400,
  xmaxInvalid: 0x0800,
  xmaxIsMulti: 0x1000,
  xmaxLockOnly: 0x0080,
} as const;

/** BootstrapTransactionId and FrozenTransactionId: committed before there was a pg_xact. */
const lastSpecialXid = 2;

export interface NamedObject {
  readonly oid: number;
  readonly name: string;
}

/**
 * The rows that count for whoever looks now, by oid. `isCommitted` is asked of transactions of which no row says so
 * itself; none is under way.
 */
export function namesInHeap(heap: Uint8Array, isCommitted: (xid: number) => boolean): NamedObject[] {
  const found = new Map<number, string>();
  for (let page = 0; page + pageBytes <= heap.length; page += pageBytes) {
    const view = new DataView(heap.buffer, heap.byteOffset + page, pageBytes);
    const end = Math.min(view.getUint16(12, true), pageBytes);
    for (let at = firstPointer; at + 4 <= end; at += 4) {
      const pointer = view.getUint32(at, true);
      const offset = pointer & 0x7fff;
      if (((pointer >>> 15) & 3) !== rowState || offset + headerBytes > pageBytes) continue;
      if (!isVisible(view, offset, isCommitted)) continue;
      const data = offset + view.getUint8(offset + 22);
      if (data + 4 + nameBytes > pageBytes) continue;
      found.set(view.getUint32(data, true), nameAt(heap.subarray(page + data + 4, page + data + 4 + nameBytes)));
    }
  }
  return [...found].map(([oid, name]) => ({ oid, name })).toSorted((a, b) => a.oid - b.oid);
}

function isVisible(view: DataView, offset: number, isCommitted: (xid: number) => boolean): boolean {
  const infomask = view.getUint16(offset + 20, true);
  const xmax = view.getUint32(offset + 4, true);
  const isMade = (infomask & mask.xminCommitted) !== 0 || (infomask & mask.xminInvalid) === 0;
  if (!isMade) return false;
  const xmin = view.getUint32(offset, true);
  if ((infomask & mask.xminCommitted) === 0 && xmin > lastSpecialXid && !isCommitted(xmin)) return false;
  // Only locked, by one or by several.
  if (xmax === 0 || (infomask & (mask.xmaxInvalid | mask.xmaxLockOnly | mask.xmaxIsMulti)) !== 0) return true;
  return (infomask & mask.xmaxCommitted) === 0 && !isCommitted(xmax);
}

function nameAt(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
}

const xidsInFile = 1_048_576;

/** Where pg_xact says what became of a transaction: two bits of a byte (access/transam/clog.c). */
export function placeOfStatus(xid: number): { readonly file: string; readonly offset: number; readonly shift: number } {
  const file = Math.floor(xid / xidsInFile)
    .toString(16)
    .toUpperCase()
    .padStart(4, '0');
  return { file, offset: Math.floor((xid % xidsInFile) / 4), shift: (xid % 4) * 2 };
}

/** TRANSACTION_STATUS_COMMITTED */
export const committedStatus = 1;
