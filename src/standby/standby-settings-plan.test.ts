import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { timeline } from '../postgres/timeline.ts';
import { standbySettings, timelineToFollow } from './standby-settings-plan.ts';

describe('the timeline that a standby follows', () => {
  const primary = (on: number, inRecovery = false): { inRecovery: boolean; timeline: ReturnType<typeof timeline> } => ({
    inRecovery,
    timeline: timeline(on),
  });
  const known = (...timelines: number[]): ReturnType<typeof timeline>[] => timelines.map(timeline);

  it('is the newest, or that of a primary which is on an older one: an undone recovery has left the newer', () => {
    assert.equal(timelineToFollow(primary(1), known()), 'latest');
    assert.equal(timelineToFollow(primary(3), known(2, 3)), 'latest');
    assert.equal(timelineToFollow(primary(1), known(2)), 1);
    assert.equal(timelineToFollow(primary(2), known(2, 3)), 2);
    // PostgreSQL asks for one after the other.
    assert.equal(timelineToFollow(primary(1), known(3)), 'latest');
  });

  it('is the newest without a primary, and where a standby is followed, which may come there yet', () => {
    assert.equal(timelineToFollow(undefined, known(2)), 'latest');
    assert.equal(timelineToFollow(primary(1, true), known(2)), 'latest');
  });

  it('stands in its settings', () => {
    const wish = { upstream: undefined, restoreCommand: 'x', delayMs: undefined, port: undefined, raised: {} };
    const set = (to: 'latest' | ReturnType<typeof timeline>): string | undefined =>
      standbySettings({ ...wish, timeline: to })['recovery_target_timeline'];
    assert.deepEqual([set('latest'), set(timeline(2))], ['latest', '2']);
  });
});
