import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Random } from './random.ts';

const byValue = (a: number, b: number): number => a - b;

test('the same seed gives the same numbers, for ever', () => {
  const random = new Random('film');
  assert.deepEqual(
    Array.from({ length: 5 }, () => random.integer(0, 999)),
    [198, 231, 812, 527, 493],
  );
});

test('another seed gives other numbers', () => {
  assert.notEqual(new Random('film').next(), new Random('actor').next());
});

test('whole numbers stay between their ends, and reach both', () => {
  const random = new Random('dice');
  const seen = new Set(Array.from({ length: 500 }, () => random.integer(1, 6)));
  assert.deepEqual([...seen].toSorted(byValue), [1, 2, 3, 4, 5, 6]);
});

test('shuffling loses nothing and adds nothing', () => {
  fc.assert(
    fc.property(fc.string(), fc.array(fc.integer()), (seed, list) => {
      assert.deepEqual(new Random(seed).shuffled(list).toSorted(byValue), list.toSorted(byValue));
    }),
  );
});

test('spreading gives away everything, within the limits of each place', () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 1, max: 50 }), fc.nat(200), (seed, places, more) => {
      const total = Math.min(places + more, places * 8);
      const shares = new Random(seed).spread(total, places, 1, 8);
      assert.equal(
        shares.reduce((sum, share) => sum + share, 0),
        total,
      );
      assert.ok(shares.every((share) => share >= 1 && share <= 8));
    }),
  );
});
