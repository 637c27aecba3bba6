import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodePath, encodePath } from './path-text.ts';

test('any bytes survive as text', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      assert.deepEqual(encodePath(decodePath(bytes)), Buffer.from(bytes));
    }),
  );
});

test('text that is well-formed is its UTF-8', () => {
  for (const text of ['', 'base/1', '한글', '🐘', 'é', '\u{fffd}']) {
    assert.deepEqual(encodePath(text), Buffer.from(text, 'utf8'));
    assert.equal(decodePath(Buffer.from(text, 'utf8')), text);
  }
});

test('bytes that are not UTF-8 become lone surrogates', () => {
  assert.equal(decodePath(Buffer.from('61ff62', 'hex')), 'a\u{dcff}b');
  assert.equal(decodePath(Buffer.from('eda080', 'hex')), '\u{dced}\u{dca0}\u{dc80}');
  assert.equal(decodePath(Buffer.from('c3a9e9', 'hex')), 'é\u{dce9}');
});
