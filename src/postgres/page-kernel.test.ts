import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { crc32c } from '../bytes/crc32c.ts';
import { invalidLsn, lsn, type Lsn } from './lsn.ts';
import { createPageKernel, type PageKernel } from './page-kernel.ts';
import { pageBytes, pageChecksum, readPageLsn } from './page.ts';

const end = lsn(0xffff_ffff_ffff_ffffn);

/** The same in the plainest way. */
function expectedBad(bytes: Uint8Array, offset: number, pages: number, firstBlock: number, startLsn: Lsn): number[] {
  return Array.from({ length: pages }, (_, i) => i).filter((i) => {
    const page = bytes.subarray(offset + i * pageBytes, offset + (i + 1) * pageBytes);
    const view = new DataView(page.buffer, page.byteOffset, pageBytes);
    const isNew = view.getUint16(14, true) === 0;
    if (isNew || readPageLsn(page) >= startLsn) return false;
    return view.getUint16(8, true) !== pageChecksum(page, firstBlock + i);
  });
}

/** Fills pages as a server would have written them, from a small generator: fast-check's would take minutes. */
function fillPages(bytes: Uint8Array, offset: number, pages: number, firstBlock: number, seed: number): void {
  let state = seed | 1;
  for (let i = 0; i < pages; i += 1) {
    const page = bytes.subarray(offset + i * pageBytes, offset + (i + 1) * pageBytes);
    const words = new DataView(page.buffer, page.byteOffset, pageBytes);
    for (let at = 0; at < pageBytes; at += 4) {
      state = Math.imul(state ^ (state >>> 15), 0x2c1b_3c6d) + 0x9e37_79b1;
      words.setInt32(at, state, true);
    }
    setLsn(page, 0x1_0000_0000n + BigInt(i));
    words.setUint16(14, 4096, true);
    words.setUint16(8, pageChecksum(page, firstBlock + i), true);
  }
}

function setLsn(page: Uint8Array, value: bigint): void {
  const view = new DataView(page.buffer, page.byteOffset, 8);
  view.setUint32(0, Number(value >> 32n), true);
  view.setUint32(4, Number(value & 0xffff_ffffn), true);
}

function reseal(page: Uint8Array, block: number): void {
  new DataView(page.buffer, page.byteOffset, pageBytes).setUint16(8, pageChecksum(page, block), true);
}

function filledKernel(pages: number, firstBlock = 0): PageKernel {
  const kernel = createPageKernel(pages * pageBytes);
  fillPages(kernel.buffer, 0, pages, firstBlock, pages + firstBlock);
  return kernel;
}

const pageAt = (kernel: PageKernel, index: number): Uint8Array =>
  kernel.buffer.subarray(index * pageBytes, (index + 1) * pageBytes);

describe('the page kernel', () => {
  it('finds nothing wrong with sound pages, however many there are', () => {
    // 8, 32 and 4096 pages end exactly where WebAssembly's memory could end
    for (const pages of [0, 1, 2, 7, 8, 9, 32, 33, 131]) {
      assert.deepEqual(filledKernel(pages).verifyPages(0, pages, 0, end), [], `${pages} pages`);
    }
    const large = createPageKernel(4096 * pageBytes);
    large.buffer.fill(1);
    // one in 65535 blocks has that checksum
    assert.deepEqual(large.verifyPages(0, 4096, 0, end), expectedBad(large.buffer, 0, 4096, 0, end));
  });

  it('names the pages of which a bit flipped, the first and the last too', () => {
    const kernel = filledKernel(32);
    for (const [index, byte] of [
      [0, 9],
      [5, 0],
      [6, 10],
      [17, 4000],
      [31, 8191],
    ] as const) {
      pageAt(kernel, index)[byte]! ^= 0x10;
    }
    assert.deepEqual(kernel.verifyPages(0, 32, 0, end), [0, 5, 6, 17, 31]);
    assert.deepEqual(kernel.verifyPages(5 * pageBytes, 13, 5, end), [0, 1, 12]);
  });

  it('agrees with the plain form on every bit of a page', () => {
    const kernel = filledKernel(1, 12_345);
    const page = pageAt(kernel, 0);
    for (let byte = 0; byte < pageBytes; byte += byte < 32 ? 1 : 37) {
      for (let bit = 0; bit < 8; bit += 1) {
        page[byte]! ^= 1 << bit;
        const expected = expectedBad(kernel.buffer, 0, 1, 12_345, end);
        assert.deepEqual(kernel.verifyPages(0, 1, 12_345, end), expected, `bit ${bit} of byte ${byte}`);
        page[byte]! ^= 1 << bit;
      }
    }
  });

  it('knows blocks of files beyond the first, and one that was written to another place', () => {
    for (const firstBlock of [0, 131_072, 131_072 * 31_999, 0xffff_fff0]) {
      const kernel = filledKernel(8, firstBlock);
      assert.deepEqual(kernel.verifyPages(0, 8, firstBlock, end), []);
      const swapped = pageAt(kernel, 2).slice();
      pageAt(kernel, 2).set(pageAt(kernel, 3));
      pageAt(kernel, 3).set(swapped);
      assert.deepEqual(kernel.verifyPages(0, 8, firstBlock, end), [2, 3]);
      assert.deepEqual(kernel.verifyPages(0, 2, firstBlock + 1, end), [0, 1]);
    }
  });

  it('passes over new pages, which have no checksum', () => {
    const kernel = filledKernel(4);
    pageAt(kernel, 1).fill(0);
    // extended, and zeroed but for a header that was never finished: pd_upper decides
    pageAt(kernel, 2).fill(0, 14, 16);
    assert.deepEqual(kernel.verifyPages(0, 4, 0, end), []);
  });

  it('passes over torn pages that were written after the start: WAL replaces them', () => {
    const start = 0x5_0200_0028n;
    const kernel = filledKernel(6);
    for (const [index, pageLsn] of [
      start - 1n,
      start,
      start + 1n,
      start + (1n << 32n),
      start - (1n << 32n),
      0n,
    ].entries()) {
      const page = pageAt(kernel, index);
      setLsn(page, pageLsn);
      reseal(page, index);
      // the second half is still that of before
      page.fill(0xee, 4096);
    }
    assert.deepEqual(kernel.verifyPages(0, 6, 0, lsn(start)), [0, 4, 5]);
    assert.deepEqual(kernel.verifyPages(0, 6, 0, invalidLsn), []);
    assert.deepEqual(kernel.verifyPages(0, 6, 0, end), [0, 1, 2, 3, 4, 5]);
  });

  it('compares LSNs as numbers of 64 bits without sign', () => {
    const kernel = filledKernel(3);
    for (const [index, pageLsn] of [0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, 0xffff_ffff_0000_0000n].entries()) {
      setLsn(pageAt(kernel, index), pageLsn);
    }
    assert.deepEqual(kernel.verifyPages(0, 3, 0, lsn(0x8000_0000_0000_0001n)), [0, 1]);
    assert.deepEqual(kernel.verifyPages(0, 3, 0, lsn(0xffff_ffff_0000_0000n)), [0, 1]);
    assert.deepEqual(kernel.verifyPages(0, 3, 0, lsn(0xffff_ffff_0000_0001n)), [0, 1, 2]);
  });

  it('agrees with the plain form whatever the pages hold', () => {
    const kernel = createPageKernel(8 * pageBytes);
    const damage = fc.record({ at: fc.nat(8 * pageBytes - 1), value: fc.nat(255), reseal: fc.boolean() });
    fc.assert(
      fc.property(
        fc.nat(0xffff_ffff - 8),
        fc.integer(),
        fc.array(damage, { maxLength: 12 }),
        fc.constantFrom(end, lsn(0x1_0000_0004n), invalidLsn),
        (firstBlock, seed, damages, startLsn) => {
          fillPages(kernel.buffer, 0, 8, firstBlock, seed);
          for (const { at, value, reseal: sound } of damages) {
            kernel.buffer[at] = value;
            const index = Math.floor(at / pageBytes);
            if (sound) reseal(pageAt(kernel, index), firstBlock + index);
          }
          const expected = expectedBad(kernel.buffer, 0, 8, firstBlock, startLsn);
          assert.deepEqual(kernel.verifyPages(0, 8, firstBlock, startLsn), expected);
        },
      ),
      { numRuns: 25 },
    );
  });

  it('has a CRC-32C that is the plain one, at every offset and length, whole or in pieces', () => {
    const kernel = filledKernel(4);
    assert.equal(kernel.crc32c(0, 0, 0), 0);
    // Around what is folded at once, and around whole pages, which are folded in another way.
    for (const near of [0, 64, 128, 192, pageBytes - 64, pageBytes, 2 * pageBytes]) {
      for (let length = Math.max(0, near - 20); length < near + 20; length += 1) {
        assert.equal(kernel.crc32c(3, length, 0), crc32c(kernel.buffer.subarray(3, 3 + length)), `${length} bytes`);
      }
    }
    kernel.buffer.set(Buffer.from('123456789'));
    assert.equal(kernel.crc32c(0, 9, 0), 0xe306_9283);
    fc.assert(
      fc.property(fc.nat(pageBytes), fc.nat(3 * pageBytes), fc.nat(3 * pageBytes), (offset, length, split) => {
        const expected = crc32c(kernel.buffer.subarray(offset, offset + length));
        assert.equal(kernel.crc32c(offset, length, 0), expected);
        const first = Math.min(split, length);
        assert.equal(kernel.crc32c(offset + first, length - first, kernel.crc32c(offset, first, 0)), expected);
      }),
    );
  });

  it('keeps to its buffer', () => {
    const kernel = filledKernel(2);
    const bug = { code: 'bug' };
    assert.throws(() => kernel.verifyPages(0, 3, 0, end), bug);
    assert.throws(() => kernel.verifyPages(1, 2, 0, end), bug);
    assert.throws(() => kernel.verifyPages(-pageBytes, 1, 0, end), bug);
    assert.throws(() => createPageKernel(4097 * pageBytes).verifyPages(0, 4097, 0, end), bug);
    assert.throws(() => kernel.crc32c(0, 2 * pageBytes + 1, 0), bug);
    assert.throws(() => kernel.crc32c(-1, 10, 0), bug);
    assert.throws(() => kernel.crc32c(10, -1, 0), bug);
    assert.equal(kernel.capacityBytes, 2 * pageBytes);
    assert.equal(kernel.buffer.length, 2 * pageBytes);
  });

  it('may be made many times over: each has memory of its own', () => {
    const [one, other] = [filledKernel(1), filledKernel(1)];
    pageAt(one, 0)[100]! ^= 1;
    assert.deepEqual(one.verifyPages(0, 1, 0, end), [0]);
    assert.deepEqual(other.verifyPages(0, 1, 0, end), []);
  });
});
