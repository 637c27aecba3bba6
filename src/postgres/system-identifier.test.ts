import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemIdentifier } from './system-identifier.ts';

describe('a system identifier', () => {
  it('is the same as a number and as text, beyond what a double keeps', () => {
    assert.equal(systemIdentifier(7_712_036_835_138_130_564n), '7712036835138130564');
    assert.equal(systemIdentifier('7712036835138130564'), '7712036835138130564');
    assert.equal(systemIdentifier('18446744073709551615'), '18446744073709551615');
    assert.equal(systemIdentifier('0042'), '42');
  });

  it('is refused when it is something else', () => {
    for (const text of ['', ' ', '0x10', '-1', '1.5', '1e3', '18446744073709551616', 'abc', '7712036835138130564\n']) {
      assert.throws(() => systemIdentifier(text), { code: 'decode' }, JSON.stringify(text));
    }
    assert.throws(() => systemIdentifier(-1n), { code: 'decode' });
    assert.throws(() => systemIdentifier(1n << 64n), { code: 'decode' });
  });
});
