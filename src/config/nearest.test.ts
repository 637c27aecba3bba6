import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nearest } from './nearest.ts';
import { optionDefinitions } from './options.ts';

const names: readonly string[] = optionDefinitions.map(({ name }) => name);

test('one slip of the fingers in an option still leads to it', () => {
  const letter = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz_');
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.nat(), letter, fc.nat(3), (name, place, other, how) => {
      const at = place % name.length;
      const [before, after] = [name.slice(0, at), name.slice(at)];
      const mistyped =
        [
          before + after.slice(1),
          before + other + after,
          before + other + after.slice(1),
          before + (after[1] ?? '') + (after[0] ?? '') + after.slice(2),
        ][how] ?? '';
      fc.pre(!names.includes(mistyped));
      assert.equal(nearest(mistyped, names), name);
    }),
  );
});

test('what is not near leads nowhere', () => {
  for (const word of ['retention', 'compression', 'x', '']) assert.equal(nearest(word, names), undefined, word);
  assert.equal(nearest('anything', []), undefined);
});
