import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  nextStep,
  planRecovery,
  stepNames,
  stepsOf,
  wayToTarget,
  withoutFrom,
  type RecoverFacts,
} from './recover-plan.ts';

const facts: RecoverFacts = {
  directory: '/data',
  keptAt: '/data.pgrecall-recovery',
  tablespaces: ['/fast'],
  wasRunning: true,
  startedBy: 'systemctl stop postgresql@15-main.service',
  backup: '20261123T083834Z-full',
  target: 'just after 2026-11-23 09:06:00+00',
  delta: false,
  toTheEnd: false,
  assertions: 2,
  unarchived: ['000000010000000000000003 (2 transactions)'],
};

describe('the plan of a recovery in place', () => {
  it('says of every step what it does and what undoes it, in their order', () => {
    for (const delta of [false, true]) {
      const steps = planRecovery({ ...facts, delta });
      assert.deepEqual(
        steps.map(({ name }) => name),
        stepsOf({ delta }),
      );
      for (const { does, undoneBy } of steps) assert.ok(does !== '' && undoneBy !== '');
    }
    const text = JSON.stringify(planRecovery(facts));
    for (const part of ['/fast', 'postgresql@15-main', '2 assertions', '2 transactions', 'it pauses there']) {
      assert.ok(text.includes(part), part);
    }
    assert.match(JSON.stringify(planRecovery({ ...facts, toTheEnd: true })), /it opens there by itself/);
  });

  it('goes from each step to the next, and back to one for another target', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.nat(stepNames.length), fc.constantFrom(...stepNames), (delta, count, from) => {
        const steps = stepsOf({ delta });
        const done = steps.slice(0, count);
        assert.equal(nextStep({ delta, done }), steps[count]);
        const left = withoutFrom(done, from);
        assert.ok(!left.includes(from) && left.every((name) => done.includes(name)));
        const next = nextStep({ delta, done: left });
        if (steps.includes(from) && done.includes(from)) assert.equal(next, from);
      }),
    );
  });
});

describe('the way to another target', () => {
  it('leads on from where the server is only to what lies ahead on the same timeline', () => {
    const at = { sameTimeline: true, isConsistentOnly: false, replayedLsn: 100n };
    assert.equal(wayToTarget({ ...at, stopLsn: 100n }), 'go-on');
    assert.equal(wayToTarget({ ...at, stopLsn: 101n }), 'go-on');
    assert.equal(wayToTarget({ ...at, stopLsn: undefined }), 'go-on');
    assert.equal(wayToTarget({ ...at, stopLsn: 99n }), 'restore');
    assert.equal(wayToTarget({ ...at, stopLsn: 101n, sameTimeline: false }), 'restore');
    assert.equal(wayToTarget({ ...at, stopLsn: 101n, replayedLsn: undefined }), 'restore');
    assert.equal(wayToTarget({ ...at, stopLsn: undefined, isConsistentOnly: true }), 'restore');
  });
});
