import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { lsn } from './lsn.ts';
import {
  formatHistoryName,
  formatSegmentName,
  isBackupHistoryName,
  isHistoryName,
  isPartialName,
  isSegmentName,
  isSegmentSize,
  parseSegmentName,
  segmentBefore,
  segmentNumber,
  segmentOf,
  segmentsPerLog,
  segmentStart,
} from './segment-name.ts';
import { timeline } from './timeline.ts';

const mib = 1_048_576;
const sizes = Array.from({ length: 11 }, (_, i) => mib * 2 ** i);

/* After XLogFileName of access/xlog_internal.h. No position is the first byte of a segment: pg_walfile_name names the one before there, up to 16. */
const known: readonly (readonly [number, number, string, string])[] = [
  [1, 1, '0/100001', '000000010000000000000001'],
  [1, 1, '0/FFF00001', '000000010000000000000FFF'],
  [1, 1, '1/1', '000000010000000100000000'],
  [1, 16, '0/2000028', '000000010000000000000002'],
  [1, 16, '16/B374D848', '0000000100000016000000B3'],
  [1, 16, '0/FFFFFFFF', '0000000100000000000000FF'],
  [0xab, 16, 'A/1000001', '000000AB0000000A00000001'],
  [1, 64, '0/FFFFFFFF', '00000001000000000000003F'],
  [1, 1024, '0/40000001', '000000010000000000000001'],
  [1, 1024, '0/C0000001', '000000010000000000000003'],
  [1, 1024, '7/1', '000000010000000700000000'],
  [0xffff_ffff, 1024, 'FFFFFFFF/FFFFFFFF', 'FFFFFFFFFFFFFFFF00000003'],
];

const position = (text: string) => {
  const [high, low] = text.split('/');
  return lsn((BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`));
};

describe('the name of a WAL segment', () => {
  for (const [of, sizeMib, text, name] of known) {
    it(`of ${sizeMib} MiB with ${text} is ${name}`, () => {
      const sizeBytes = sizeMib * mib;
      const number = segmentOf(position(text), sizeBytes);
      assert.equal(formatSegmentName({ timeline: timeline(of), number }, sizeBytes), name);
      assert.deepEqual(parseSegmentName(name, sizeBytes), { timeline: of, number });
    });
  }

  for (const sizeBytes of sizes) {
    it(`ends a log after ${segmentsPerLog(sizeBytes)} segments of ${sizeBytes / mib} MiB`, () => {
      const perLog = segmentsPerLog(sizeBytes);
      assert.equal(perLog * BigInt(sizeBytes), 0x1_0000_0000n);
      const nameOf = (number: bigint) =>
        formatSegmentName({ timeline: timeline(1), number: segmentNumber(number) }, sizeBytes);
      const last = (perLog - 1n).toString(16).toUpperCase().padStart(8, '0');
      assert.equal(nameOf(0n), '000000010000000000000000');
      assert.equal(nameOf(perLog - 1n), `0000000100000000${last}`);
      assert.equal(nameOf(perLog), '000000010000000100000000');
      assert.equal(nameOf(0xffff_ffffn * perLog + perLog - 1n), `00000001FFFFFFFF${last}`);
      // the next number of the last log is no segment of this size
      const beyond = perLog.toString(16).toUpperCase().padStart(8, '0');
      assert.throws(() => parseSegmentName(`0000000100000000${beyond}`, sizeBytes), {
        code: 'wal-name',
        message: /does not fit segments of/,
      });
      assert.throws(() => parseSegmentName('0000000100000000FFFFFFFF', sizeBytes), { code: 'wal-name' });
    });

    it(`of ${sizeBytes / mib} MiB is what it was after being written and read, and orders as its LSN does`, () => {
      const numbers = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn / BigInt(sizeBytes) }).map(segmentNumber);
      const timelines = fc.integer({ min: 1, max: 0xffff_ffff }).map(timeline);
      fc.assert(
        fc.property(timelines, numbers, numbers, (of, number, other) => {
          const name = formatSegmentName({ timeline: of, number }, sizeBytes);
          assert.deepEqual(parseSegmentName(name, sizeBytes), { timeline: of, number });
          const otherName = formatSegmentName({ timeline: of, number: other }, sizeBytes);
          assert.equal(name < otherName, number < other);
        }),
      );
    });

    it(`of ${sizeBytes / mib} MiB follows from each byte in it; WAL that ends at its first byte is in the one before`, () => {
      const numbers = fc.bigInt({ min: 1n, max: 0xffff_ffff_ffff_ffffn / BigInt(sizeBytes) - 1n }).map(segmentNumber);
      fc.assert(
        fc.property(numbers, fc.integer({ min: 1, max: sizeBytes - 1 }), (number, offset) => {
          const start = segmentStart(number, sizeBytes);
          const within = lsn(start + BigInt(offset));
          assert.equal(segmentOf(start, sizeBytes), number);
          assert.equal(segmentOf(within, sizeBytes), number);
          assert.equal(segmentOf(lsn(start + BigInt(sizeBytes) - 1n), sizeBytes), number);
          assert.equal(segmentOf(lsn(start + BigInt(sizeBytes)), sizeBytes), number + 1n);
          assert.equal(segmentBefore(start, sizeBytes), number - 1n);
          assert.equal(segmentBefore(lsn(start + 1n), sizeBytes), number);
          assert.equal(segmentBefore(within, sizeBytes), number);
          assert.equal(segmentBefore(lsn(start + BigInt(sizeBytes)), sizeBytes), number);
        }),
      );
    });
  }

  it('is refused when it is that of another file', () => {
    for (const name of [
      '',
      '00000001000000000000000',
      '0000000100000000000000011',
      '00000001000000000000000G',
      '00000001000000000000000a',
      '000000010000000000000001.partial',
      '00000002.history',
      ' 000000010000000000000001',
      '000000010000000000000001\n',
      '../../00000001000000000001',
    ]) {
      assert.equal(isSegmentName(name), false, name);
      assert.throws(() => parseSegmentName(name, 16 * mib), { code: 'wal-name' }, name);
    }
    assert.throws(() => parseSegmentName('000000000000000000000001', 16 * mib), {
      code: 'wal-name',
      message: /timeline 0/,
    });
  });

  it('is read or refused, whatever the text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'01FABC'), minLength: 22, maxLength: 26 }),
        fc.constantFrom(...sizes),
        (name, sizeBytes) => {
          try {
            assert.equal(formatSegmentName(parseSegmentName(name, sizeBytes), sizeBytes), name);
          } catch (error) {
            assert.ok(error instanceof PgrecallError && error.code === 'wal-name');
          }
        },
      ),
    );
  });

  it('comes with other names around it, each known for what it is', () => {
    const kinds = (name: string) =>
      [isSegmentName, isHistoryName, isBackupHistoryName, isPartialName].map((is) => is(name));
    assert.deepEqual(kinds('000000010000000000000002'), [true, false, false, false]);
    assert.deepEqual(kinds('00000002.history'), [false, true, false, false]);
    assert.deepEqual(kinds('000000010000000000000002.00000028.backup'), [false, false, true, false]);
    assert.deepEqual(kinds('000000010000000000000002.partial'), [false, false, false, true]);
    for (const name of [
      'archive_status',
      'summaries',
      '00000002.history.tmp',
      '2.history',
      'xlogtemp.123',
      '.partial',
    ]) {
      assert.deepEqual(kinds(name), [false, false, false, false], name);
    }
    assert.equal(formatHistoryName(timeline(0x1f)), '0000001F.history');
  });
});

describe('the size of WAL segments', () => {
  it('is a power of two from 1 MiB to 1 GiB', () => {
    for (const sizeBytes of sizes) assert.ok(isSegmentSize(sizeBytes));
    for (const sizeBytes of [
      0,
      -mib,
      mib / 2,
      mib - 1,
      mib + 1,
      3 * mib,
      2048 * mib,
      4096 * mib,
      Number.NaN,
      mib * 1.5,
    ]) {
      assert.equal(isSegmentSize(sizeBytes), false, String(sizeBytes));
    }
  });
});
