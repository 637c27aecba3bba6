import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readSegmentHeader } from './page-header.ts';

/*
 * The first 40 bytes of 000000010000000000000001 right after initdb (od -A n -t x1 -N 40), of each version.
 */
const real: readonly (readonly [number, string])[] = [
  [14, '0dd10200010000000000000100000000000000000000000002d7d7d56302046b0000000100200000'],
  [15, '10d10200010000000000000100000000000000000000000014276cc16402046b0000000100200000'],
  [16, '13d102000100000000000001000000000000000000000000260709886502046b0000000100200000'],
  [17, '16d10200010000000000000100000000000000000000000038973b4f6602046b0000000100200000'],
  [18, '18d1020001000000000000010000000000000000000000004a87e41e6702046b0000000100200000'],
];

const bytesOf = (text: string): Buffer => Buffer.from(text, 'hex');

describe('the header of a WAL segment', () => {
  for (const [major, text] of real) {
    it(`of a PostgreSQL ${major} server is read`, () => {
      const header = readSegmentHeader(bytesOf(text));
      assert.equal(header.postgresMajor, major);
      assert.equal(header.startLsn, 0x100_0000n);
      assert.equal(header.timeline, 1);
      assert.equal(header.segmentBytes, 16_777_216);
      assert.equal(header.walBlockBytes, 8192);
      assert.equal(header.systemIdentifier, bytesOf(text).readBigUInt64LE(24).toString());
    });
  }

  it('is refused when it is cut', () => {
    const whole = bytesOf(real[1]?.[1] ?? '');
    assert.equal(whole.length, 40);
    for (let cut = 0; cut < whole.length; cut += 1) {
      assert.throws(() => readSegmentHeader(whole.subarray(0, cut)), { code: 'wal-damaged' });
    }
  });

  it('is refused where its fields cannot be', () => {
    const changes: [string, (bytes: Buffer) => void][] = [
      ['zeros', (bytes) => bytes.fill(0)],
      ['a file of another kind', (bytes) => bytes.write('PK\x03\x04')],
      ['no long header', (bytes) => bytes.writeUInt16LE(0, 2)],
      ['timeline 0', (bytes) => bytes.writeUInt32LE(0, 4)],
      ['an address within a segment', (bytes) => bytes.writeBigUInt64LE(0x100_2000n, 8)],
      ['segments of 3 MiB', (bytes) => bytes.writeUInt32LE(3_145_728, 32)],
      ['segments of 2 GiB', (bytes) => bytes.writeUInt32LE(0x8000_0000, 32)],
      ['pages of 3000 bytes', (bytes) => bytes.writeUInt32LE(3000, 36)],
      ['pages of 0 bytes', (bytes) => bytes.writeUInt32LE(0, 36)],
    ];
    for (const [what, change] of changes) {
      const bytes = bytesOf(real[1]?.[1] ?? '');
      change(bytes);
      assert.throws(() => readSegmentHeader(bytes), { code: 'wal-damaged' }, what);
    }
  });

  it('of a later version is read, only not understood', () => {
    const bytes = bytesOf(real[4]?.[1] ?? '');
    bytes.writeUInt16LE(0xd11a, 0);
    assert.equal(readSegmentHeader(bytes).postgresMajor, undefined);
    assert.equal(readSegmentHeader(bytes).walMagic, 0xd11a);
  });
});
