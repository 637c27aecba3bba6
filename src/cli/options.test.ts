import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { flagOption, listOption, numberOption, requiredPositional, secondsOption, textOption } from './options.ts';

const isUsage = (error: unknown): boolean => hasCode(error, 'usage');

test('texts, flags and lists are what they were given as, or absent', () => {
  const options = { to: '/d', plan: true, tablespace: ['a=b'] };
  assert.equal(textOption(options, 'to'), '/d');
  assert.equal(textOption(options, 'plan'), undefined);
  assert.equal(flagOption(options, 'plan'), true);
  assert.equal(flagOption(options, 'to'), false);
  assert.deepEqual(listOption(options, 'tablespace'), ['a=b']);
  assert.deepEqual(listOption({}, 'tablespace'), []);
});

test('numbers are whole and large enough', () => {
  assert.equal(numberOption({ jobs: '4' }, 'jobs', 1), 4);
  assert.equal(numberOption({}, 'jobs', 1), undefined);
  for (const text of ['0', '-1', '1.5', 'four', '', ' ', '1e400', '0x']) {
    assert.throws(() => numberOption({ jobs: text }, 'jobs', 1), isUsage, text);
  }
  assert.throws(() => numberOption({ someThing: 'x' }, 'someThing', 1), /--some-thing is "x"/);
});

test('seconds become milliseconds', () => {
  assert.equal(secondsOption({ timeout: '1.5' }, 'timeout'), 1500);
  assert.equal(secondsOption({ timeout: '0' }, 'timeout'), 0);
  assert.equal(secondsOption({}, 'timeout'), undefined);
  for (const text of ['-1', '5m', '', ' ', 'Infinity']) {
    assert.throws(() => secondsOption({ timeout: text }, 'timeout'), isUsage, text);
  }
});

test('a positional argument that is needed is asked for', () => {
  assert.equal(requiredPositional({ positional: { cluster: 'main' } }, 'cluster'), 'main');
  assert.throws(() => requiredPositional({ positional: {} }, 'cluster'), isUsage);
});
