import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { hasCode } from '../errors/pgrecall-error.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import { parseTime } from './parse-time.ts';

/** What people write, and the moment that it is in UTC. */
const readable: readonly (readonly [string, string])[] = [
  ['2026-11-23T08:38:34Z', '2026-11-23 08:38:34.000000+00'],
  ['2026-11-23 08:38:34.123456+00', '2026-11-23 08:38:34.123456+00'],
  ['2026-11-23 08:38:34.123456 UTC', '2026-11-23 08:38:34.123456+00'],
  ['2026-11-23 08:38:34,5 gmt', '2026-11-23 08:38:34.500000+00'],
  ['2026-11-23 08:38:34.123456789+00', '2026-11-23 08:38:34.123456+00'],
  ['  2026-11-23 08:38:34+09  ', '2026-11-22 23:38:34.000000+00'],
  ['2026-11-23 08:38+0530', '2026-11-23 03:08:00.000000+00'],
  ['2026-11-23 08:38:34-03:30', '2026-11-23 12:08:34.000000+00'],
  ['2026-11-23 08:38:34-00:00:28', '2026-11-23 08:39:02.000000+00'],
  ['2026-11-23 08:38:34.25 KST', '2026-11-22 23:38:34.250000+00'],
  ['2026-11-23 08:38:34 EST', '2026-11-23 13:38:34.000000+00'],
  ['2026-11-23 08:38:34 Asia/Seoul', '2026-11-22 23:38:34.000000+00'],
  ['2026-07-01 12:00:00 Europe/Berlin', '2026-07-01 10:00:00.000000+00'],
  ['2026-11-01 01:30:00 America/New_York', '2026-11-01 05:30:00.000000+00'],
  ['2026-11-23Z', '2026-11-23 00:00:00.000000+00'],
  ['2026-1-2 3:04Z', '2026-01-02 03:04:00.000000+00'],
  ['2026-11-23 24:00:00Z', '2026-11-24 00:00:00.000000+00'],
  ['2026-12-31 23:59:60Z', '2027-01-01 00:00:00.000000+00'],
  ['1999-12-31 23:59:59.999999Z', '1999-12-31 23:59:59.999999+00'],
  ['31 Mar 2022 09:06 UTC', '2022-03-31 09:06:00.000000+00'],
  ['Thu, 31 Mar 2022 09:06:07 GMT', '2022-03-31 09:06:07.000000+00'],
];

const unreadable = [
  '',
  'now',
  'yesterday',
  'infinity',
  '2026',
  '1',
  '2026-13-01 00:00Z',
  '2026-02-29 00:00Z',
  '2026-11-31 00:00Z',
  '2026-00-10 00:00Z',
  '2026-11-23 24:00:01Z',
  '2026-11-23 25:00Z',
  '2026-11-23 08:60Z',
  '2026-11-23 08:38:61Z',
  '2026-11-23 08:38:34 +16:00',
  '2026-11-23 08:38:34 +05:75',
  '2026-11-23 08:38:34 XYZ',
  '2026-11-23 08:38:34 Asia/Nowhere',
  '2026-11-23 08:38:34 Z or so',
  '16/B374D848',
];

describe('a time on the command line', () => {
  for (const [text, expected] of readable) {
    it(`"${text}" is ${expected}`, () => {
      assert.equal(formatTimestamp(parseTime(text)), expected);
    });
  }

  for (const text of unreadable) {
    it(`"${text}" is none`, () => {
      assert.throws(
        () => parseTime(text),
        (error) => hasCode(error, 'usage'),
      );
    });
  }

  it('without a zone is this machine’s', () => {
    const local = BigInt(new Date(2026, 10, 23, 8, 38, 34).getTime()) - 946_684_800_000n;
    assert.equal(parseTime('2026-11-23 08:38:34.000007'), local * 1000n + 7n);
  });

  it('that pgrecall or PostgreSQL has printed is read back to the microsecond', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 14n), max: 4n * 10n ** 15n }), (micros) => {
        assert.equal(parseTime(formatTimestamp(micros)), micros);
      }),
    );
  });
});
