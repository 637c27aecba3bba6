import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countOfKim, countOfSameActors, countOfSameTables, type DatabaseState } from './database-state.ts';
import { check, proofLines, proofOf } from './proof.ts';

const before: DatabaseState = {
  actors: [
    { id: 1, first: 'Haneul', last: 'Seo', updated: '2026-11-25 09:31:05' },
    { id: 2, first: 'Bora', last: 'Kim', updated: '2026-11-25 09:31:05' },
  ],
  tables: { actor: { rows: 2, hash: 'a' }, film: { rows: 3, hash: 'b' } },
};

test('the proof holds where everything is as expected', () => {
  assert.equal(proofOf([check('actors', 225, 225), check('in recovery', false, false)]).holds, true);
});

test('one thing that is not as expected makes the proof fail, and is marked', () => {
  const proof = proofOf([check('actors', 225, 225), check('in recovery', false, true)]);
  assert.equal(proof.holds, false);
  const lines = proofLines(proof);
  assert.match(lines.at(-2) ?? '', /^actors +225 +225 +ok$/);
  assert.match(lines.at(-1) ?? '', /^in recovery +no +yes +WRONG$/);
});

test('nothing checked proves nothing', () => {
  assert.equal(proofOf([]).holds, false);
});

test('an actor counts as recovered only where every column is as noted', () => {
  const [first, second] = before.actors;
  assert.ok(first && second);
  assert.equal(countOfSameActors(before, before), 2);
  assert.equal(countOfSameActors(before, { ...before, actors: [{ ...first, last: 'Kim' }, second] }), 1);
  assert.equal(countOfSameActors(before, { ...before, actors: [first, { ...second, updated: 'later' }] }), 1);
  assert.equal(countOfSameActors(before, { ...before, actors: [first] }), 1);
  assert.equal(countOfKim(before), 1);
});

test('a table counts as recovered only where its rows have the noted hash', () => {
  assert.equal(countOfSameTables(before, before), 2);
  assert.equal(countOfSameTables(before, { actors: [], tables: { actor: { rows: 2, hash: 'other' } } }), 0);
});
