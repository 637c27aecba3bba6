import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { WalBuilder } from '../../test/support/wal-builder.ts';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import { segmentOf } from '../postgres/segment-name.ts';
import { timeline } from '../postgres/timeline.ts';
import { recordsFrom, type ChainedRecord, type WalSource } from './record-chain.ts';

const segmentBytes = 1_048_576;
const startLsn = 0x5_0000_0000n;
const systemIdentifier = '7000000000000000001';

function sourceOf(segments: readonly Uint8Array[], changes: Partial<WalSource> = {}): WalSource {
  const first = segmentOf(lsn(startLsn), segmentBytes);
  return {
    timeline: timeline(1),
    systemIdentifier,
    segmentBytes,
    segment: (number) => segments[Number(number - first)],
    ...changes,
  };
}

function all(source: WalSource, from: Lsn): ChainedRecord[] {
  return [...recordsFrom(source, from)];
}

/** Records of the sizes given, each with other bytes, from `before` bytes before the end of the first segment on. */
function built(before: number, sizes: readonly number[]): { readonly starts: Lsn[]; readonly segments: Buffer[] } {
  const builder = new WalBuilder();
  builder.fillTo(segmentBytes - before);
  const starts = sizes.map((size, i) => builder.record({ main: Buffer.alloc(size, i + 1), xid: i }));
  return { starts, segments: builder.segments };
}

describe('WAL read from a position on', () => {
  it('gives the records one after the other, across pages and segments, to where it ends', () => {
    const { starts, segments } = built(8192 * 2 + 64, [10, 9000, 20_000, 300, 1_200_000, 5]);
    const records = all(sourceOf(segments), starts[0]!);
    assert.deepEqual(
      records.map((record) => record.lsn),
      starts,
    );
    assert.equal(segmentOf(records.at(-1)!.endLsn, segmentBytes) - segmentOf(starts[0]!, segmentBytes), 2n);
    // From each of them on the same.
    for (const [i, at] of starts.entries()) assert.deepEqual(all(sourceOf(segments), at), records.slice(i));
  });

  it('goes on behind the header of a page that the position before it names', () => {
    const builder = new WalBuilder();
    builder.fillTo(8192 - 32);
    builder.filler(32);
    const at = builder.record({ main: Buffer.alloc(100) });
    assert.equal(at % 8192n, 24n);
    const pageLsn = lsn(at - 24n);
    assert.deepEqual(
      all(sourceOf(builder.segments), pageLsn).map((record) => record.lsn),
      [at],
    );
  });

  it('ends where a record is cut, wherever that is', () => {
    const { starts, segments } = built(8192 + 200, [40, 9000, 300, 64]);
    const whole = all(sourceOf(segments), starts[0]!);
    fc.assert(
      fc.property(fc.integer({ min: segmentBytes - 8392, max: segmentBytes + 10_000 }), fc.boolean(), (cut, zeros) => {
        // As a crash leaves it: zeros, or what the recycled file held before.
        const torn = segments.map((segment, i) => {
          const copy = Buffer.from(segment);
          return copy.fill(zeros ? 0 : 0xa5, Math.min(Math.max(cut - i * segmentBytes, 0), segmentBytes));
        });
        const expected = whole.filter(({ endLsn }) => endLsn <= startLsn + BigInt(cut));
        const found = all(sourceOf(torn), starts[0]!);
        // A record whose last bytes are padding is whole before its end.
        assert.ok(found.length >= expected.length && found.length <= expected.length + 1);
        assert.deepEqual(found, whole.slice(0, found.length));
        if (found.length > expected.length) assert.ok(whole[found.length - 1]!.endLsn - startLsn - BigInt(cut) < 8n);
      }),
    );
  });

  it('ends before any byte that was changed', () => {
    const { starts, segments } = built(8192 + 200, [40, 9000, 300]);
    const whole = all(sourceOf(segments), starts[0]!);
    const from = Number(starts[0]! - startLsn);
    const to = Number(whole.at(-1)!.endLsn - startLsn);
    fc.assert(
      fc.property(fc.integer({ min: from, max: to - 1 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = segments.map((segment) => Buffer.from(segment));
        const segment = changed[Math.floor(at / segmentBytes)]!;
        segment[at % segmentBytes]! ^= flip;
        const found = all(sourceOf(changed), starts[0]!);
        const harmed = whole.findIndex(({ endLsn }) => endLsn > startLsn + BigInt(at));
        // Padding and bits of a page header that say nothing about it change nothing.
        assert.ok(found.length === whole.length || found.length === harmed, `${found.length} of ${harmed}`);
        assert.deepEqual(found, whole.slice(0, found.length));
      }),
    );
  });

  it('passes over a record that a crash cut, once the server has noted it', () => {
    const builder = new WalBuilder();
    builder.fillTo(8192 - 64);
    const before = builder.record({ main: Buffer.alloc(1) });
    builder.givenUp({ main: Buffer.alloc(5000, 7) }, 30);
    const after = builder.record({ main: Buffer.alloc(10) });
    assert.deepEqual(
      all(sourceOf(builder.segments), before).map((record) => record.lsn),
      [before, after],
    );
  });

  it('goes from a switch to the next segment', () => {
    const builder = new WalBuilder();
    const first = builder.record({ main: Buffer.alloc(10) });
    const at = builder.switchSegment();
    const next = builder.record({ main: Buffer.alloc(10) });
    const records = all(sourceOf(builder.segments), first);
    assert.deepEqual(
      records.map((record) => record.lsn),
      [first, at, next],
    );
    assert.equal(records[1]!.endLsn, startLsn + BigInt(segmentBytes));
  });

  it('follows a timeline to the next one, and neither back nor beyond the one that is asked for', () => {
    const builder = new WalBuilder();
    const first = builder.record({ main: Buffer.alloc(8000) });
    builder.setTimeline(2);
    builder.record({ main: Buffer.alloc(8000) });
    builder.setTimeline(1);
    builder.record({ main: Buffer.alloc(8000) });
    const read = (of: number): number => all(sourceOf(builder.segments, { timeline: timeline(of) }), first).length;
    assert.equal(read(1), 1);
    assert.equal(read(2), 2);
  });

  it('is none where the segment is another cluster’s, another one’s, or not there', () => {
    const { starts, segments } = built(8192, [40]);
    const none = (changes: Partial<WalSource>): void => {
      assert.deepEqual(all(sourceOf(segments, changes), starts[0]!), []);
    };
    none({ systemIdentifier: '7000000000000000002' });
    none({ segment: () => segments[1] ?? Buffer.alloc(segmentBytes) });
    none({ segment: () => undefined });
    none({ segment: () => segments[0]!.subarray(0, 8192) });
    assert.deepEqual(all(sourceOf(segments), lsn(starts[0]! + 8n)), []);
    assert.equal(all(sourceOf(segments), starts[0]!).length, 1);
  });
});
