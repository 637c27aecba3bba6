import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { madeUpIndex, mebibyte, segmentAt, type MadeUp } from '../../test/support/test-archive.ts';
import { decodeGroup, encodeGroup, runsOf, spanOfLog, type LogRun, type LogSpan } from './log-span.ts';
import { summarize, type SegmentSummary } from './segment-summary.ts';

const summary = (made: MadeUp = {}): SegmentSummary => summarize(madeUpIndex(segmentAt(5), mebibyte, made));

const run = (place: number, segments: number, changes: Partial<LogRun> = {}): LogRun => ({
  place,
  segments,
  usedBytes: undefined,
  firstCommitTime: undefined,
  lastCommitTime: undefined,
  ...changes,
});

const perLog = 16;
const time = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

const times = fc
  .option(fc.tuple(time, time), { nil: undefined })
  .map((both) => ({ firstCommitTime: both?.[0], lastCommitTime: both?.[1] }));

const barriers = fc
  .array(
    fc.record(
      { place: fc.nat(perLog - 1), atBytes: fc.nat(mebibyte), lastCommitTime: fc.option(time, { nil: undefined }) },
      { noNullPrototype: true },
    ),
    { maxLength: 3 },
  )
  .map((some) => (some.length === 0 ? {} : { barriers: some }));

const anyRun: fc.Arbitrary<LogRun> = fc
  .tuple(fc.nat(perLog - 1), fc.nat(perLog), fc.option(fc.nat(mebibyte), { nil: undefined }), times, barriers)
  .map(([place, segments, usedBytes, both, barred]) => ({
    place,
    segments: Math.min(segments, perLog - place),
    usedBytes,
    ...both,
    ...barred,
  }));

const anySpan: fc.Arbitrary<LogSpan | undefined> = fc.oneof(
  fc.constant(undefined),
  times.map((both) => ({ contents: undefined, runs: [run(0, perLog, both)] })),
  fc.array(anyRun, { maxLength: 5 }).map((runs) => ({ contents: undefined, runs })),
  fc
    .tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.array(anyRun, { maxLength: 5 }))
    .map(([bytes, runs]) => ({ contents: Buffer.from(bytes).toString('hex'), runs })),
);

const anyGroup = fc.array(anySpan, { minLength: 256, maxLength: 256 });

describe('what a catalogue knows of a log', () => {
  it('is the first and the last commit of all its segments', () => {
    const summaries = [{}, { commits: [3n, 5n] }, {}, { commits: [4n, 9n] }, {}] as const;
    assert.deepEqual(spanOfLog(summaries.map(summary)), {
      contents: undefined,
      runs: [run(0, 5, { firstCommitTime: 3n, lastCommitTime: 9n })],
    });
    assert.deepEqual(spanOfLog([summary(), summary()]).runs, [run(0, 2)]);
  });

  it('is where replay breaks off in it, and goes on behind that', () => {
    const early = { ending: 'end-of-wal', usedBytes: 8192 } as const;
    assert.deepEqual(spanOfLog([{}, early, {}].map(summary)).runs, [run(0, 2, { usedBytes: 8192 }), run(2, 1)]);
    assert.deepEqual(spanOfLog([{}, early].map(summary)).runs, [run(0, 2, { usedBytes: 8192 })]);
    const unreadable = { ...early, problem: 'of a newer version' };
    assert.deepEqual(spanOfLog([summary({ ending: 'switch' }), summary(unreadable)]).runs, [run(0, 2)]);
  });

  it('is where its barriers are, each with the last commit before it', () => {
    const barrier = { atBytes: 64, lastCommitTime: undefined };
    const barred = { ...summary(), barriers: [barrier, { atBytes: 128, lastCommitTime: 8n }] };
    assert.deepEqual(spanOfLog([summary({ commits: [3n, 5n] }), barred]).runs, [
      run(0, 2, {
        firstCommitTime: 3n,
        lastCommitTime: 5n,
        barriers: [
          { place: 1, atBytes: 64, lastCommitTime: 5n },
          { place: 1, atBytes: 128, lastCommitTime: 8n },
        ],
      }),
    ]);
  });

  it('is what it lacks, and which beginnings it has', () => {
    const whole = [2, 3, 7].map((place) => ({ place, summary: place === 3 ? undefined : summary() }));
    const begun = [{ place: 8, summary: summary({ ending: 'end-of-wal', usedBytes: 4096 }) }];
    assert.deepEqual(runsOf(whole, [...begun, { place: 9, summary: undefined }]), [
      run(2, 2),
      run(7, 1),
      run(8, 0, { usedBytes: 4096 }),
    ]);
  });
});

describe('a group of logs', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(anyGroup, (spans) => assert.deepEqual(decodeGroup(encodeGroup(spans, perLog), perLog), spans)),
      { numRuns: 25 },
    );
  });

  it('is small where logs are whole', () => {
    const whole: LogSpan = { contents: undefined, runs: [run(0, perLog)] };
    assert.equal(
      encodeGroup(
        Array.from({ length: 256 }, () => whole),
        perLog,
      ).length,
      257,
    );
  });

  it('is refused where it is cut, goes on, or is of another format', () => {
    fc.assert(
      fc.property(anyGroup, (spans) => {
        const bytes = encodeGroup(spans, perLog);
        for (let length = 0; length < bytes.length; length += 17) {
          assert.throws(() => decodeGroup(bytes.subarray(0, length), perLog), { code: 'decode' });
        }
        for (const other of [
          Buffer.concat([bytes, Buffer.alloc(1)]),
          Buffer.concat([Buffer.from([2]), bytes.subarray(1)]),
        ]) {
          assert.throws(() => decodeGroup(other, perLog), { code: 'decode' });
        }
      }),
      { numRuns: 10 },
    );
  });

  it('is refused or makes sense, whichever bit is flipped', () => {
    const spans = Array.from({ length: 256 }, (_, i): LogSpan | undefined => {
      const both = i % 3 === 0 ? {} : { firstCommitTime: BigInt(i), lastCommitTime: BigInt(i + 5) };
      if (i % 5 === 0) return { contents: 'ab'.repeat(16), runs: [run(1, 4, both), run(9, 0, { usedBytes: i })] };
      return i % 7 === 0 ? undefined : { contents: undefined, runs: [run(0, perLog, both)] };
    });
    const bytes = encodeGroup(spans, perLog);
    for (let bit = 0; bit < bytes.length * 8; bit += 7) {
      const flipped = Uint8Array.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      try {
        const read = decodeGroup(flipped, perLog);
        assert.notDeepEqual(read, spans);
        for (const { place, segments } of read.flatMap((span) => span?.runs ?? [])) {
          assert.ok(place + segments <= perLog);
        }
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'decode');
      }
    }
  });
});
