import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { formatTimestamp, fromUnixMillis, parseTimestamp, toUnixMillis } from './transaction-time.ts';

/* Made with: select extract(epoch from t::timestamptz - '2000-01-01 00:00:00+00') * 1000000, t */
const known: readonly (readonly [string, bigint])[] = [
  ['2000-01-01 00:00:00.000000+00', 0n],
  ['1999-12-31 23:59:59.999999+00', -1n],
  ['2000-02-29 12:00:00.000000+00', 5_140_800_000_000n],
  ['2026-11-23 08:38:34.123456+00', 848_738_314_123_456n],
  ['1970-01-01 00:00:00.000000+00', -946_684_800_000_000n],
  ['2100-03-01 00:00:00.000000+00', 3_160_857_600_000_000n],
  ['12026-01-01 00:00:00.000000+00', 316_390_060_800_000_000n],
];

describe('times in WAL', () => {
  for (const [text, micros] of known) {
    it(`writes and reads ${text}`, () => {
      assert.equal(formatTimestamp(micros), text);
      assert.equal(parseTimestamp(text), micros);
    });
  }

  it('reads other zones and ISO 8601 spellings as the same moment', () => {
    for (const text of [
      '2026-11-23T08:38:34.123456Z',
      '2026-11-23 17:38:34.123456+09',
      '2026-11-23 17:38:34.123456+09:00',
      '2026-11-23 03:08:34.123456-05:30',
    ]) {
      assert.equal(parseTimestamp(text), 848_738_314_123_456n, text);
    }
    assert.equal(parseTimestamp('2026-11-23 08:38Z'), 848_738_280_000_000n);
    assert.equal(parseTimestamp('2026-11-23 08:38:34.5Z'), 848_738_314_500_000n);
  });

  it('refuses what is no time or has no zone', () => {
    for (const text of [
      '',
      'yesterday',
      '2026-11-23 08:38:34',
      '2026-02-29 00:00:00Z',
      '2026-13-01 00:00:00Z',
      '2026-11-00 00:00:00Z',
      '2026-11-23 24:00:00Z',
      '2026-11-23 08:60:00Z',
      '2026-11-23 08:38:34.1234567Z',
      '2026-11-23T083834,5Z',
    ]) {
      assert.throws(() => parseTimestamp(text), { code: 'usage' }, text);
    }
  });

  it('writes years before Christ as PostgreSQL does', () => {
    assert.equal(formatTimestamp(-63_113_904_000_000_000n), '0001-01-01 00:00:00.000000+00 BC');
  });

  it('agrees with the calendar of the platform', () => {
    fc.assert(
      fc.property(fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }), (millis) => {
        const expected = new Date(millis).toISOString().replace('T', ' ').replace('Z', '000+00');
        assert.equal(formatTimestamp(fromUnixMillis(millis)), expected);
        assert.equal(toUnixMillis(fromUnixMillis(millis)), millis);
      }),
    );
  });

  it('reads back what it wrote', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -60_000_000_000_000_000n, max: 9_000_000_000_000_000_000n }), (micros) => {
        assert.equal(parseTimestamp(formatTimestamp(micros)), micros);
      }),
    );
  });
});
