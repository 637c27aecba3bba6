import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../errors/pgrecall-error.ts';
import { formatSynchronous, includesStandby, mergeSynchronous, parseSynchronousSet } from './synchronous-plan.ts';

const name = fc.oneof(
  fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/),
  fc.stringMatching(/^[A-Za-z0-9 ",()-]{1,8}$/),
  fc.constantFrom('any', 'FIRST', '*'),
);
const set = fc.record(
  {
    method: fc.constantFrom('ANY' as const, 'FIRST' as const),
    count: fc.integer({ min: 1, max: 9 }),
    names: fc.array(name, { minLength: 1, maxLength: 5 }),
  },
  { noNullPrototype: true },
);

test('a set is read as it was written, whatever the names are', () => {
  fc.assert(fc.property(set, (one) => assert.deepEqual(parseSynchronousSet(formatSynchronous(one)), one)));
});

test('the forms that PostgreSQL takes are read', () => {
  const first = { method: 'FIRST', count: 1, names: ['a', 'b'] };
  assert.deepEqual(parseSynchronousSet('a, b'), first);
  assert.deepEqual(parseSynchronousSet('1 (a,b)'), first);
  assert.deepEqual(parseSynchronousSet(' first 1 ( "a" , b ) '), first);
  assert.deepEqual(parseSynchronousSet('any 2 (*)'), { method: 'ANY', count: 2, names: ['*'] });
  assert.equal(parseSynchronousSet('  '), undefined);
});

test('what PostgreSQL would refuse is refused', () => {
  for (const text of ['ANY (a)', 'ANY 0 (a)', 'a,', 'ANY 1 (a b)', 'ANY 1 ()', 'a b', '2 (a', '-a']) {
    assert.throws(
      () => parseSynchronousSet(text),
      (error) => hasCode(error, 'usage'),
      text,
    );
  }
});

test('merged, nobody is missing and nobody is there twice; what is wanted comes first', () => {
  fc.assert(
    fc.property(set, set, (present, wanted) => {
      const merged = mergeSynchronous(present, wanted);
      assert.deepEqual([merged.method, merged.count], [wanted.method, wanted.count]);
      assert.deepEqual(merged.names.slice(0, wanted.names.length), wanted.names);
      for (const one of [...present.names, ...wanted.names]) assert.ok(includesStandby(merged, one));
      assert.deepEqual(mergeSynchronous(present, merged), merged);
    }),
  );
});
