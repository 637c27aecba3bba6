import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { index, touch } from '../../test/support/indexed-wal.ts';
import { i64, WalBuilder } from '../../test/support/wal-builder.ts';
import type { SegmentIndex } from './segment-index.ts';
import { SegmentLinks } from './segment-links.ts';

const segmentBytes = 1_048_576;
/** Longer than a segment. */
const long = { resourceManager: 21, main: new Uint8Array(segmentBytes + 5000) };

function indexes(builder: WalBuilder): SegmentIndex[] {
  return builder.segments.map((segment) => index(builder, segment));
}

/** Which of the segments does not follow, or -1. */
function broken(segments: readonly SegmentIndex[]): number {
  const links = new SegmentLinks();
  return segments.findIndex((segment) => !links.follows(segment));
}

/** Segments that end in every way: full to the last byte, in a record, by a switch, in one that is longer than they are. */
function everyEnd(first: (builder: WalBuilder) => void): WalBuilder {
  const builder = new WalBuilder();
  first(builder);
  builder.fillTo(segmentBytes - 32).filler(32);
  touch(builder, 2);
  builder.fillTo(segmentBytes - 32);
  touch(builder, 3);
  builder.switchSegment();
  touch(builder, 4);
  builder.record(long);
  touch(builder, 5);
  builder.fillTo(segmentBytes - 24);
  touch(builder, 6);
  builder.fillTo(8192);
  return builder;
}

describe('segments of WAL', () => {
  it('hang together however they end', () => {
    const segments = indexes(everyEnd((builder) => touch(builder, 1)));
    const ends = segments.map(({ tail, continuationBytes, ending }) => [
      continuationBytes > 0 ? 'goes on' : 'begins',
      tail === undefined ? ending : 'in a record',
    ]);
    assert.deepEqual(ends, [
      ['begins', 'full'],
      ['begins', 'in a record'],
      ['goes on', 'switch'],
      ['begins', 'in a record'],
      ['goes on', 'in a record'],
      ['goes on', 'end-of-wal'],
    ]);
    for (let from = 0; from < segments.length; from += 1) assert.equal(broken(segments.slice(from)), -1);
  });

  it('hang together where a record was given up, in the next segment or after it', () => {
    const builder = new WalBuilder();
    touch(builder, 1);
    builder.fillTo(segmentBytes - 64);
    const lost = builder.givenUp(long, 10_000);
    builder.record({ resourceManager: 0, info: 0xd0, main: Buffer.concat([i64(lost), i64(1n)]) });
    builder.fillTo(segmentBytes - 32).filler(32);
    touch(builder, 2);
    const segments = indexes(builder);
    assert.ok(segments[0]?.tail);
    assert.equal(broken(segments), -1);
  });

  it('do not where one is of another WAL that was written under the same name', () => {
    const switched = (records: number): SegmentIndex[] => {
      const builder = new WalBuilder();
      for (let i = 0; i < records; i += 1) touch(builder, i);
      builder.switchSegment();
      touch(builder, 7);
      return indexes(builder);
    };
    const [a, b] = switched(3);
    const [c, d] = switched(4);
    assert.ok(a && b && c && d);
    assert.equal(broken([a, b]), -1);
    assert.equal(broken([c, d]), -1);
    assert.equal(broken([a, d]), 1);
    assert.equal(broken([c, b]), 1);
  });
});
