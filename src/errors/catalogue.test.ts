import assert from 'node:assert/strict';
import { test } from 'node:test';
import { catalogue, exitStatuses, type CatalogueEntry, type ErrorCode } from './catalogue.ts';
import { PgrecallError, assert as assertInvariant, hasCode, isErrno } from './pgrecall-error.ts';

const codes = Object.keys(catalogue) as ErrorCode[];

test('every code is a word for scripts, with an exit status of the contract', () => {
  for (const code of codes) {
    assert.match(code, /^[a-z]+(-[a-z]+)*$/);
    const status = new PgrecallError(code, 'something').exitStatus;
    assert.ok(status >= 1 && status <= 5, `${code}: ${status}`);
    assert.equal(status, exitStatuses[catalogue[code].kind]);
  }
});

test('an error has the hint of its code unless it brings a better one', () => {
  for (const code of codes) {
    const entry: CatalogueEntry = catalogue[code];
    assert.equal(new PgrecallError(code, 'something').hint, entry.hint);
    assert.equal(new PgrecallError(code, 'something', { hint: 'do this' }).hint, 'do this');
  }
});

test('errors are told apart by code, and from those of the system', () => {
  const error = new PgrecallError('locked', 'busy');
  assert.ok(hasCode(error, 'usage', 'locked'));
  assert.ok(!hasCode(error, 'usage'));
  assert.ok(!hasCode(new Error('locked'), 'locked'));
  assert.ok(isErrno(Object.assign(new Error('no'), { code: 'ENOENT' }), 'EACCES', 'ENOENT'));
  assert.ok(!isErrno(new Error('ENOENT'), 'ENOENT'));
});

test('a broken invariant says that it is a bug', () => {
  assert.doesNotThrow(() => assertInvariant(1, 'fine'));
  assert.throws(
    () => assertInvariant(undefined, 'a pack without a name'),
    (error) => hasCode(error, 'bug'),
  );
});
