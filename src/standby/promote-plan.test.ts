import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lsn, parseLsn } from '../postgres/lsn.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import { timeline } from '../postgres/timeline.ts';
import type { SegmentIndex } from '../wal/segment-index.ts';
import { describeLack, findFork, isAllowed, measureLack, parseLag } from './promote-plan.ts';

/** As much of an index as is asked. */
function indexUpTo(usedEnd: string, commits: readonly [string, bigint, 'commit' | 'abort'][] = []): SegmentIndex {
  const made = commits.map(([at, time, kind]) => ({ lsn: parseLsn(at), time, kind }));
  return {
    usedEndLsn: parseLsn(usedEnd),
    endLsn: parseLsn('0/2000000'),
    ending: 'end-of-wal',
    commits: made,
  } as unknown as SegmentIndex;
}

const have = { haveLsn: parseLsn('0/1000100'), lastCommitTime: 1_000_000n };

describe('what a standby lacks', () => {
  it('is nothing where the archive goes no further', () => {
    const lack = measureLack(have, [indexUpTo('0/1000100', [['0/10000C0', 1_000_000n, 'commit']])]);
    assert.deepEqual([lack.bytes, lack.commits, lack.seconds], [0, 0, 0]);
    assert.match(describeLack(lack, have), /^nothing is lacking/);
  });

  it('is counted in bytes, commits and the time between the last ones', () => {
    const lack = measureLack(have, [
      indexUpTo('0/1000200', [
        ['0/10000C0', 1_000_000n, 'commit'],
        ['0/1000100', 2_000_000n, 'commit'],
        ['0/1000180', 9_000_000n, 'abort'],
        ['0/10001C0', 4_500_000n, 'commit'],
      ]),
    ]);
    assert.deepEqual([lack.bytes, lack.commits, lack.seconds], [0x100, 2, 3.5]);
    assert.match(
      describeLack(lack, have),
      /lacks 256 bytes up to 0\/1000200: 2 commits in it, the last at 2000-01-01 00:00:04.5/,
    );
  });

  it('ends with the segment where WAL was switched there', () => {
    const switched = { ...indexUpTo('0/1000200'), ending: 'switch' } as SegmentIndex;
    assert.equal(measureLack(have, [switched]).knownLsn, parseLsn('0/2000000'));
  });
});

describe('what may be lost', () => {
  it('is read as bytes or as a time', () => {
    assert.deepEqual(parseLag('0'), { kind: 'bytes', bytes: 0 });
    assert.deepEqual(parseLag('16MB'), { kind: 'bytes', bytes: 16_777_216 });
    assert.deepEqual(parseLag('30s'), { kind: 'seconds', seconds: 30 });
    assert.deepEqual(parseLag('5 min'), { kind: 'seconds', seconds: 300 });
    for (const text of ['', 'much', '-1', '1.5MB', '1d', '1e3'])
      assert.throws(() => parseLag(text), { code: 'usage' }, text);
  });

  it('is compared with what is lacking', () => {
    const lack = { bytes: 100, seconds: 2, commits: 1, lastKnownCommitTime: 1n, knownLsn: lsn(1n) };
    assert.deepEqual(
      ['99', '100', '1s', '2s'].map((text) => isAllowed(lack, parseLag(text))),
      [false, true, false, true],
    );
  });
});

describe('a timeline that left the standby’s', () => {
  const history = (
    of: number,
    ...parents: readonly [number, string][]
  ): [ReturnType<typeof timeline>, TimelineHistory] => [
    timeline(of),
    {
      timeline: timeline(of),
      parents: parents.map(([parent, at]) => ({ timeline: timeline(parent), switchLsn: parseLsn(at), reason: '' })),
    },
  ];

  it('is found, the newest one', () => {
    const histories = new Map([history(2, [1, '0/5']), history(3, [1, '0/7']), history(4, [2, '0/8'])]);
    assert.deepEqual(findFork(timeline(1), histories), { timeline: 3, switchLsn: parseLsn('0/7') });
    assert.equal(findFork(timeline(3), histories), undefined);
  });
});
