import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { checkPassedOptions, dumpArguments, optionsWithoutEffect } from './dump-arguments.ts';
import { checkRestoreOptions, isSingleTransaction } from './load-arguments.ts';

/* What stands behind --: nothing of it decides what is dumped, or where a dump comes from or goes. */

const isUsage = (error: unknown): boolean => hasCode(error, 'usage');

describe('options for pg_dump', () => {
  for (const word of ['--file=/tmp/x', '--fil=/tmp/x', '--db', '--comp=9', '-Fp', '-aW', '-ad', '--hos=elsewhere']) {
    it(`are refused where they decide what pgrecall decides: ${word}`, () => {
      assert.throws(() => checkPassedOptions([word]), isUsage);
    });
  }

  it('are taken otherwise', () => {
    checkPassedOptions([
      '--filter=list',
      '-t',
      'film',
      '-tFilm',
      '-nFrom',
      '--no-owner',
      '--no-publications',
      '-aO',
      '--',
    ]);
  });

  it('name no other database: the one that is dumped is an argument, whatever it is called', () => {
    const selection = { content: 'all', tables: [], schemas: [], options: ['other'] } as const;
    const words = dumpArguments({ format: 'plain', major: 15, database: `it's\\=` }, selection);
    assert.deepEqual(words, ['-Fp', String.raw`--dbname=dbname='it\'s\\='`, '--no-password', 'other']);
  });
});

describe('options that pg_dump leaves to pg_restore', () => {
  it('have no effect in an archive, and have one in a script', () => {
    const options = ['--no-owner', '--no-privileges', '-c', '--no-tablespaces', '-t', 'c', '--no-comments'];
    assert.deepEqual(optionsWithoutEffect('custom', options), ['--no-owner', '-c', '--no-tablespaces']);
    assert.deepEqual(optionsWithoutEffect('plain', options), []);
  });
});

describe('options for pg_restore', () => {
  const wrong = [
    ['--create'],
    ['--cre'],
    ['-C'],
    ['-eC'],
    ['-Od', 'other'],
    ['--li'],
    ['file'],
    ['-e', 'file'],
    ['--', 'file'],
  ];
  for (const words of wrong) {
    it(`are refused where they lead elsewhere: ${words.join(' ')}`, () => {
      assert.throws(() => checkRestoreOptions(words, 'custom'), isUsage);
    });
  }

  it('are taken otherwise', () => {
    const taken = [
      '--clean',
      '--if-exists',
      '-t',
      'film',
      '-cT',
      'log',
      '--table',
      'film',
      '-tCity',
      '--no-owner',
      '-e',
    ];
    checkRestoreOptions(taken, 'custom');
  });

  it('tell whether all is loaded or nothing: a table whose name has a 1 does not', () => {
    const told = [['--single-transaction'], ['-1'], ['-e1'], ['-tfilm1'], ['-n', 'a1'], ['--table=a1']];
    assert.deepEqual(told.map(isSingleTransaction), [true, true, true, false, false, false]);
  });
});
