import { assert } from '../errors/pgrecall-error.ts';
import type { Lsn } from './lsn.ts';
import { wasm } from './page-kernel.wasm.ts';
import { pageBytes } from './page.ts';

/*
 * Page checksums and CRC-32C over memory that files are read straight into: WebAssembly with SIMD, since both
 * are on the way of every byte of a backup. The sources are in assembly/.
 */

export interface PageKernel {
  /** Memory of the kernel: read files into it. */
  readonly buffer: Uint8Array;
  readonly capacityBytes: number;

  /**
   * Numbers, from 0, of those of `pages` pages at `offset` of the buffer whose checksum is wrong. New pages are
   * passed over, and those whose LSN is not before `startLsn`: they may be half written, and WAL replaces them
   * (basebackup.c does the same). `firstBlock`: the number of the first page in its relation.
   */
  verifyPages(offset: number, pages: number, firstBlock: number, startLsn: Lsn): readonly number[];

  /** CRC-32C of a run of the buffer; `previous` is that of the bytes before, 0 for none. */
  crc32c(offset: number, lengthBytes: number, previous: number): number;

  /**
   * The block sums of a run of the buffer, 8 bytes for each 8 KiB of it (docs/repository-format.md, "Block sums"); memory
   * of the kernel, good until the next call. Only of a kernel that was given a key.
   */
  sums(offset: number, lengthBytes: number): Uint8Array;

  /** A number for each value of a byte, for `endOfChunk`. */
  readonly gear: Int32Array;

  /**
   * The first place of the buffer from `offset` on before which the rolling hash of 32 bytes has its highest `bits` bits zero; `limit`
   * where there is none before. The 32 bytes before `offset` are looked at.
   */
  endOfChunk(offset: number, limit: number, bits: number): number;
}

interface Exports {
  readonly memory: WebAssembly.Memory;
  prepare(): void;
  crc32c(at: number, length: number, previous: number): number;
  verify(at: number, pages: number, firstBlock: number, startHigh: number, startLow: number, out: number): number;
  sums(at: number, length: number, key: number, out: number): void;
  endOfChunk(at: number, limit: number, shift: number): number;
}

const bufferStart = 65_536;
const gearAt = 10_240;
const gearWindowBytes = 32;
const badPagesAt = 16_384;
/** How many numbers fit between the list's start and the compiler's own data. */
const mostPages = 4096;
/** The checksum loop loads the next 16 bytes before it knows that its page was the last one. */
const readAheadBytes = 16;
/** A word for each word of a page, and three of 64 bits; room for them where loads are aligned. */
const sumKeyBytes = pageBytes + 24;
const sumBytes = 8;

let compiled: WebAssembly.Module | undefined;

/** `sumKey`: 8,216 secret bytes, for `sums`. */
export function createPageKernel(capacityBytes: number, sumKey?: Uint8Array): PageKernel {
  compiled ??= new WebAssembly.Module(Buffer.from(wasm, 'base64'));
  const kernel = new WebAssembly.Instance(compiled, {}).exports as unknown as Exports;
  assert(sumKey === undefined || sumKey.length === sumKeyBytes, 'a key for sums of another length');
  const keyAt = Math.ceil((bufferStart + capacityBytes + readAheadBytes) / 64) * 64;
  const sumsAt = keyAt + Math.ceil(sumKeyBytes / 64) * 64;
  const missing = sumsAt + Math.ceil(capacityBytes / pageBytes + 1) * sumBytes - kernel.memory.buffer.byteLength;
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / 65_536));
  kernel.prepare();
  const buffer = new Uint8Array(kernel.memory.buffer, bufferStart, capacityBytes);
  if (sumKey) new Uint8Array(kernel.memory.buffer, keyAt, sumKeyBytes).set(sumKey);
  const gear = new Int32Array(kernel.memory.buffer, gearAt, 256);
  const badPages = new Uint32Array(kernel.memory.buffer, badPagesAt, mostPages);
  const isRun = (offset: number, lengthBytes: number): boolean =>
    offset >= 0 && lengthBytes >= 0 && offset + lengthBytes <= capacityBytes;
  return {
    buffer,
    capacityBytes,
    verifyPages: (offset, pages, firstBlock, startLsn) => {
      assert(isRun(offset, pages * pageBytes) && pages <= mostPages, 'pages beyond the kernel’s buffer');
      const high = Number(startLsn >> 32n);
      const low = Number(startLsn & 0xffff_ffffn);
      const bad = kernel.verify(bufferStart + offset, pages, firstBlock, high, low, badPagesAt);
      return bad === 0 ? [] : [...badPages.subarray(0, bad)];
    },
    crc32c: (offset, lengthBytes, previous) => {
      assert(isRun(offset, lengthBytes), 'a run beyond the kernel’s buffer');
      return kernel.crc32c(bufferStart + offset, lengthBytes, previous) >>> 0;
    },
    sums: (offset, lengthBytes) => {
      assert(isRun(offset, lengthBytes) && sumKey !== undefined, 'sums without a key, or beyond the kernel’s buffer');
      kernel.sums(bufferStart + offset, lengthBytes, keyAt, sumsAt);
      return new Uint8Array(kernel.memory.buffer, sumsAt, Math.ceil(lengthBytes / pageBytes) * sumBytes);
    },
    gear,
    endOfChunk: (offset, limit, bits) => {
      assert(
        offset >= gearWindowBytes && offset <= limit && limit <= capacityBytes,
        'a chunk beyond the kernel’s buffer',
      );
      return kernel.endOfChunk(bufferStart + offset, bufferStart + limit, 32 - bits) - bufferStart;
    },
  };
}
