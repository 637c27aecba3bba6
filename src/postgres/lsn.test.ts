import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { formatLsn, invalidLsn, isLsn, lsn, parseLsn } from './lsn.ts';

/* As PostgreSQL prints them: select '0/0'::pg_lsn + n */
const known: readonly (readonly [bigint, string])[] = [
  [0n, '0/0'],
  [1n, '0/1'],
  [0x200_0028n, '0/2000028'],
  [0xffff_ffffn, '0/FFFFFFFF'],
  [0x1_0000_0000n, '1/0'],
  [0x16_b374_d848n, '16/B374D848'],
  [0xffff_ffff_ffff_ffffn, 'FFFFFFFF/FFFFFFFF'],
];

describe('an LSN', () => {
  for (const [value, text] of known) {
    it(`${text} is written and read`, () => {
      assert.equal(formatLsn(lsn(value)), text);
      assert.equal(parseLsn(text), value);
    });
  }

  it('is read in small letters and with leading zeros, as tools of other versions print it', () => {
    assert.equal(parseLsn('16/b374d848'), 0x16_b374_d848n);
    assert.equal(parseLsn('00000016/00000028'), 0x16_0000_0028n);
  });

  it('is what it was after being written and read', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }), (value) => {
        assert.equal(parseLsn(formatLsn(lsn(value))), value);
      }),
    );
  });

  it('is refused when it is something else', () => {
    for (const text of [
      '',
      '/',
      '0/',
      '/0',
      '0',
      '0/0/0',
      '0/G',
      '123456789/0',
      '0/123456789',
      ' 0/0',
      '0/0\n',
      '-1/0',
    ]) {
      assert.equal(isLsn(text), false, text);
      assert.throws(() => parseLsn(text), { code: 'usage' }, JSON.stringify(text));
    }
  });

  it('is refused or read, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0123456789ABCDEFabcdef/ \n-xG') }), (text) => {
        if (isLsn(text)) assert.equal(parseLsn(formatLsn(parseLsn(text))), parseLsn(text));
        else assert.throws(() => parseLsn(text), { code: 'usage' });
      }),
    );
  });

  it('of 0 is no position', () => {
    assert.equal(invalidLsn, 0n);
  });
});
