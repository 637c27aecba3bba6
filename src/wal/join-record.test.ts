import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { i64, u32, WalBuilder, type BuiltRecord } from '../../test/support/wal-builder.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { mergeBlockChanges } from './block-changes.ts';
import { indexSegment } from './index-segment.ts';
import { joinRecord } from './join-record.ts';
import type { SegmentIndex } from './segment-index.ts';
import { decodeSegmentIndex, encodeSegmentIndex } from './segment-index-codec.ts';

const segmentBytes = 1_048_576;
const moment = 848_738_314_123_456n;
const table = [1663, 5, 16_384] as const;

function indexes(builder: WalBuilder): [SegmentIndex, SegmentIndex, ...SegmentIndex[]] {
  const made = builder.segments.map((segment) =>
    decodeSegmentIndex(encodeSegmentIndex(indexSegment(segment, { verifyCrc: true }))),
  );
  const [first, second, ...rest] = made;
  assert.ok(first && second);
  return [first, second, ...rest];
}

/** Writes `record` so that it starts `before` bytes ahead of the segment's end, and one record after it. */
function across(record: BuiltRecord, before: number): { builder: WalBuilder; at: Lsn } {
  const builder = new WalBuilder();
  builder.fillTo(segmentBytes - before);
  const at = builder.record(record);
  builder.record({ resourceManager: 1, xid: 999, main: i64(moment + 9n) });
  return { builder, at };
}

const commit: BuiltRecord = {
  resourceManager: 1,
  info: 0x80,
  xid: 700,
  main: Buffer.concat([i64(moment), u32(0x4, 2, ...table, 1663, 5, 16_390)]),
};

describe('the record between two segments', () => {
  it('is read wherever the boundary cuts it', () => {
    const image = Buffer.from(Array.from({ length: 500 }, (_, index) => index));
    const update: BuiltRecord = {
      xid: 701,
      blocks: [
        { relation: table, block: 7, image: { bytes: image, flags: 0x3 } },
        { relation: table, block: 8, sameRelation: true, data: Buffer.from('tuple') },
      ],
      main: u32(1, 2, 3),
    };
    let boundaries = 0;
    for (const record of [commit, update]) {
      // a record begins on a multiple of 8, and its length is always before the boundary
      for (let before = 8; before < 620; before += 8) {
        const { builder, at } = across(record, before);
        if (builder.segments.length < 2) continue;
        const [first, second] = indexes(builder);
        if (first.tail?.lsn !== at) continue;
        boundaries += 1;
        assert.equal(first.ending, 'full');
        const joined = joinRecord(first, second);
        assert.equal(joined.problem, undefined, `${before} bytes before the boundary`);
        if (record === commit) {
          assert.deepEqual(joined.commits, [
            { xid: 700, lsn: at, endLsn: second.firstRecordLsn, time: moment, kind: 'commit' },
          ]);
          assert.equal(joined.changes.length, 6);
          assert.equal(joined.events[0]?.kind, 'relation-drop');
        } else {
          assert.deepEqual(joined.changes, [
            { relation: { spcOid: 1663, dbOid: 5, relNumber: 16_384, fork: 0 }, blocks: Uint32Array.of(7, 8) },
          ]);
        }
        // and is told by neither segment alone
        assert.deepEqual(
          [...first.commits, ...second.commits].map(({ xid }) => xid),
          [999],
        );
      }
    }
    // every multiple of 8 within the 66 and the 576 bytes of the two
    assert.equal(boundaries, 8 + 71);
  });

  it('is nothing where the boundary falls between records', () => {
    const builder = new WalBuilder();
    builder.fillTo(segmentBytes - 40);
    builder.record({ resourceManager: 1, xid: 700, main: i64(moment) });
    builder.record({ resourceManager: 1, xid: 701, main: i64(moment) });
    const [first, second] = indexes(builder);
    assert.equal(first.ending, 'full');
    assert.equal(first.commits.length, 1);
    assert.deepEqual(joinRecord(first, second), { commits: [], restorePoints: [], changes: [], events: [] });
  });

  it('counts for nothing where a crash left it unfinished', () => {
    const builder = new WalBuilder();
    builder.fillTo(segmentBytes - 16);
    const lost = builder.givenUp(commit, 16);
    builder.record({ resourceManager: 0, info: 0xd0, main: Buffer.concat([i64(lost), i64(moment)]) });
    const [first, second] = indexes(builder);
    assert.equal(first.tail?.lsn, lost);
    assert.deepEqual(joinRecord(first, second), { commits: [], restorePoints: [], changes: [], events: [] });
  });

  it('counts for nothing where it was given up only in the next segment', () => {
    const builder = new WalBuilder();
    builder.fillTo(segmentBytes - 16);
    const lost = builder.givenUp({ ...commit, main: Buffer.alloc(30_000) }, 12_000);
    builder.record({ resourceManager: 0, info: 0xd0, main: Buffer.concat([i64(lost), i64(moment)]) });
    const [first, second] = indexes(builder);
    assert.equal(second.continuationBytes, 0);
    assert.deepEqual(joinRecord(first, second), { commits: [], restorePoints: [], changes: [], events: [] });
  });

  it('is noticed when it is damaged, or its other half belongs to another one', () => {
    const { builder } = across(commit, 24);
    const [first, second] = indexes(builder);
    const tail = first.tail;
    assert.ok(tail);
    for (let bit = 0; bit < second.head.length * 8; bit += 1) {
      const head = Uint8Array.from(second.head);
      head[bit >> 3] = (head[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.notEqual(joinRecord(first, { ...second, head }).problem, undefined);
    }
    for (let bit = 0; bit < tail.bytes.length * 8; bit += 1) {
      const bytes = Uint8Array.from(tail.bytes);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.notEqual(joinRecord({ ...first, tail: { ...tail, bytes } }, second).problem, undefined);
    }
    const shorter = joinRecord(first, { ...second, continuationBytes: second.continuationBytes - 8 });
    assert.match(shorter.problem ?? '', /has \d+ bytes, found \d+ before and \d+ after the boundary/);
    const absent = joinRecord(first, { ...second, continuationBytes: 0, head: new Uint8Array(0) });
    assert.match(absent.problem ?? '', /does not go on in the next segment/);
    assert.match(joinRecord(second, first).problem ?? '', /do not follow each other/);
    assert.match(joinRecord(first, { ...second, walMagic: 0xd113 }).problem ?? '', /another version/);
  });

  it('may fill whole segments: its first pair tells it, and its end is computed', () => {
    const relations = Array.from({ length: 20 }, (_, index) => u32(1663, 5, 20_000 + index));
    const main = Buffer.concat([
      i64(moment),
      u32(0x4 | 0x8, relations.length),
      ...relations,
      u32(180_000),
      Buffer.alloc(180_000 * 16, 3),
    ]);
    const { builder, at } = across({ ...commit, main }, 64);
    const all = indexes(builder);
    assert.equal(all.length, 4);
    const [first, second, third, fourth] = all;
    assert.ok(third && fourth);
    assert.equal(second.firstRecordLsn, undefined);
    assert.equal(second.ending, 'full');
    assert.equal(second.usedEndLsn, second.startLsn);
    assert.ok(second.head.length <= segmentBytes);
    const joined = joinRecord(first, second);
    assert.equal(joined.problem, undefined);
    assert.deepEqual(joined.commits, [
      { xid: 700, lsn: at, endLsn: fourth.firstRecordLsn, time: moment, kind: 'commit' },
    ]);
    const event = joined.events[0];
    assert.equal(event?.kind === 'relation-drop' && event.relations.length, 20);
    const nothing = { commits: [], restorePoints: [], changes: [], events: [] };
    assert.deepEqual(joinRecord(second, third), nothing);
    assert.deepEqual(joinRecord(third, fourth), nothing);
    assert.deepEqual(
      fourth.commits.map(({ xid }) => xid),
      [999],
    );
  });

  it('says what it cannot tell: relations behind more than is kept', () => {
    const main = Buffer.concat([i64(moment), u32(0x2 | 0x4, 400_000), Buffer.alloc(1_600_000), u32(1, ...table)]);
    const { builder } = across({ ...commit, main }, 64);
    const [first, second] = indexes(builder);
    const joined = joinRecord(first, second);
    assert.match(joined.problem ?? '', /commit or abort record/);
    assert.deepEqual(joined.commits, []);
  });

  it('can be a message of many megabytes, of which block references are all that matters', () => {
    const { builder } = across({ resourceManager: 21, main: Buffer.alloc(5_000_000) }, 4096);
    for (const [index, made] of indexes(builder).entries()) {
      const next = indexes(builder)[index + 1];
      assert.equal(made.problem, undefined);
      if (next) assert.equal(joinRecord(made, next).problem, undefined);
    }
  });
});

describe('several stretches of WAL together', () => {
  it('forget the blocks that a later one cut away', () => {
    const relation = { spcOid: 1663, dbOid: 5, relNumber: 16_384, fork: 0 };
    const merged = mergeBlockChanges([
      [{ relation, blocks: Uint32Array.of(1, 50, 90) }],
      [{ relation, blocks: Uint32Array.of(60), truncatedTo: 50 }],
      [{ relation, blocks: Uint32Array.of(2, 70), truncatedTo: 55 }],
    ]);
    assert.deepEqual(merged, [{ relation, blocks: Uint32Array.of(1, 2, 70), truncatedTo: 50 }]);
  });
});
