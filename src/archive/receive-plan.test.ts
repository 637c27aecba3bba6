import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import { timeline } from '../postgres/timeline.ts';
import { planStart, timelineAt, type ChainLink, type ReceiveSituation, type ReceiveStart } from './receive-plan.ts';

const segmentBytes = 0x10_0000;
/** The first byte of segment `number`, and so many bytes on. */
const at = (number: number, offset = 0): Lsn => lsn(number * segmentBytes + offset);

const chainOf = (...ends: readonly Lsn[]): ChainLink[] => [
  ...ends.map((endLsn, index) => ({ timeline: timeline(index + 1), endLsn })),
  { timeline: timeline(ends.length + 1), endLsn: undefined },
];

const plan = (situation: Partial<ReceiveSituation>): ReceiveStart =>
  planStart({
    segmentBytes,
    chain: chainOf(),
    positionLsn: at(20, 500),
    archived: [],
    begun: [],
    slotLsn: undefined,
    ...situation,
  });

const archived = (...runs: readonly (readonly [number, number])[]): ReceiveSituation['archived'] =>
  runs.map(([of, end]) => ({ timeline: timeline(of), endLsn: at(end) }));

describe('where the receiver begins', () => {
  it('begins at the segment that the server is in, when there is neither archive nor slot', () => {
    assert.deepEqual(plan({}), { timeline: 1, startLsn: at(20), after: 'position', unrelated: false });
  });

  it('begins at the segment from which a new slot keeps WAL', () => {
    assert.deepEqual(plan({ slotLsn: at(18, 77) }), {
      timeline: 1,
      startLsn: at(18),
      after: 'slot',
      unrelated: false,
    });
  });

  it('goes on after the last archived segment, though the slot has moved on', () => {
    const start = plan({ archived: archived([1, 9]), slotLsn: at(12) });
    assert.deepEqual(start, { timeline: 1, startLsn: at(9), after: 'archive', unrelated: false });
  });

  it('fills a gap that the slot still covers, though more is archived behind it', () => {
    const start = plan({ archived: archived([1, 5], [1, 10], [1, 15]), slotLsn: at(9, 1) });
    assert.deepEqual([start.startLsn, start.after], [at(10), 'archive']);
  });

  it('goes on with the segment begun on this host when nothing is archived yet', () => {
    const start = plan({ begun: [{ timeline: timeline(1), startLsn: at(16) }], slotLsn: at(16, 300) });
    assert.deepEqual([start.startLsn, start.after], [at(16), 'begun']);
  });

  it('trusts the archive more than a segment begun behind its end', () => {
    const start = plan({ archived: archived([1, 14]), begun: [{ timeline: timeline(1), startLsn: at(16) }] });
    assert.deepEqual([start.startLsn, start.after], [at(14), 'archive']);
  });

  it('receives the rest of the old timeline after a promotion', () => {
    const start = plan({ chain: chainOf(at(12, 800)), archived: archived([1, 10]) });
    assert.deepEqual([start.timeline, start.startLsn], [1, at(10)]);
  });

  it('goes on with the new timeline where it has begun', () => {
    const start = plan({ chain: chainOf(at(12, 800)), archived: archived([1, 12], [2, 14]) });
    assert.deepEqual([start.timeline, start.startLsn], [2, at(14)]);
  });

  it('follows the branch where the archive has more of the old timeline than the promoted standby had', () => {
    const start = plan({ chain: chainOf(at(12, 800)), archived: archived([1, 15]) });
    assert.deepEqual(start, { timeline: 2, startLsn: at(12), after: 'branch', unrelated: false });
  });

  it('receives the segment of the switch from the new timeline when the old one has it whole', () => {
    const start = plan({ chain: chainOf(at(12, 800)), archived: archived([1, 13]) });
    assert.deepEqual([start.timeline, start.startLsn], [2, at(12)]);
  });

  it('asks the old timeline when it ended exactly at the end of the archive', () => {
    const start = plan({ chain: chainOf(at(12)), archived: archived([1, 12]) });
    assert.deepEqual([start.timeline, start.startLsn], [1, at(12)]);
  });

  it('says when the archive has none of the server’s past', () => {
    const start = plan({ archived: archived([7, 30]), slotLsn: at(11) });
    assert.deepEqual(start, { timeline: 1, startLsn: at(11), after: 'slot', unrelated: true });
  });

  it('begins on the timeline that the slot’s position lies on', () => {
    const start = plan({ chain: chainOf(at(5), at(12, 800)), slotLsn: at(11, 9) });
    assert.deepEqual([start.timeline, start.startLsn], [2, at(11)]);
  });

  it('always begins at the first byte of a segment', () => {
    for (const slotLsn of [at(3), at(3, 1), at(4, -1)]) assert.equal(plan({ slotLsn }).startLsn, at(3));
  });
});

describe('the timeline of a position', () => {
  it('is the new one from the switch on', () => {
    const chain = chainOf(at(5), at(12, 800));
    const found = [at(0), at(5, -1), at(5), at(12, 799), at(12, 800), at(99)].map((position) =>
      timelineAt(chain, position),
    );
    assert.deepEqual(found, [1, 1, 2, 2, 3, 3]);
  });
});
