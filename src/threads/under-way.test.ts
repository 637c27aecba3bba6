import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import { UnderWay } from './under-way.ts';

function deferred(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  return Promise.withResolvers<void>();
}

test('a producer waits until fewer than its limit are under way', async () => {
  const underWay = new UnderWay();
  const operations = [deferred(), deferred(), deferred()];
  for (const { promise } of operations) underWay.start(promise);
  assert.equal(underWay.size, 3);
  let waited = false;
  const waiting = underWay.fewerThan(3).then(() => (waited = true));
  await turn();
  assert.equal(waited, false);
  operations[1]?.resolve();
  await waiting;
  assert.equal(underWay.size, 2);
  for (const { resolve } of operations) resolve();
  await underWay.allDone();
  assert.equal(underWay.size, 0);
});

test('a failure that nobody waited for fails the next wait, and is never unhandled', async () => {
  const underWay = new UnderWay();
  const operation = deferred();
  underWay.start(operation.promise);
  operation.reject(new Error('the disk is full'));
  await turn();
  await assert.rejects(underWay.fewerThan(1), /the disk is full/);
  await assert.rejects(underWay.allDone(), /the disk is full/);
});
