import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { crc32c, crc32cCombine, crc32cMover, crc32cOfZeros, crc32cRange, moveCrc32c } from './crc32c.ts';

/** Bit by bit, as the definition has it. */
function plainCrc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

const someBytes = fc.uint8Array({ maxLength: 300 });

describe('CRC-32C', () => {
  it('is that of the catalogue of CRCs, and of RFC 3720', () => {
    assert.equal(crc32c(Buffer.from('123456789')), 0xe306_9283);
    assert.equal(crc32c(new Uint8Array(32)), 0x8a91_36aa);
    assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8_ab43);
    assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd_794e);
  });

  it('is the plain one, of a whole and of its pieces', () => {
    fc.assert(
      fc.property(someBytes, someBytes, (a, b) => {
        const whole = Buffer.concat([a, b]);
        assert.equal(crc32c(whole), plainCrc32c(whole));
        assert.equal(crc32c(b, crc32c(a)), plainCrc32c(whole));
        assert.equal(crc32cRange(whole, a.length, whole.length), plainCrc32c(b));
      }),
    );
  });

  it('of a whole follows from those of its parts', () => {
    fc.assert(
      fc.property(someBytes, someBytes, (a, b) => {
        const whole = plainCrc32c(Buffer.concat([a, b]));
        assert.equal(crc32cCombine(crc32c(a), crc32c(b), b.length), whole);
        assert.equal((moveCrc32c(crc32c(a), crc32cMover(b.length)) ^ crc32c(b)) >>> 0, whole);
      }),
    );
  });

  it('combines the same however the parts are put together, of any length that a file has', () => {
    const crc = fc.integer({ min: 0, max: 0xffff_ffff });
    const length = fc.oneof(fc.nat({ max: 100_000 }), fc.nat({ max: 2 ** 50 }));
    fc.assert(
      fc.property(crc, crc, crc, length, length, (a, b, c, lengthB, lengthC) => {
        const left = crc32cCombine(crc32cCombine(a, b, lengthB), c, lengthC);
        const right = crc32cCombine(a, crc32cCombine(b, c, lengthC), lengthB + lengthC);
        assert.equal(left, right);
      }),
    );
  });

  it('of zeros is that of so many zeros', () => {
    for (const length of [0, 1, 7, 8192, 100_003])
      assert.equal(crc32cOfZeros(length), plainCrc32c(new Uint8Array(length)));
  });
});
