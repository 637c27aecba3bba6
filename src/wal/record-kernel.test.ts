import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { moment, table } from '../../test/support/indexed-wal.ts';
import { i64, u32, WalBuilder, type BuiltBlock, type BuiltRecord } from '../../test/support/wal-builder.ts';
import { indexSegment, makeSegmentBuffer } from './index-segment.ts';
import type { IndexOptions, SegmentIndex } from './segment-index.ts';

const magics = [0xd10d, 0xd110, 0xd113, 0xd116, 0xd118];

const anyBlock: fc.Arbitrary<BuiltBlock> = fc.record(
  {
    relation: fc
      .tuple(fc.constantFrom(1663, 1664), fc.constantFrom(0, 5), fc.integer({ min: 16_384, max: 16_390 }))
      .map(([spcOid, dbOid, relNumber]) => [spcOid, dbOid, relNumber] as const),
    fork: fc.nat(3),
    block: fc.oneof(fc.nat(40), fc.constantFrom(0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff)),
    data: fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  },
  { requiredKeys: ['relation', 'block'], noNullPrototype: true },
);

/** Of managers whose records say nothing but blocks; of some also with the flag for changes that blocks do not tell. */
const anyChange: fc.Arbitrary<BuiltRecord> = fc.record(
  {
    resourceManager: fc.constantFrom(3, 6, 8, 9, 10, 11, 17, 21, 22, 130),
    info: fc.constantFrom(0, 0x10, 0x20, 0x81, 0xf0),
    xid: fc.nat(0xffff),
    blocks: fc.array(anyBlock, { maxLength: 5 }),
    main: fc.oneof(fc.nat(20), fc.nat(20_000)).map((bytes) => Buffer.alloc(bytes, bytes)),
  },
  { noNullPrototype: true },
);

const anyEnd: fc.Arbitrary<BuiltRecord> = fc
  .tuple(fc.constantFrom(0, 0x20, 0x50, 0x80 | 0x30), fc.nat(0xffff), fc.integer({ min: -1000, max: 1000 }))
  .map(([info, xid, ms]) => ({
    resourceManager: 1,
    info,
    xid,
    main: Buffer.concat([i64(moment + BigInt(ms)), u32(0)]),
  }));

const anyCut: fc.Arbitrary<BuiltRecord> = fc
  .tuple(fc.nat(40), fc.integer({ min: 16_384, max: 16_390 }), fc.integer({ min: 1, max: 7 }))
  .map(([blocks, relNumber, flags]) => ({
    resourceManager: 2,
    info: 0x20,
    main: u32(blocks, 1663, 5, relNumber, flags),
  }));

const anyImage: fc.Arbitrary<BuiltRecord> = anyBlock.map((block) => ({
  resourceManager: 0,
  info: 0xb0,
  blocks: [block],
}));

const anyWal = fc.record({
  walMagic: fc.constantFrom(...magics),
  records: fc.array(fc.oneof({ weight: 4, arbitrary: anyChange }, anyEnd, anyCut, anyImage), { maxLength: 120 }),
});

const anyDamage = fc.array(fc.tuple(fc.integer({ min: 40, max: 300_000 }), fc.integer({ min: 1, max: 255 })), {
  maxLength: 3,
});

function build(wal: typeof anyWal extends fc.Arbitrary<infer T> ? T : never): Buffer {
  const builder = new WalBuilder({ walMagic: wal.walMagic });
  builder.filler(32);
  for (const record of wal.records) builder.record(record);
  return builder.segment;
}

function agree(segment: Uint8Array, options: IndexOptions = {}): SegmentIndex {
  const made = indexSegment(segment, options);
  assert.deepEqual(made, indexSegment(segment, { ...options, withoutKernel: true }));
  return made;
}

describe('records that are read by the kernel', () => {
  it('say what they say without it, whole, damaged or cut', () => {
    fc.assert(
      fc.property(anyWal, anyDamage, fc.nat(200_000), (wal, damage, cutAt) => {
        const segment = build(wal);
        agree(segment);
        for (const [at, bits] of damage) segment[at] = (segment[at] ?? 0) ^ bits;
        agree(segment);
        agree(segment.subarray(0, Math.max(cutAt, 40)), { partial: true });
      }),
      { numRuns: 150 },
    );
  });

  it('are not changed by what was read before into the same memory', () => {
    const buffer = makeSegmentBuffer(1_048_576);
    fc.assert(
      fc.property(anyWal, (wal) => {
        buffer.set(build(wal));
        agree(buffer);
      }),
      { numRuns: 40 },
    );
  });

  it('are read without it where there are too many relations or blocks', () => {
    const relations = new WalBuilder();
    relations.record({ resourceManager: 10, main: u32(1), blocks: [{ relation: table, block: 1 }] });
    for (let number = 0; number < 5000; number += 1) {
      relations.record({ resourceManager: 10, blocks: [{ relation: [1663, 5, 20_000 + number], block: number }] });
    }
    assert.equal(agree(relations.segment).changes.length, 5001);
  });

  it('may touch more blocks than there was room for at first', () => {
    const builder = new WalBuilder({ segmentBytes: 4_194_304 });
    for (let block = 0; block < 60_000; block += 1) {
      builder.record({ resourceManager: 10, blocks: [{ relation: table, block: block * 7 }] });
    }
    assert.equal(agree(builder.segment).changes[0]?.blocks.length, 60_000);
  });
});
