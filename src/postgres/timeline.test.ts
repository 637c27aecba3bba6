import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatTimeline, isTimeline, timeline } from './timeline.ts';

describe('a timeline', () => {
  it('is written as in the names of WAL files', () => {
    assert.equal(formatTimeline(timeline(1)), '00000001');
    assert.equal(formatTimeline(timeline(0xab)), '000000AB');
    assert.equal(formatTimeline(timeline(0xffff_ffff)), 'FFFFFFFF');
  });

  it('is a whole number from 1 to 2^32 - 1', () => {
    for (const value of [0, -1, 1.5, 0x1_0000_0000, Number.NaN, Infinity]) {
      assert.equal(isTimeline(value), false);
      assert.throws(() => timeline(value), { code: 'usage' });
    }
    assert.ok(isTimeline(1));
    assert.ok(isTimeline(0xffff_ffff));
  });
});
