import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { reportError } from './report-error.ts';

test('an error of ours is a fact, its causes and a hint, without a stack', () => {
  const cause = new Error('connect ECONNREFUSED', { cause: new Error('the network is down') });
  const report = reportError(
    new PgrecallError('connection', 'cannot connect to u@h:5432/d', {
      hint: 'is it up?',
      details: { host: 'h' },
      cause,
    }),
  );
  assert.equal(
    report.text,
    [
      'error[connection]: cannot connect to u@h:5432/d',
      '  because: connect ECONNREFUSED',
      '  because: the network is down',
      '  hint: is it up?',
    ].join('\n'),
  );
  assert.deepEqual(report.json, {
    error: { code: 'connection', message: 'cannot connect to u@h:5432/d', hint: 'is it up?', details: { host: 'h' } },
  });
  assert.equal(report.exitStatus, 1);
});

test('a cause that the message repeats is said once', () => {
  const report = reportError(new PgrecallError('storage', 'cannot read: EIO', { cause: new Error('EIO') }));
  assert.equal(report.text, 'error[storage]: cannot read: EIO');
});

test('exit statuses follow the contract', () => {
  for (const [code, status] of [
    ['usage', 2],
    ['config-unknown-key', 2],
    ['object-damaged', 3],
    ['wal-gap', 3],
    ['target-unreachable', 4],
    ['locked', 5],
    ['disk-full', 1],
  ] as const) {
    assert.equal(reportError(new PgrecallError(code, 'x')).exitStatus, status, code);
  }
});

test('the system’s errors say enough themselves', () => {
  const system = (code: string): Error =>
    Object.assign(new Error(`${code}: nope, open '/x'`), { code, syscall: 'open' });
  assert.match(reportError(system('EIO')).text, /^error\[io\]: EIO: nope, open '\/x'$/);
  assert.match(reportError(system('EACCES')).text, /hint: pgrecall runs as /);
  assert.match(reportError(system('ENOSPC')).text, /^error\[disk-full\]/);
});

test('what the server refuses is said in its words, by what it means', () => {
  const refused = (code: string): unknown =>
    Object.assign(new Error('permission denied for function pg_switch_wal'), { severity: 'ERROR', code });
  const rights = reportError(refused('42501'));
  assert.match(rights.text, /^error\[server-rights\]: .*permission denied for function pg_switch_wal/);
  assert.equal((rights.json as { error: { details: object } }).error.details['sqlState' as never], '42501');
  assert.match(reportError(refused('57P01')).text, /^error\[connection\]/);
  assert.match(reportError(refused('22012')).text, /^error\[server-refused\]/);
});

test('an interruption is none of our faults', () => {
  const controller = new AbortController();
  controller.abort(new PgrecallError('cancelled', 'interrupted by SIGTERM'));
  assert.match(reportError(controller.signal.reason).text, /interrupted by SIGTERM/);
  const wrapped = Object.assign(new Error('The operation was aborted', { cause: controller.signal.reason }), {
    name: 'AbortError',
  });
  assert.match(reportError(wrapped).text, /^error\[cancelled\]: interrupted by SIGTERM$/);
  const bare = Object.assign(new Error('aborted'), { name: 'AbortError' });
  assert.match(reportError(bare).text, /^error\[cancelled\]/);
});

test('a bug shows where it happened, and asks to be reported', () => {
  const report = reportError(new TypeError('x is not a function'));
  assert.match(
    report.text,
    /^error\[bug\]: x is not a function\n {2}hint: this is a bug in pgrecall.*\nTypeError.*report-error/s,
  );
  assert.match(reportError(new PgrecallError('bug', 'a pack without a name')).text, /report-error\.test/);
  assert.match(reportError('just text').text, /^error\[bug\]: just text/);
  assert.equal(report.exitStatus, 1);
});
