import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { lsn, parseLsn } from '../postgres/lsn.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import { timeline } from '../postgres/timeline.ts';
import { chooseRoad, findParting, type RoadFacts } from './rejoin-plan.ts';

function history(of: number, ...parents: readonly [number, string][]): TimelineHistory {
  return {
    timeline: timeline(of),
    parents: parents.map(([parent, at]) => ({ timeline: timeline(parent), switchLsn: parseLsn(at), reason: '' })),
  };
}

describe('where two servers parted', () => {
  it('is nowhere as long as the one went no further than the other left', () => {
    assert.equal(findParting(history(1), parseLsn('0/100'), history(2, [1, '0/100'])), undefined);
    assert.equal(findParting(history(1), parseLsn('0/80'), history(3, [1, '0/100'], [2, '0/200'])), undefined);
    assert.equal(findParting(history(2, [1, '0/100']), parseLsn('0/900'), history(2, [1, '0/100'])), undefined);
  });

  it('is where the other left the timeline on which it went on', () => {
    const parting = findParting(history(1), parseLsn('0/180'), history(2, [1, '0/100']));
    assert.deepEqual(parting, { timeline: 1, lsn: parseLsn('0/100') });
    const later = findParting(history(2, [1, '0/100']), parseLsn('0/280'), history(3, [1, '0/100'], [2, '0/200']));
    assert.deepEqual(later, { timeline: 2, lsn: parseLsn('0/200') });
  });

  it('is where the first of the two left, where each went to a timeline of its own', () => {
    const parting = findParting(history(2, [1, '0/80']), parseLsn('0/300'), history(3, [1, '0/100']));
    assert.deepEqual(parting, { timeline: 1, lsn: parseLsn('0/80') });
    const other = findParting(history(3, [1, '0/100']), parseLsn('0/300'), history(2, [1, '0/80']));
    assert.deepEqual(other, { timeline: 1, lsn: parseLsn('0/80') });
  });

  it('is where it left a timeline on which the other still is', () => {
    const parting = findParting(history(2, [1, '0/80']), parseLsn('0/300'), history(1));
    assert.deepEqual(parting, { timeline: 1, lsn: parseLsn('0/80') });
  });

  it('lies before the end of both, on a timeline of both, whatever their pasts are', () => {
    const past = fc
      .array(fc.record({ step: fc.integer({ min: 1, max: 3 }), at: fc.nat(999) }), { maxLength: 4 })
      .map((steps): TimelineHistory => {
        let of = 1;
        let at = 0;
        const parents = steps.map((step) => {
          const parent = { timeline: timeline(of), switchLsn: lsn(BigInt((at += step.at))), reason: '' };
          of += step.step;
          return parent;
        });
        return { timeline: timeline(of), parents };
      });
    fc.assert(
      fc.property(past, past, fc.nat(9999), (own, theirs, end) => {
        const ownEnd = lsn(BigInt(end) + (own.parents.at(-1)?.switchLsn ?? 0n));
        const parting = findParting(own, ownEnd, theirs);
        if (!parting) return;
        const timelinesOf = ({ parents, timeline: of }: TimelineHistory): number[] => [
          ...parents.map((one) => one.timeline),
          of,
        ];
        assert.ok(timelinesOf(own).includes(parting.timeline) && timelinesOf(theirs).includes(parting.timeline));
        assert.ok(parting.lsn <= ownEnd);
        const left = theirs.parents.find((one) => one.timeline === parting.timeline)?.switchLsn;
        assert.ok(left === undefined || parting.lsn <= left);
      }),
    );
  });
});

describe('the road back', () => {
  const facts: RoadFacts = {
    parting: { timeline: timeline(1), lsn: lsn(1n) },
    unreadable: false,
    begun: false,
    wanted: undefined,
    rewindable: true,
    hasProgram: true,
    hasConfiguration: true,
  };

  it('is the cheapest that leads there', () => {
    assert.equal(chooseRoad({ ...facts, parting: undefined }).kind, 'follow');
    assert.equal(chooseRoad(facts).kind, 'rewind');
    for (const lacking of ['rewindable', 'hasProgram', 'hasConfiguration'] as const) {
      assert.equal(chooseRoad({ ...facts, [lacking]: false }).kind, 'restore', lacking);
    }
    assert.equal(chooseRoad({ ...facts, wanted: 'restore' }).kind, 'restore');
  });

  it('is not by settings alone where WAL was given up that could not be read: it may have gone further', () => {
    assert.equal(chooseRoad({ ...facts, parting: undefined, unreadable: true }).kind, 'restore');
    assert.equal(chooseRoad({ ...facts, unreadable: true }).kind, 'rewind');
  });

  it('is a restore where an earlier attempt may have left anything', () => {
    assert.equal(chooseRoad({ ...facts, parting: undefined, begun: true, wanted: 'rewind' }).kind, 'restore');
  });
});
