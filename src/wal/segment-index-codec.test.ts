import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { lsn } from '../postgres/lsn.ts';
import { systemIdentifier } from '../postgres/system-identifier.ts';
import { timeline } from '../postgres/timeline.ts';
import { columnsOf, maxTime, minTime } from './commit-columns.ts';
import type { Commit, SegmentIndex } from './segment-index.ts';
import { decodeSegmentIndex, encodeSegmentIndex } from './segment-index-codec.ts';
import type { WalEvent } from './wal-event.ts';

const segmentBytes = 16_777_216;
/** Objects like those that we make: with a prototype. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }).map(lsn);
const anyTime = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const anyTimeline = fc.integer({ min: 1, max: 0xffff_ffff }).map(timeline);
const locator = record({ spcOid: u32, dbOid: u32, relNumber: u32 });
const fork = fc.integer({ min: 0, max: 3 });
const walLevel = fc.constantFrom('minimal', 'replica', 'logical');

/** Every kind of event, by its name: one that is forgotten here does not compile. */
const eventFields: { [Kind in WalEvent['kind']]: fc.Arbitrary<Omit<WalEvent & { kind: Kind }, 'kind' | 'lsn'>> } = {
  checkpoint: record({
    shutdown: fc.boolean(),
    redoLsn: u64,
    timeline: anyTimeline,
    previousTimeline: anyTimeline,
    walLevel: fc.option(walLevel, { nil: undefined }),
  }),
  'checkpoint-redo': record({ walLevel }),
  'end-of-recovery': record({
    time: anyTime,
    timeline: anyTimeline,
    previousTimeline: anyTimeline,
    walLevel: fc.option(walLevel, { nil: undefined }),
  }),
  'parameter-change': record({ walLevel }),
  'full-page-writes': record({ enabled: fc.boolean() }),
  'backup-end': record({ startLsn: u64 }),
  switch: fc.constant({}),
  'overwrite-contrecord': record({ overwrittenLsn: u64, time: anyTime }),
  prepare: record({ xid: u32, time: anyTime }),
  'relation-create': record({ relation: record({ spcOid: u32, dbOid: u32, relNumber: u32, fork }) }),
  'relation-truncate': record({ relation: locator, blocks: u32, forks: fc.subarray([0, 1, 2, 3]) }),
  'relation-drop': record({ xid: u32, relations: fc.array(locator, { maxLength: 5 }) }),
  'database-create': record({ strategy: fc.constantFrom('file-copy', 'wal-log'), dbOid: u32, spcOid: u32 }),
  'database-drop': record({ dbOid: u32, spcOids: fc.array(u32, { maxLength: 4 }) }),
  'tablespace-create': record({ spcOid: u32, path: fc.string() }),
  'tablespace-drop': record({ spcOid: u32 }),
  'untracked-change': record({ resourceManager: fc.integer({ min: 0, max: 255 }) }),
};

const eventsAt = (startLsn: bigint): fc.Arbitrary<WalEvent[]> => {
  const one = fc
    .constantFrom(...(Object.keys(eventFields) as WalEvent['kind'][]))
    .chain((kind) =>
      fc
        .tuple(fc.integer({ min: 0, max: segmentBytes / 8 - 1 }), eventFields[kind])
        .map(([units, fields]) => ({ kind, lsn: lsn(startLsn + BigInt(units * 8)), ...fields }) as WalEvent),
    );
  return fc.array(one, { maxLength: 20 }).map((events) => events.toSorted((a, b) => Number(a.lsn - b.lsn)));
};

const commitsAt = (startLsn: bigint): fc.Arbitrary<Commit[]> =>
  fc
    .array(
      record({
        xid: u32,
        time: fc.oneof(fc.integer({ min: 848_000_000, max: 848_100_000 }), fc.integer({ min: minTime, max: maxTime })),
        gap: fc.integer({ min: 0, max: 1000 }),
        length: fc.integer({ min: 5, max: 200 }),
        kind: fc.constantFrom('commit', 'commit', 'commit', 'abort', 'commit-prepared', 'abort-prepared'),
      }),
      { maxLength: 50 },
    )
    .map((rows) => {
      let end = startLsn;
      return rows.map(({ xid, time, gap, length, kind }) => {
        const start = end + BigInt(gap * 8);
        end = start + BigInt(length * 8);
        return { xid, lsn: lsn(start), endLsn: lsn(end), time: BigInt(time), kind };
      });
    });

const changes = fc
  .uniqueArray(
    record({
      relation: record({
        spcOid: fc.constantFrom(1663, 1664, 16_500),
        dbOid: fc.oneof(fc.constantFrom(0, 1, 5), u32),
        relNumber: u32,
        fork,
      }),
      blocks: fc.uniqueArray(fc.oneof(fc.integer({ min: 0, max: 100 }), u32)),
      truncatedTo: fc.option(u32, { nil: undefined }),
    }),
    { maxLength: 20, selector: ({ relation }) => JSON.stringify(relation) },
  )
  .map((list) =>
    list
      .toSorted(
        ({ relation: a }, { relation: b }) =>
          a.spcOid - b.spcOid || a.dbOid - b.dbOid || a.relNumber - b.relNumber || a.fork - b.fork,
      )
      .map(({ relation, blocks, truncatedTo }) => {
        const list_ = Uint32Array.from(blocks).toSorted();
        return truncatedTo === undefined ? { relation, blocks: list_ } : { relation, blocks: list_, truncatedTo };
      }),
  );

const units = fc.integer({ min: 0, max: segmentBytes / 8 - 1 });
const bytes = fc.uint8Array({ maxLength: 100 });

const anyIndex: fc.Arbitrary<SegmentIndex> = fc.bigInt({ min: 0n, max: 2n ** 39n }).chain((number) => {
  const startLsn = lsn(number * BigInt(segmentBytes));
  const at = units.map((value) => lsn(startLsn + BigInt(value * 8)));
  return record({
    walMagic: fc.constantFrom(0xd10d, 0xd110, 0xd118),
    systemIdentifier: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(systemIdentifier),
    timeline: anyTimeline,
    links: fc.option(
      record({ firstRecordLsn: at, back: fc.option(fc.bigInt({ min: 1n, max: 2n ** 25n }), { nil: undefined }) }),
      { nil: undefined },
    ),
    lastRecordLsn: fc.option(at, { nil: undefined }),
    usedEndLsn: at,
    ending: fc.constantFrom('full', 'switch', 'end-of-wal'),
    commits: commitsAt(startLsn),
    restorePoints: fc.array(
      record({ name: fc.string({ maxLength: 20 }), units, time: anyTime }).map(({ name, units: value, time }) => {
        const start = startLsn + BigInt(value * 8);
        return { name, lsn: lsn(start), endLsn: lsn(start + 8n), time };
      }),
      { maxLength: 3 },
    ),
    changes,
    events: eventsAt(startLsn),
    more: fc.nat(1_000_000),
    head: bytes,
    tail: fc.option(record({ lsn: at, bytes }), { nil: undefined }),
    problem: fc.option(fc.string(), { nil: undefined }),
  }).map(({ more, problem, links, ...rest }) => ({
    ...rest,
    firstRecordLsn: links?.firstRecordLsn,
    // none is before the beginning of WAL
    previousRecordLsn:
      links?.back === undefined || links.back > links.firstRecordLsn
        ? undefined
        : lsn(links.firstRecordLsn - links.back),
    postgresMajor: { 0xd10d: 14, 0xd110: 15, 0xd118: 18 }[rest.walMagic],
    startLsn,
    endLsn: lsn(startLsn + BigInt(segmentBytes)),
    walBlockBytes: 8192,
    commitColumns: columnsOf(rest.commits, startLsn),
    continuationBytes: rest.head.length + more,
    ...(problem !== undefined && { problem }),
  }));
});

describe('a stored WAL index', () => {
  it('reads back as what was stored', () => {
    fc.assert(
      fc.property(anyIndex, (index) => {
        const stored = encodeSegmentIndex(index);
        const read = decodeSegmentIndex(stored);
        assert.deepEqual(read, index);
        assert.deepEqual(encodeSegmentIndex(read), stored);
      }),
    );
  });

  it('can be stored from its commits alone', () => {
    fc.assert(
      fc.property(anyIndex, ({ commitColumns, ...rest }) => {
        assert.deepEqual(decodeSegmentIndex(encodeSegmentIndex(rest)).commitColumns, commitColumns);
      }),
    );
  });

  it('is refused wherever it is cut', () => {
    fc.assert(
      fc.property(anyIndex, (index) => {
        const stored = encodeSegmentIndex(index);
        for (let cut = 0; cut < stored.length; cut += 1) {
          assert.throws(() => decodeSegmentIndex(stored.subarray(0, cut)), { code: 'decode' });
        }
        assert.throws(() => decodeSegmentIndex(Buffer.concat([stored, Buffer.alloc(1)])), { code: 'decode' });
      }),
      { numRuns: 20 },
    );
  });

  it('ends in a clear error or in values that make sense, whatever its bytes', () => {
    fc.assert(
      fc.property(anyIndex, fc.nat(), fc.integer({ min: 0, max: 255 }), (index, place, value) => {
        const stored = Uint8Array.from(encodeSegmentIndex(index));
        stored[place % stored.length] = value;
        try {
          const read = decodeSegmentIndex(stored);
          assert.ok(read.commits.every((commit) => commit.lsn >= read.startLsn && commit.endLsn <= read.endLsn));
          assert.ok(read.events.every((event) => event.lsn >= read.startLsn && event.lsn < read.endLsn));
          assert.ok(encodeSegmentIndex(read).length > 0);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'decode', String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('does not believe counts that its size cannot hold', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
        assert.throws(() => decodeSegmentIndex(garbage), { code: 'decode' });
        const begun = Buffer.concat([Buffer.from([1, 0x90, 0xa2, 3, 1, 1, 24, 13, 0, 0, 0, 0, 0]), garbage]);
        try {
          decodeSegmentIndex(begun);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'decode', String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('takes five bytes a commit and about one a block', () => {
    const startLsn = lsn(0x5_0000_0000n);
    const commits = Array.from({ length: 1000 }, (_, index): Commit => {
      const start = startLsn + BigInt(index * 504);
      const time = 848_738_314_000_000n + BigInt(index * 700);
      return { xid: 1000 + index, lsn: lsn(start), endLsn: lsn(start + 40n), time, kind: 'commit' };
    });
    const blocks = Uint32Array.from({ length: 5000 }, (_, index) => index * 3);
    const empty = decodeSegmentIndex(encodeSegmentIndex(sampleOf([], new Uint32Array(0))));
    const base = encodeSegmentIndex(empty).length;
    assert.ok(encodeSegmentIndex(sampleOf(commits, new Uint32Array(0))).length - base < 5020);
    assert.ok(encodeSegmentIndex(sampleOf([], blocks)).length - base < 5020);

    function sampleOf(list: readonly Commit[], touched: Uint32Array): SegmentIndex {
      return {
        walMagic: 0xd110,
        postgresMajor: 15,
        systemIdentifier: systemIdentifier(7n),
        timeline: timeline(1),
        startLsn,
        endLsn: lsn(startLsn + 16_777_216n),
        walBlockBytes: 8192,
        firstRecordLsn: undefined,
        previousRecordLsn: undefined,
        lastRecordLsn: undefined,
        usedEndLsn: startLsn,
        ending: 'full',
        commits: list,
        restorePoints: [],
        changes: [{ relation: { spcOid: 1663, dbOid: 5, relNumber: 16_384, fork: 0 }, blocks: touched }],
        events: [],
        continuationBytes: 0,
        head: new Uint8Array(0),
        tail: undefined,
      };
    }
  });
});
