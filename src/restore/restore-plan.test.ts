import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { WalRange } from '../archive/wal-catalogue.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { parseLsn } from '../postgres/lsn.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import { timeline, type Timeline } from '../postgres/timeline.ts';
import { backupRecord } from '../../test/support/test-repository.ts';
import {
  backupIsOnPath,
  chooseTimeline,
  pathTo,
  replayableUntil,
  runsOf,
  timelineAt,
  unreachable,
} from './restore-plan.ts';
import { parseTarget } from './target.ts';

/*
 * Segments of 16 MiB. Timeline 2 leaves 1 at 0/5000100; 3 leaves 2 at 0/7000200; 4 leaves 1 at 0/3000100 and is the
 * branch of another recovery. Timeline 5 leaves 3 within the segment in which 3 began.
 */

const segmentBytes = 16_777_216;
const parents = (...entries: readonly [number, string][]): TimelineHistory['parents'] =>
  entries.map(([parent, switchLsn]) => ({ timeline: timeline(parent), switchLsn: parseLsn(switchLsn), reason: '' }));
const histories = new Map<Timeline, TimelineHistory>(
  (
    [
      [2, parents([1, '0/5000100'])],
      [3, parents([1, '0/5000100'], [2, '0/7000200'])],
      [4, parents([1, '0/3000100'])],
      [5, parents([1, '0/5000100'], [2, '0/7000200'], [3, '0/7000900'])],
    ] as const
  ).map(([of, entries]) => [timeline(of), { timeline: timeline(of), parents: entries }]),
);

function range(of: number, startLsn: string, endLsn: string, lastCommitTime?: bigint): WalRange {
  const end = parseLsn(endLsn);
  return {
    timeline: timeline(of),
    startLsn: parseLsn(startLsn),
    endLsn: end,
    wholeEndLsn: end,
    firstCommitTime: lastCommitTime,
    lastCommitTime,
  };
}

const path = (to: number): ReturnType<typeof pathTo> => pathTo(timeline(to), histories);
const reachOf = (to: number, ranges: readonly WalRange[], from = '0/2000028', on = 1): string => {
  const start = { timeline: timeline(on), lsn: parseLsn(from), consistentLsn: parseLsn(from) };
  const { lsn, complete, atBarrier } = replayableUntil(path(to), ranges, start);
  if (atBarrier) return `${lsn.toString(16)}, at a barrier`;
  return `${lsn.toString(16)}${complete ? '' : ', and more behind a gap'}`;
};

describe('the way to a timeline', () => {
  it('goes through its ancestors, each to where it was left', () => {
    assert.deepEqual(
      path(3).map(({ timeline: of, startLsn, endLsn }) => [of, startLsn, endLsn]),
      [
        [1, 0n, 0x5000100n],
        [2, 0x5000100n, 0x7000200n],
        [3, 0x7000200n, undefined],
      ],
    );
    assert.deepEqual(path(1), [{ timeline: 1, startLsn: 0n, endLsn: undefined }]);
  });

  it('is not known for a timeline without a history', () => {
    assert.throws(
      () => path(9),
      (error) => hasCode(error, 'target-unreachable') && /timeline 9/.test(error.message),
    );
  });

  it('holds a backup that ended before its timeline was left', () => {
    const ended = (endLsn: string, of = 1): boolean => {
      return backupIsOnPath(backupRecord('b', { timeline: of, endLsn }), path(3));
    };
    assert.equal(ended('0/5000100'), true);
    assert.equal(ended('0/5000108'), false);
    assert.equal(ended('0/5000108', 2), true);
    assert.equal(ended('0/2000100', 4), false);
  });

  it('tells on which timeline a record lies', () => {
    const at = (lsn: string): Timeline => timelineAt(path(3), parseLsn(lsn));
    assert.deepEqual([at('0/50000F8'), at('0/5000100'), at('0/7000200')], [1, 2, 3]);
  });
});

describe('the timeline that is meant', () => {
  const backups = [backupRecord('a', { timeline: 1, endLsn: '0/2000100' })];
  const choose = (options: Parameters<typeof parseTarget>[0], known = histories): Timeline =>
    chooseTimeline(parseTarget(options), backups, known, []);

  it('is the newest that comes from one of the backups', () => {
    assert.equal(choose({}), 5);
    assert.equal(choose({}, new Map()), 1);
  });

  it('is that of the backup where the current one is asked for, or the one that is named', () => {
    assert.equal(choose({ targetTimeline: 'current' }), 1);
    assert.equal(choose({ targetTimeline: '3' }), 3);
  });

  it('is not one that had been left before the backup was done', () => {
    const later = [backupRecord('a', { timeline: 1, endLsn: '0/4000100' })];
    const onlyFour = new Map([...histories].filter(([of]) => of === 4));
    assert.equal(chooseTimeline(parseTarget({}), later, onlyFour, []), 1);
  });
});

describe('how far WAL can be replayed', () => {
  it('is to the end of the range that the backup starts in', () => {
    assert.equal(reachOf(1, [range(1, '0/1000000', '0/6000000')]), '6000000');
    assert.equal(reachOf(1, [range(1, '0/2000000', '0/6000080')]), '6000080');
  });

  it('is nowhere where the first segment is missing', () => {
    assert.equal(reachOf(1, []), '2000028');
    assert.equal(reachOf(1, [range(1, '0/3000000', '0/6000000')]), '2000028, and more behind a gap');
  });

  it('ends at a gap', () => {
    const ranges = [range(1, '0/2000000', '0/4000000'), range(1, '0/5000000', '0/8000000')];
    assert.equal(reachOf(1, ranges), '4000000, and more behind a gap');
  });

  it('goes over to the next timeline in the segment of the switch', () => {
    const ranges = [range(1, '0/2000000', '0/6000000'), range(2, '0/5000000', '0/7000000')];
    assert.equal(reachOf(2, ranges), '7000000');
    // The old timeline's last segment was never archived whole: the new one's begins with a copy of it.
    assert.equal(reachOf(2, [range(1, '0/2000000', '0/5000000'), range(2, '0/5000000', '0/7000000')]), '7000000');
  });

  it('does not get over to a timeline whose first segment is missing', () => {
    assert.equal(reachOf(2, [range(1, '0/2000000', '0/6000000')]), '5000100');
    const late = [range(1, '0/2000000', '0/6000000'), range(2, '0/6000000', '0/7000000')];
    assert.equal(reachOf(2, late), '5000100, and more behind a gap');
    const early = [range(1, '0/2000000', '0/4000000'), range(2, '0/5000000', '0/7000000')];
    assert.equal(reachOf(2, early), '4000000, and more behind a gap');
  });

  it('passes over a timeline that was left within its first segment', () => {
    const ranges = [
      range(1, '0/2000000', '0/6000000'),
      range(2, '0/5000000', '0/7000000'),
      range(5, '0/7000000', '0/9000000'),
    ];
    assert.equal(reachOf(5, ranges), '9000000');
  });

  it('begins on the timeline of the backup', () => {
    assert.equal(reachOf(3, [range(3, '0/7000000', '0/9000000')], '0/7000300', 3), '9000000');
  });

  it('tells the time of the last commit on the way', () => {
    const ranges = [range(1, '0/2000000', '0/6000000', 10n), range(2, '0/5000000', '0/7000000', 20n)];
    const from = { timeline: timeline(1), lsn: parseLsn('0/2000028'), consistentLsn: parseLsn('0/2000100') };
    assert.equal(replayableUntil(path(2), ranges, from).time, 20n);
    assert.equal(replayableUntil(path(1), ranges, from).time, 10n);
  });

  it('ends at the first barrier behind the backup, also in what a timeline has copied of its parent', () => {
    const barred = (made: WalRange, ...at: readonly string[]): WalRange => ({
      ...made,
      barriers: at.map((text) => ({ lsn: parseLsn(text), lastCommitTime: 5n })),
    });
    const own = barred(range(1, '0/2000000', '0/6000000', 10n), '0/2000020', '0/3000100', '0/4000000');
    assert.equal(reachOf(1, [own]), '3000100, at a barrier');
    assert.equal(reachOf(1, [own], '0/3000108'), '4000000, at a barrier');
    assert.equal(reachOf(1, [own], '0/4000008'), '6000000');
    const start = { timeline: timeline(1), lsn: parseLsn('0/2000028'), consistentLsn: parseLsn('0/3000108') };
    assert.deepEqual(replayableUntil(path(1), [own], start), {
      lsn: parseLsn('0/4000000'),
      time: 5n,
      complete: false,
      atBarrier: true,
    });
    // left at 0/5000100, so that what lies behind that is of no account
    const parent = range(1, '0/2000000', '0/5000000');
    const child = (at: string): WalRange => barred(range(2, '0/5000000', '0/7000000'), at);
    assert.equal(reachOf(2, [parent, child('0/5000080')]), '5000080, at a barrier');
    assert.equal(reachOf(2, [parent, child('0/6000000')]), '6000000, at a barrier');
    const longer = barred(range(1, '0/2000000', '0/6000000'), '0/5000200');
    assert.equal(reachOf(2, [longer, range(2, '0/5000000', '0/7000000')]), '7000000');
  });
});

describe('the segments to look into', () => {
  const runs = (to: number, from: string, on: number, until: string): unknown => {
    const start = { timeline: timeline(on), lsn: parseLsn(from) };
    return runsOf(path(to), start, parseLsn(until), segmentBytes).map((run) => [run.timeline, run.first, run.last]);
  };

  it('are those of the timeline, from the one to the other', () => {
    assert.deepEqual(runs(1, '0/2000028', 1, '0/4000000'), [[1, 2n, 3n]]);
    assert.deepEqual(runs(1, '0/2000028', 1, '0/4000008'), [[1, 2n, 4n]]);
  });

  it('are read under the new name where a timeline was left', () => {
    assert.deepEqual(runs(3, '0/2000028', 1, '0/8000000'), [
      [1, 2n, 4n],
      [2, 5n, 6n],
      [3, 7n, 7n],
    ]);
    assert.deepEqual(runs(3, '0/2000028', 1, '0/5000100'), [[1, 2n, 5n]]);
  });

  it('leave a timeline out that has none of its own', () => {
    assert.deepEqual(runs(5, '0/6000028', 2, '0/8000000'), [
      [2, 6n, 6n],
      [5, 7n, 7n],
    ]);
  });
});

describe('a target that cannot be reached', () => {
  it('is told with what can be', () => {
    const error = unreachable(parseTarget({ targetXid: '5' }), 'no such transaction', {
      from: 'noon',
      to: 'night',
      suggestions: ['look at the clock'],
    });
    assert.equal(error.exitStatus, 4);
    assert.match(error.message, /^just after transaction 5 cannot be reached: no such transaction$/);
    assert.equal(error.hint, 'what can be reached: from noon to night; look at the clock');
    assert.deepEqual(error.details, {
      target: 'just after transaction 5',
      from: 'noon',
      to: 'night',
      suggestions: ['look at the clock'],
    });
  });
});
