import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { madeUpIndex, mebibyte, segmentAt, type MadeUp } from '../../test/support/test-archive.ts';
import { decodeGroup, encodeGroup, spanOfLog, type LogSpan } from './log-span.ts';
import { summarize } from './segment-summary.ts';

const span = (...segments: readonly MadeUp[]): LogSpan =>
  spanOfLog(segments.map((made) => summarize(madeUpIndex(segmentAt(5), mebibyte, made))));

const time = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

const anySpan: fc.Arbitrary<LogSpan> = fc
  .tuple(fc.option(fc.tuple(time, time), { nil: undefined }), fc.boolean())
  .map(([times, unbroken]) => ({ firstCommitTime: times?.[0], lastCommitTime: times?.[1], unbroken }));

const anyGroup = fc.array(anySpan, { minLength: 256, maxLength: 256 });

describe('what a catalogue knows of a log', () => {
  it('is the first and the last commit of all its segments', () => {
    assert.deepEqual(span({}, { commits: [3n, 5n] }, {}, { commits: [4n, 9n] }, {}), {
      firstCommitTime: 3n,
      lastCommitTime: 9n,
      unbroken: true,
    });
    assert.deepEqual(span({}, {}), { firstCommitTime: undefined, lastCommitTime: undefined, unbroken: true });
  });

  it('is that replay breaks off in it where any segment ends early', () => {
    const early = { ending: 'end-of-wal' } as const;
    assert.equal(span({}, early, {}).unbroken, false);
    assert.equal(span({}, {}, early).unbroken, false);
    assert.equal(span({}, { ending: 'switch' }, { ...early, problem: 'of a newer version' }).unbroken, true);
  });
});

describe('a group of logs', () => {
  it('is read as it was written', () => {
    fc.assert(fc.property(anyGroup, (spans) => assert.deepEqual(decodeGroup(encodeGroup(spans)), spans)));
  });

  it('is refused where it is cut, goes on, or is of another format', () => {
    fc.assert(
      fc.property(anyGroup, (spans) => {
        const bytes = encodeGroup(spans);
        for (let length = 0; length < bytes.length; length += 17) {
          assert.throws(() => decodeGroup(bytes.subarray(0, length)), { code: 'decode' });
        }
        assert.throws(() => decodeGroup(Buffer.concat([bytes, Buffer.alloc(1)])), { code: 'decode' });
        assert.throws(() => decodeGroup(Buffer.concat([Buffer.from([2]), bytes.subarray(1)])), { code: 'decode' });
      }),
      { numRuns: 10 },
    );
  });

  it('is refused or makes sense, whichever bit is flipped', () => {
    const spans = Array.from({ length: 256 }, (_, i) => ({
      firstCommitTime: i % 3 === 0 ? undefined : BigInt(i),
      lastCommitTime: i % 3 === 0 ? undefined : BigInt(i + 5),
      unbroken: i % 5 !== 0,
    }));
    const bytes = encodeGroup(spans);
    for (let bit = 0; bit < bytes.length * 8; bit += 7) {
      const flipped = Uint8Array.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      try {
        assert.notDeepEqual(decodeGroup(flipped), spans);
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'decode');
      }
    }
  });
});
