import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32c } from '../bytes/crc32c.ts';
import { crcByDifference, type PieceCrcs } from './file-crc.ts';

const contentArbitrary = fc.uint8Array({ maxLength: 40 });

/** Pieces that stay or change, then some that come or go, grow or shrink. */
const piecesArbitrary = fc
  .tuple(
    fc.array(fc.record({ old: contentArbitrary, kept: fc.boolean() }), { maxLength: 8 }),
    fc.array(fc.record({ old: contentArbitrary, now: contentArbitrary, kept: fc.constant(false) }), { maxLength: 3 }),
  )
  .map(([first, last]) => [
    ...first.map(({ old, kept: stays }) => ({ old, kept: stays, now: stays ? old : old.map((byte) => byte ^ 0x55) })),
    ...last,
  ]);

test('the CRC of a file follows from the reference’s and those of the pieces that changed', () => {
  fc.assert(
    fc.property(piecesArbitrary, (pieces) => {
      const crcs: PieceCrcs[] = pieces.map(({ old, now, kept: stays }) => ({
        oldBytes: old.length,
        newBytes: now.length,
        kept: stays,
        oldCrc32c: stays ? undefined : crc32c(old),
        newCrc32c: stays ? undefined : crc32c(now),
      }));
      const whole = crc32c(Buffer.concat(pieces.map(({ now }) => now)));
      assert.equal(crcByDifference(crc32c(Buffer.concat(pieces.map(({ old }) => old))), crcs), whole);
    }),
  );
});

test('a file that shrank by gigabytes has a CRC all the same', () => {
  const page = Buffer.alloc(8192, 7);
  // 4 GiB of zeros more than there are now: their CRC by combination alone.
  const zeros = 2 ** 32;
  const zeroCrc = crcByDifference(0, [piece(0, zeros, 0, crcOfZeros(zeros))]);
  assert.equal(zeroCrc, crcOfZeros(zeros));
  const before = crcByDifference(crc32c(page), [kept(8192), piece(0, zeros, 0, crcOfZeros(zeros))]) ?? 0;
  assert.equal(crcByDifference(before, [kept(8192), piece(zeros, 0, crcOfZeros(zeros), 0)]), crc32c(page));
});

test('it is not known where that of a piece which changed is not', () => {
  assert.equal(crcByDifference(1, [kept(10), { ...piece(10, 10, 5, 6), oldCrc32c: undefined }]), undefined);
});

function piece(oldBytes: number, newBytes: number, oldCrc32c: number, newCrc32c: number): PieceCrcs {
  return { oldBytes, newBytes, kept: false, oldCrc32c, newCrc32c };
}

function kept(bytes: number): PieceCrcs {
  return { oldBytes: bytes, newBytes: bytes, kept: true, oldCrc32c: undefined, newCrc32c: undefined };
}

/** By doubling, from the first byte. */
function crcOfZeros(count: number): number {
  let crc = crc32c(Buffer.alloc(1));
  for (let length = 1; length < count; length *= 2) {
    crc =
      crcByDifference(0, [piece(0, length, 0, crc), piece(0, length, 0, crc)]) ??
      assert.fail('CRCs that are all known');
  }
  return crc;
}
