import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandLines, shellWord, table, wrap } from './text-layout.ts';

test('text is broken between words, and a word longer than a line stays whole', () => {
  assert.deepEqual(wrap('the server stops  and waits', 10), ['the server', 'stops and', 'waits']);
  assert.deepEqual(wrap('pg_wal_replay_resume ends it', 10), ['pg_wal_replay_resume', 'ends it']);
  assert.deepEqual(wrap('', 10), []);
});

test('a long command goes on in further lines, each option with its value', () => {
  const words = [
    'pgrecall',
    'restore',
    'shop',
    '--to',
    'restored',
    '--target-time',
    '2026-11-25 09:31:05+00',
    '--start',
  ];
  assert.deepEqual(commandLines(words, 50), [
    'pgrecall restore shop --to restored \\',
    "    --target-time '2026-11-25 09:31:05+00' \\",
    '    --start',
  ]);
  assert.deepEqual(commandLines(words, 100), [
    "pgrecall restore shop --to restored --target-time '2026-11-25 09:31:05+00' --start",
  ]);
});

test('words are quoted where the shell would read something else', () => {
  assert.equal(shellWord('/tmp/data'), '/tmp/data');
  assert.equal(shellWord('host=/tmp user=postgres'), "'host=/tmp user=postgres'");
  assert.equal(shellWord("it's"), `'it'\\''s'`);
  assert.equal(shellWord(''), "''");
});

test('a table has a rule under its heading, and no blanks at the end of a line', () => {
  assert.deepEqual(
    table([
      ['what', 'found'],
      ['actors', '225'],
    ]),
    ['what     found', '------   -----', 'actors   225'],
  );
});
