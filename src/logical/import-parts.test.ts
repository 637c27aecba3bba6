import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { partsFrom, sortParts } from './import-parts.ts';

describe('parts of a file', () => {
  for (const [first, names, parts, missing] of [
    ['x.000', ['x.000', 'x.001', 'x.002', 'y.003'], ['x.000', 'x.001', 'x.002'], undefined],
    ['x.001', ['x.001', 'x.002'], ['x.001', 'x.002'], undefined],
    ['x.000', ['x.000', 'x.002'], ['x.000'], 'x.001'],
    ['x.aa', ['x.aa', 'x.ab', 'x.gz'], ['x.aa', 'x.ab'], undefined],
    ['x.00', ['x.00'], ['x.00'], undefined],
    ['shop.dump', ['shop.dump', 'shop.dump.000'], ['shop.dump'], undefined],
    ['shop-2026', ['shop-2026', 'shop-2027'], ['shop-2026'], undefined],
  ] as const) {
    it(`are found from ${first} among ${names.join(', ')}`, () => {
      assert.deepEqual(partsFrom(first, names), { parts, missing });
    });
  }

  it('go on from z to the next letter', () => {
    const names = ['x.aa', ...[...'bcdefghijklmnopqrstuvwxyz'].map((letter) => `x.a${letter}`), 'x.ba', 'x.bb'];
    assert.deepEqual(partsFrom('x.aa', names), { parts: names, missing: undefined });
  });

  it('that a pattern has found are sorted by their numbers', () => {
    assert.deepEqual(sortParts(['x10', 'x9', 'x1']), ['x1', 'x9', 'x10']);
    assert.deepEqual(sortParts(['x.ab', 'x.aa']), ['x.aa', 'x.ab']);
  });
});
