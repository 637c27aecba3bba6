import { BoundedReader } from '../bytes/bounded-reader.ts';
import { pageBytes } from './page.ts';

/*
 * What an incremental base backup has in the place of a relation's file, after backup/basebackup.c (sendFile),
 * backup/basebackup_incremental.c (GetFileBackupMethod) and include/backup/basebackup_incremental.h:
 *
 *   u32  magic, d3ae1f0d
 *   u32  how many blocks follow
 *   u32  truncation block length
 *   u32  number of each block in the file, ascending
 *        zeros up to a whole block, where blocks follow
 *        the blocks
 *
 * Integers are little-endian as the server's machine is. Below the truncation block length a block that does not follow is the one
 * of the earlier backup, or zeros where that has none; behind it there is what follows and, in between, zeros.
 */

const magic = 0xd3ae_1f0d;
const fixedBytes = 12;
/** Of a file; PostgreSQL can be built with larger ones, which a base backup then sends as they are. */
const mostBlocks = 131_072;

/** The file `16384` comes as `INCREMENTAL.16384`. */
export const incrementalPrefix = 'INCREMENTAL.';

export interface IncrementalHeader {
  /** Ascending. */
  readonly blocks: Uint32Array;
  readonly truncationBlocks: number;
  /** Of the file that is made of it and the earlier one. */
  readonly lengthBlocks: number;
}

/** How many bytes the header has, once `known` has enough of them to tell. Throws `decode`. */
export function incrementalHeaderBytes(known: Uint8Array): number {
  if (known.length < fixedBytes) return fixedBytes;
  const reader = new BoundedReader(known, 'an incremental file');
  if (reader.u32() !== magic) reader.fail('it does not begin as one');
  const count = reader.u32();
  if (count > mostBlocks) reader.fail(`${count} blocks`);
  const bytes = fixedBytes + count * 4;
  return count === 0 ? bytes : Math.ceil(bytes / pageBytes) * pageBytes;
}

/** `sizeBytes`: of the whole incremental file. Throws `decode`. */
export function decodeIncrementalHeader(header: Uint8Array, sizeBytes: number): IncrementalHeader {
  const reader = new BoundedReader(header, 'an incremental file');
  const headerBytes = incrementalHeaderBytes(header);
  reader.skip(4);
  const count = reader.u32();
  const truncationBlocks = reader.u32();
  if (truncationBlocks > mostBlocks) reader.fail(`a length of ${truncationBlocks} blocks`);
  if (sizeBytes !== headerBytes + count * pageBytes) reader.fail(`${sizeBytes} bytes with ${count} blocks`);
  const blocks = new Uint32Array(count);
  let next = 0;
  for (let i = 0; i < count; i += 1) {
    const block = reader.u32();
    if (block < next || block >= mostBlocks) reader.fail(`block ${block} where ${next} or a later one was expected`);
    blocks[i] = block;
    next = block + 1;
  }
  return { blocks, truncationBlocks, lengthBlocks: Math.max(truncationBlocks, next) };
}
