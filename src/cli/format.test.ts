import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatBytes, formatDuration, formatIso, formatTable } from './format.ts';

test('sizes have three digits and the unit that fits', () => {
  for (const [bytes, text] of [
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [9_994, '9.99 kB'],
    [9_995, '10.0 kB'],
    [99_949, '99.9 kB'],
    [99_950, '100 kB'],
    [999_499, '999 kB'],
    [999_500, '1.00 MB'],
    [23_456_789, '23.5 MB'],
    [3_200_000_000, '3.20 GB'],
    [5e15, '5.00 PB'],
    [5e18, '5000 PB'],
  ] as const) {
    assert.equal(formatBytes(bytes), text);
  }
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 50 }), (bytes) => assert.match(formatBytes(bytes), /^\d{1,3}(\.\d+)? [kMGTP]?B$/)),
  );
});

test('durations have two units', () => {
  for (const [seconds, text] of [
    [0, '0 s'],
    [0.4, '0 s'],
    [59.4, '59 s'],
    [59.6, '1 min 0 s'],
    [245, '4 min 5 s'],
    [7380, '2 h 3 min'],
    [86_400 * 5 + 3600 * 6 + 59, '5 d 6 h'],
  ] as const) {
    assert.equal(formatDuration(seconds), text);
  }
});

test('columns are as wide as their widest cell, and no line ends in spaces', () => {
  assert.equal(
    formatTable([
      ['backup', 'size', 'note'],
      ['20261123T083834Z-full', '1 GB', ''],
      ['b', '', 'a long note'],
    ]),
    [
      'backup                 size  note',
      '20261123T083834Z-full  1 GB',
      'b                            a long note',
    ].join('\n'),
  );
  assert.equal(formatTable([]), '');
});

test('times of WAL are ISO 8601 in UTC', () => {
  assert.equal(formatIso(0n), '2000-01-01T00:00:00.000000Z');
  assert.equal(formatIso(849_429_514_123_456n), '2026-12-01T08:38:34.123456Z');
});
