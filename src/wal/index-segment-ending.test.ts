import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { blocksOf, commit, index, moment, table, touch } from '../../test/support/indexed-wal.ts';
import { i64, u32, WalBuilder, type WalBuilderOptions } from '../../test/support/wal-builder.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { indexSegment } from './index-segment.ts';
import { decodeSegmentIndex, encodeSegmentIndex } from './segment-index-codec.ts';

describe('where a segment ends', () => {
  const small: WalBuilderOptions = {};

  it('ends with zeros where WAL had not got further', () => {
    const builder = new WalBuilder(small);
    commit(builder, 700, moment);
    const made = index(builder);
    assert.equal(made.ending, 'end-of-wal');
    assert.equal(made.problem, undefined);
    assert.equal(made.usedEndLsn, builder.lsn);
  });

  it('ends with a switch record', () => {
    const builder = new WalBuilder(small);
    commit(builder, 700, moment);
    const at = builder.switchSegment();
    const made = index(builder);
    assert.equal(made.ending, 'switch');
    assert.deepEqual(made.events, [{ kind: 'switch', lsn: at }]);
    assert.equal(made.usedEndLsn, at + 24n);
    assert.equal(made.tail, undefined);
  });

  it('ends with a switch record that the segment before began: it takes both', () => {
    for (const room of [8, 16]) {
      const builder = new WalBuilder(small);
      builder.fillTo(1_048_576 - room);
      builder.switchSegment();
      const [before, after] = builder.segments;
      assert.ok(before && after);
      assert.equal(indexSegment(before).ending, 'full');
      for (const verifyCrc of [false, true]) {
        const made = indexSegment(after, { verifyCrc });
        assert.deepEqual([made.ending, made.problem], ['switch', undefined]);
        assert.equal(made.usedEndLsn, made.startLsn + BigInt(40 + 24 - room));
      }
      const written = Buffer.from(after);
      written[40 + 24 - room + 2000] = 1;
      assert.equal(indexSegment(written).ending, 'end-of-wal', 'WAL goes on there');
    }
  });

  it('ends where a recycled file still holds older WAL', () => {
    const old = new WalBuilder({ ...small, startLsn: 0x4_0000_0000n });
    const builder = new WalBuilder(small);
    old.fillTo(900_000 - (900_000 % 8));
    builder.fillTo(100_000 - (100_000 % 8));
    commit(builder, 700, moment);
    const end = builder.lsn;
    const used = Number(end - 0x5_0000_0000n);
    // as a standby's receiver writes: only what it received, over what was there
    const segment = Buffer.from(old.segment);
    builder.segment.copy(segment, 0, 0, used);
    const made = index(builder, segment);
    assert.equal(made.problem, undefined);
    assert.equal(made.ending, 'end-of-wal');
    assert.equal(made.usedEndLsn, end);
    assert.equal(made.commits.length, 1);
  });

  it('is full when the last record ends with it', () => {
    const builder = new WalBuilder(small);
    builder.fillTo(1_048_576 - 88);
    touch(builder, 1);
    builder.filler(32);
    const made = index(builder);
    assert.equal(made.ending, 'full');
    assert.equal(made.tail, undefined);
    assert.equal(made.usedEndLsn, made.endLsn);
  });

  it('says so where WAL breaks off although it goes on further down', () => {
    const builder = new WalBuilder(small);
    builder.fillTo(81_920);
    commit(builder, 700, moment);
    builder.fillTo(500_000);
    for (const [from, to] of [
      [81_920, 81_920 + 8192],
      [81_920 + 24, 81_920 + 4096],
      [40_960, 40_960 + 24],
    ] as const) {
      const segment = Buffer.from(builder.segment);
      segment.fill(0, from, to);
      const made = index(builder, segment);
      assert.notEqual(made.problem, undefined);
      assert.equal(made.ending, 'end-of-wal');
      assert.deepEqual(made.commits, []);
    }
  });

  it('skips a record that a crash left unfinished', () => {
    const builder = new WalBuilder(small);
    touch(builder, 1);
    const lost = builder.givenUp({ blocks: [{ relation: table, block: 2 }], main: Buffer.alloc(20_000) }, 10_000);
    const at = builder.record({ resourceManager: 0, info: 0xd0, main: Buffer.concat([i64(lost), i64(moment)]) });
    touch(builder, 3);
    const made = index(builder);
    assert.equal(made.problem, undefined);
    assert.deepEqual(blocksOf(made), { '1663/5/16384.0': { blocks: [1, 3] } });
    assert.deepEqual(made.events, [{ kind: 'overwrite-contrecord', lsn: at, overwrittenLsn: lost, time: moment }]);
  });

  it('has the timeline of its last page where it began as a copy of the parent timeline', () => {
    const builder = new WalBuilder({ ...small, timeline: 3 });
    builder.fillTo(81_920);
    builder.setTimeline(4).fillTo(90_000);
    assert.equal(index(builder).timeline, 4);
    const back = new WalBuilder({ ...small, timeline: 4 });
    back.fillTo(81_920);
    back.setTimeline(3).fillTo(90_000);
    assert.match(index(back).problem ?? '', /a page of timeline 3 follows one of timeline 4/);
  });

  it('can be only the beginning of a segment, if one says so', () => {
    const builder = new WalBuilder(small);
    commit(builder, 700, moment);
    commit(builder, 701, moment);
    const used = Number(builder.lsn - 0x5_0000_0000n);
    assert.match(indexSegment(builder.segment.subarray(0, used)).problem ?? '', /a file of \d+ bytes/);
    const made = indexSegment(builder.segment.subarray(0, used), { partial: true });
    assert.equal(made.problem, undefined);
    assert.equal(made.ending, 'end-of-wal');
    assert.equal(made.commits.length, 2);
  });
});

describe('damage', () => {
  function sample(): { builder: WalBuilder; records: { from: number; to: number }[] } {
    const builder = new WalBuilder();
    builder.fillTo(8192 - 200);
    const records: { from: number; to: number }[] = [];
    const add = (write: () => Lsn, bytes: number) => {
      const from = Number(write() - 0x5_0000_0000n);
      records.push({ from, to: from + bytes });
    };
    add(() => commit(builder, 700, moment), 34);
    add(() => touch(builder, 1), 24 + 20 + 2 + 4);
    add(() => commit(builder, 701, moment), 34);
    // the next one crosses the page
    touch(builder, 2);
    builder.record({
      resourceManager: 1,
      info: 0x80,
      main: Buffer.concat([i64(moment), u32(0x2, 8), Buffer.alloc(32)]),
    });
    touch(builder, 3);
    return { builder, records };
  }

  it('is noticed wherever a bit of a record flips', () => {
    const { builder, records } = sample();
    const sound = indexSegment(builder.segment, { verifyCrc: true });
    assert.equal(sound.problem, undefined);
    for (const { from, to } of records) {
      for (let bit = from * 8; bit < to * 8; bit += 1) {
        const segment = Buffer.from(builder.segment);
        segment[bit >> 3] = (segment[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const made = indexSegment(segment, { verifyCrc: true });
        const noticed = made.problem !== undefined || made.usedEndLsn < sound.usedEndLsn;
        assert.ok(noticed, `bit ${bit & 7} of byte ${bit >> 3}`);
        assert.ok(made.commits.every((found) => found.time === moment && [700, 701, 0].includes(found.xid)));
      }
    }
  });

  it('never makes the reader fail, wherever a file is cut', () => {
    const { builder } = sample();
    const end = Number(builder.lsn - 0x5_0000_0000n);
    const whole = indexSegment(builder.segment, { verifyCrc: true });
    for (let cut = 40; cut <= end; cut += 1) {
      if (cut > 100 && cut < 7900) continue;
      const piece = builder.segment.subarray(0, cut);
      assert.match(indexSegment(piece).problem ?? '', /a file of/);
      const made = indexSegment(piece, { verifyCrc: true, partial: true });
      assert.ok(made.usedEndLsn <= whole.usedEndLsn);
      assert.deepEqual(made.commits, whole.commits.slice(0, made.commits.length));
      assert.equal(made.problem, undefined);
      assert.equal(made.commits.length, whole.commits.filter((found) => found.endLsn <= made.usedEndLsn).length);
    }
    for (let cut = 0; cut < 40; cut += 1) {
      assert.throws(() => indexSegment(builder.segment.subarray(0, cut)), { code: 'wal-damaged' });
    }
  });

  it('is not taken for a page header that is only cut', () => {
    const builder = new WalBuilder();
    const at = commit(builder, 700, moment);
    // what is left of it at each page needs more than a byte
    builder.record({ resourceManager: 21, main: Buffer.alloc(70_000) });
    for (let page = 8192; page < 65_536; page += 8192) {
      for (let cut = page; cut <= page + 30; cut += 1) {
        const made = indexSegment(builder.segment.subarray(0, cut), { verifyCrc: true, partial: true });
        assert.equal(made.problem, undefined, `cut at ${cut}`);
        assert.equal(made.usedEndLsn, at + 40n);
      }
    }
  });

  it('never makes the reader fail, whatever bytes a record has', () => {
    // a small generator instead of fast-check: every byte of every header in turn gets every kind of value
    const { builder, records } = sample();
    for (const { from, to } of records) {
      for (let at = from; at < to; at += 1) {
        for (const value of [0, 1, 0x7f, 0x80, 0xfc, 0xfd, 0xfe, 0xff]) {
          const segment = Buffer.from(builder.segment);
          segment[at] = value;
          const made = indexSegment(segment);
          assert.ok(made.usedEndLsn <= made.endLsn);
          assert.deepEqual(decodeSegmentIndex(encodeSegmentIndex(made)), made);
        }
      }
    }
  });
});
