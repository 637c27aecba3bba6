import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { madeUpIndex, mebibyte, segmentAt } from '../../test/support/test-archive.ts';
import { BoundedReader } from '../bytes/bounded-reader.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { columnsOf } from '../wal/commit-columns.ts';
import type { Commit, SegmentIndex } from '../wal/segment-index.ts';
import type { WalEvent } from '../wal/wal-event.ts';
import { decodeSummary, encodeSummary, summarize, type SegmentSummary } from './segment-summary.ts';

function encode(...summaries: readonly SegmentSummary[]): Buffer {
  const writer = new ByteWriter();
  for (const summary of summaries) encodeSummary(summary, writer);
  return writer.finish();
}

function decode(bytes: Uint8Array): SegmentSummary {
  const reader = new BoundedReader(bytes, 'summary');
  const summary = decodeSummary(reader);
  reader.end();
  return summary;
}

const time = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

const anySummary: fc.Arbitrary<SegmentSummary> = fc
  .record(
    {
      commits: fc.option(fc.tuple(time, time), { nil: undefined }),
      latestEndTime: fc.option(time, { nil: undefined }),
      usedBytes: fc.integer({ min: 0, max: 1_073_741_824 }),
      ending: fc.constantFrom('full', 'switch', 'end-of-wal'),
      readable: fc.boolean(),
      tailMayTell: fc.boolean(),
      mayMakeTablespace: fc.boolean(),
      restorePoints: fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }), { maxLength: 4 }),
      barriers: fc.array(
        fc.record(
          { atBytes: fc.nat(1_073_741_824), lastCommitTime: fc.option(time, { nil: undefined }) },
          { noNullPrototype: true },
        ),
        { maxLength: 3 },
      ),
    },
    { noNullPrototype: true },
  )
  .map(({ commits, ...rest }) => ({ firstCommitTime: commits?.[0], lastCommitTime: commits?.[1], ...rest }));

describe('what a catalogue knows of a segment', () => {
  it('is read as it was written, one after the other', () => {
    fc.assert(
      fc.property(fc.array(anySummary, { maxLength: 5 }), (summaries) => {
        const reader = new BoundedReader(encode(...summaries), 'summaries');
        assert.deepEqual(
          summaries.map(() => decodeSummary(reader)),
          summaries,
        );
        reader.end();
      }),
    );
  });

  it('is refused where it is cut', () => {
    fc.assert(
      fc.property(anySummary, (summary) => {
        const bytes = encode(summary);
        for (let length = 0; length < bytes.length; length += 1) {
          assert.throws(() => decode(bytes.subarray(0, length)), { code: 'decode' });
        }
      }),
    );
  });

  it('is refused or makes sense, whichever bit is flipped', () => {
    fc.assert(
      fc.property(anySummary, (summary) => {
        const bytes = encode(summary);
        for (let bit = 0; bit < bytes.length * 8; bit += 1) {
          const flipped = Uint8Array.from(bytes);
          flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          try {
            assert.deepEqual(decode(encode(decode(flipped))), decode(flipped));
          } catch (error) {
            assert.equal((error as { code?: string }).code, 'decode');
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  it('has no bits and no format that nobody has given a meaning', () => {
    const [, head = 0, ...rest] = encode(decode(Buffer.from([1, 0, 0, 0])));
    for (const bad of [
      [2, head],
      [0, head],
      [1, head | 128],
      [1, head | 3],
    ]) {
      assert.throws(() => decode(Buffer.from([...bad, ...rest])), { code: 'decode' });
    }
  });
});

describe('the summary of an index', () => {
  const withEnds = (...ends: readonly (readonly [Commit['kind'], bigint])[]): SegmentIndex => {
    const made = madeUpIndex(segmentAt(5), mebibyte, { restorePoints: ['a', 'b'] });
    const commits = ends.map(([kind, at], i): Commit => ({
      xid: 700 + i,
      kind,
      time: at,
      lsn: (made.startLsn + BigInt(i * 40)) as Commit['lsn'],
      endLsn: (made.startLsn + BigInt(i * 40 + 40)) as Commit['endLsn'],
    }));
    return { ...made, commits, commitColumns: columnsOf(commits, made.startLsn) };
  };

  it('has the times of the commits that come first and last, and the latest of all ends', () => {
    const summary = summarize(
      withEnds(['abort', 50n], ['commit', 30n], ['abort-prepared', 99n], ['commit-prepared', 20n], ['abort', 10n]),
    );
    assert.deepEqual([summary.firstCommitTime, summary.lastCommitTime, summary.latestEndTime], [30n, 20n, 99n]);
    assert.deepEqual(summary.restorePoints, ['a', 'b']);
  });

  it('has no commit times where transactions only failed', () => {
    const summary = summarize(withEnds(['abort', 50n]));
    assert.deepEqual(
      [summary.firstCommitTime, summary.lastCommitTime, summary.latestEndTime],
      [undefined, undefined, 50n],
    );
  });

  const made = withEnds();
  const tailOf = (manager: number | undefined): SegmentIndex => {
    const bytes = new Uint8Array(manager === undefined ? 17 : 18);
    if (manager !== undefined) bytes[17] = manager;
    return { ...made, tail: { lsn: made.startLsn, bytes } };
  };

  it('says whether the record that goes on in the next segment may be a commit', () => {
    const tells = [made, tailOf(0), tailOf(1), tailOf(10), tailOf(undefined)].map(
      (index) => summarize(index).tailMayTell,
    );
    assert.deepEqual(tells, [false, true, true, false, true]);
  });

  it('says where wal_level became minimal, and which commit came before', () => {
    const commits = withEnds(['commit', 30n], ['abort', 40n], ['commit', 50n]);
    const at = (offset: number): SegmentIndex['startLsn'] => (commits.startLsn + BigInt(offset)) as Commit['lsn'];
    const events: readonly WalEvent[] = [
      { kind: 'parameter-change', lsn: at(16), walLevel: 'replica' },
      { kind: 'checkpoint-redo', lsn: at(24), walLevel: 'minimal' },
      { kind: 'parameter-change', lsn: at(80), walLevel: 'minimal' },
    ];
    assert.deepEqual(summarize({ ...commits, events }).barriers, [{ atBytes: 80, lastCommitTime: 30n }]);
    assert.deepEqual(summarize({ ...made, events }).barriers, [{ atBytes: 80, lastCommitTime: undefined }]);
    const crossing = (info: number, level: number, lengthBytes: number): unknown => {
      const bytes = new Uint8Array(52);
      bytes.set([info, 0], 16);
      bytes[46] = level;
      const tail = { lsn: at(200), bytes: bytes.subarray(0, lengthBytes) };
      return summarize({ ...commits, tail }).barriers.map(({ atBytes }) => atBytes);
    };
    assert.deepEqual(crossing(0x60, 0, 48), [200]);
    assert.deepEqual(crossing(0x60, 1, 48), []);
    assert.deepEqual(crossing(0x60, 1, 40), [200], 'the level lies in the next segment');
    assert.deepEqual(crossing(0x20, 0, 48), []);
  });

  it('rules out that a tablespace is made only where that is certain', () => {
    const { startLsn: at } = made;
    const events: readonly WalEvent[] = [{ kind: 'tablespace-create', lsn: at, spcOid: 16_400, path: '/fast' }];
    const dropped: readonly WalEvent[] = [{ kind: 'tablespace-drop', lsn: at, spcOid: 16_400 }];
    const may = [
      made,
      { ...made, events: dropped },
      tailOf(1),
      { ...made, events },
      tailOf(5),
      tailOf(undefined),
      { ...made, problem: 'a version that nobody knows' },
    ].map((index) => summarize(index).mayMakeTablespace);
    assert.deepEqual(may, [false, false, false, true, true, true, true]);
  });
});
