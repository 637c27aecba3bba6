import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { blocksOf, commit, index, moment, other, table, touch } from '../../test/support/indexed-wal.ts';
import { i64, u32, WalBuilder } from '../../test/support/wal-builder.ts';
import { readRecords } from './read-records.ts';
import { resourceManagerName } from './resource-managers.ts';
import { indexSegment } from './index-segment.ts';

describe('the index of a WAL segment', () => {
  it('tells when each transaction ended, and how', () => {
    const builder = new WalBuilder();
    const first = commit(builder, 700, moment);
    builder.record({ resourceManager: 1, info: 0x20, xid: 701, main: i64(moment + 1n) });
    // subtransactions, relations, statistics, invalidations, then the xid that was prepared
    const prepared = (extra: Buffer[]) =>
      Buffer.concat([
        i64(moment + 2n),
        u32(0x1 | 0x2 | 0x4 | 0x100 | 0x8 | 0x10, 5, 1663),
        u32(2, 900, 901),
        u32(1, ...table),
        u32(1, 1, 5, 16_384),
        ...extra,
        u32(702),
      ]);
    const invalidations = Buffer.concat([u32(1), Buffer.alloc(16, 7)]);
    builder.record({ resourceManager: 1, info: 0x30 | 0x80, xid: 0, main: prepared([invalidations]) });
    builder.record({ resourceManager: 1, info: 0x40 | 0x80, xid: 0, main: Buffer.concat([i64(-5n), u32(0x10, 703)]) });
    const made = index(builder);
    assert.equal(made.problem, undefined);
    assert.deepEqual(
      made.commits.map(({ xid, kind, time }) => [xid, kind, time]),
      [
        [700, 'commit', moment],
        [701, 'abort', moment + 1n],
        [702, 'commit-prepared', moment + 2n],
        [703, 'abort-prepared', -5n],
      ],
    );
    assert.equal(made.commits[0]?.lsn, first);
    assert.equal(made.commits[0]?.endLsn, first + 40n);
    assert.equal(made.firstRecordLsn, first);
    assert.equal(made.usedEndLsn, made.commits[3]?.endLsn);
    assert.deepEqual(blocksOf(made), {
      '1663/5/16384.0': { blocks: [], truncatedTo: 0 },
      '1663/5/16384.2': { blocks: [], truncatedTo: 0 },
      '1663/5/16384.3': { blocks: [], truncatedTo: 0 },
    });
  });

  it('reads the statistics dropped at a commit in the width of each version', () => {
    for (const [walMagic, words] of [
      [0xd110, 3],
      [0xd113, 3],
      [0xd116, 3],
      [0xd118, 4],
    ] as const) {
      const builder = new WalBuilder({ walMagic });
      const items = u32(2, ...Array.from({ length: 2 * words }, () => 9));
      const main = Buffer.concat([i64(moment), u32(0x100 | 0x10), items, u32(777)]);
      builder.record({ resourceManager: 1, info: 0x30 | 0x80, main });
      assert.equal(index(builder).commits[0]?.xid, 777, `magic ${walMagic}`);
    }
  });

  it('knows the five versions, and refuses to guess at another one', () => {
    const majors = [0xd10d, 0xd110, 0xd113, 0xd116, 0xd118, 0xd120].map((walMagic) => {
      const builder = new WalBuilder({ walMagic });
      commit(builder, 700, moment);
      return index(builder);
    });
    assert.deepEqual(
      majors.map((made) => made.postgresMajor),
      [14, 15, 16, 17, 18, undefined],
    );
    assert.equal(majors[4]?.problem, undefined);
    assert.match(majors[5]?.problem ?? '', /does not know \(magic 0xD120\)/);
    assert.deepEqual(majors[5]?.commits, []);
  });

  it('finds a restore point by its name', () => {
    const builder = new WalBuilder();
    const name = Buffer.alloc(64);
    name.write('before the disaster – 재해');
    const at = builder.record({ resourceManager: 0, info: 0x70, main: Buffer.concat([i64(moment), name]) });
    assert.deepEqual(index(builder).restorePoints, [
      { name: 'before the disaster – 재해', lsn: at, endLsn: at + 104n, time: moment },
    ]);
  });

  it('keeps what the server says about itself', () => {
    const builder = new WalBuilder({ walMagic: 0xd116 });
    const redo = 0x4_1234_5678n;
    const xlog = (info: number, main: Buffer) => builder.record({ resourceManager: 0, info, main });
    const at = [
      xlog(0x00, Buffer.concat([i64(redo), u32(2, 1, 1, 0), Buffer.alloc(64)])),
      xlog(0x10, Buffer.concat([i64(redo), u32(2, 2, 1, 2), Buffer.alloc(64)])),
      xlog(0xe0, u32(1)),
      xlog(0x60, Buffer.concat([u32(100, 8, 10, 0, 64, 0), Buffer.alloc(4)])),
      xlog(0x80, Buffer.from([1])),
      xlog(0x90, Buffer.concat([i64(moment), u32(3, 2, 1)])),
      xlog(0x50, i64(redo)),
      builder.record({ resourceManager: 1, info: 0x10, main: Buffer.concat([u32(0, 0, 705, 5), i64(moment)]) }),
      builder.record({ resourceManager: 5, info: 0, main: Buffer.concat([u32(16_500), Buffer.from('/srv/space\0')]) }),
      builder.record({ resourceManager: 5, info: 0x10, main: u32(16_500) }),
      builder.record({ resourceManager: 200, info: 0x31 }),
    ];
    assert.deepEqual(index(builder).events, [
      {
        kind: 'checkpoint',
        lsn: at[0],
        shutdown: true,
        redoLsn: redo,
        timeline: 2,
        previousTimeline: 1,
        walLevel: 'minimal',
      },
      {
        kind: 'checkpoint',
        lsn: at[1],
        shutdown: false,
        redoLsn: redo,
        timeline: 2,
        previousTimeline: 2,
        walLevel: 'logical',
      },
      { kind: 'checkpoint-redo', lsn: at[2], walLevel: 'replica' },
      { kind: 'parameter-change', lsn: at[3], walLevel: 'minimal' },
      { kind: 'full-page-writes', lsn: at[4], enabled: true },
      { kind: 'end-of-recovery', lsn: at[5], time: moment, timeline: 3, previousTimeline: 2, walLevel: 'replica' },
      { kind: 'backup-end', lsn: at[6], startLsn: redo },
      { kind: 'prepare', lsn: at[7], xid: 705, time: moment },
      { kind: 'tablespace-create', lsn: at[8], spcOid: 16_500, path: '/srv/space' },
      { kind: 'tablespace-drop', lsn: at[9], spcOid: 16_500 },
      { kind: 'untracked-change', lsn: at[10], resourceManager: 200 },
    ]);
  });

  it('reads no wal_level where versions before 17 have other fields', () => {
    const builder = new WalBuilder({ walMagic: 0xd113 });
    const xlog = (info: number, main: Buffer) => builder.record({ resourceManager: 0, info, main });
    xlog(0x00, Buffer.concat([i64(0x4_1234_5678n), u32(2, 1, 1, 0), Buffer.alloc(64)]));
    xlog(0x90, Buffer.concat([i64(moment), u32(3, 2)]));
    const { events, problem } = index(builder);
    assert.equal(problem, undefined);
    assert.deepEqual(
      events.map((event) => 'walLevel' in event && event.walLevel),
      [undefined, undefined],
    );
  });

  it('lists every block that was touched, once and in order', () => {
    const builder = new WalBuilder();
    for (const block of [7, 3, 7, 4_000_000_000, 0, 3]) touch(builder, block);
    touch(builder, 5, other);
    touch(builder, 1, table, 2);
    builder.record({
      blocks: [
        { relation: table, block: 8, image: { bytes: Buffer.alloc(8000, 1), flags: 0x3 } },
        { relation: table, block: 9, sameRelation: true, data: Buffer.from('data') },
        { relation: other, block: 6, image: { bytes: Buffer.alloc(99, 1), flags: 0x7, holeBytes: 300 } },
      ],
      origin: 4,
      topLevelXid: 699,
      main: Buffer.alloc(300),
    });
    assert.deepEqual(blocksOf(index(builder)), {
      '1663/5/16384.0': { blocks: [0, 3, 7, 8, 9, 4_000_000_000] },
      '1663/5/16384.2': { blocks: [1] },
      '1663/5/16390.0': { blocks: [5, 6] },
    });
  });

  it('reads images as 14 wrote them: other flags for the same thing', () => {
    const builder = new WalBuilder({ walMagic: 0xd10d });
    const image = (flags: number, holeBytes?: number) =>
      builder.record({
        blocks: [
          {
            relation: table,
            block: flags,
            image: { bytes: Buffer.alloc(50), flags, ...(holeBytes !== undefined && { holeBytes }) },
          },
        ],
      });
    image(0x4);
    image(0x5);
    image(0x7, 300);
    image(0x3, 300);
    const kinds = [...readRecords(builder.segment)].map((record) => record.blocks[0]?.image);
    assert.deepEqual(kinds, ['apply', 'apply', 'apply', 'verify']);
    assert.deepEqual(blocksOf(index(builder)), { '1663/5/16384.0': { blocks: [3, 4, 5, 7] } });
  });

  it('forgets blocks that a truncation cut away, and remembers those written after it', () => {
    const builder = new WalBuilder();
    for (const block of [1, 10, 20, 30]) touch(builder, block);
    // blkno, relation, flags: heap, visibility map, free space map
    builder.record({ resourceManager: 2, info: 0x21, main: u32(15, ...table, 7) });
    touch(builder, 20);
    const made = index(builder);
    assert.deepEqual(blocksOf(made), {
      '1663/5/16384.0': { blocks: [1, 10, 20], truncatedTo: 15 },
      // its only block told of heap blocks that are gone
      '1663/5/16384.2': { blocks: [0], truncatedTo: 1 },
    });
    assert.deepEqual(made.events[0], {
      kind: 'relation-truncate',
      lsn: made.events[0]?.lsn,
      relation: { spcOid: 1663, dbOid: 5, relNumber: 16_384 },
      blocks: 15,
      forks: [0, 1, 2],
    });
  });

  it('treats a created relation as new from its first block', () => {
    const builder = new WalBuilder();
    touch(builder, 3);
    const at = builder.record({ resourceManager: 2, info: 0x11, main: u32(...table, 0) });
    touch(builder, 0);
    builder.record({ resourceManager: 2, info: 0x11, main: u32(...other, 1) });
    const made = index(builder);
    // a free space map is never told by block
    assert.deepEqual(blocksOf(made), { '1663/5/16384.0': { blocks: [0], truncatedTo: 0 } });
    const relation = { spcOid: 1663, dbOid: 5, relNumber: 16_384, fork: 0 };
    assert.deepEqual(made.events[0], { kind: 'relation-create', lsn: at, relation });
  });

  it('marks a whole database when one is created or dropped, in the numbering of each version', () => {
    const cases: [number, number, string][] = [
      [0xd10d, 0x00, 'file-copy'],
      [0xd10d, 0x10, 'drop'],
      [0xd110, 0x00, 'file-copy'],
      [0xd110, 0x10, 'wal-log'],
      [0xd110, 0x20, 'drop'],
    ];
    for (const [walMagic, info, expected] of cases) {
      const builder = new WalBuilder({ walMagic });
      const main = expected === 'drop' ? u32(16_400, 2, 1663, 16_500) : u32(16_400, 1663, 1, 1663);
      builder.record({ resourceManager: 4, info: info | 1, main });
      const made = index(builder);
      const [event] = made.events;
      assert.equal(event?.kind === 'database-create' ? event.strategy : 'drop', expected);
      const whole = { blocks: [], truncatedTo: 0 };
      assert.deepEqual(
        blocksOf(made),
        expected === 'drop' ? { '1663/16400/0.0': whole, '16500/16400/0.0': whole } : { '1663/16400/0.0': whole },
      );
    }
  });

  it('follows records across pages, however large', () => {
    const builder = new WalBuilder();
    const main = Buffer.concat([i64(moment), u32(0x2), u32(100_000), Buffer.alloc(400_000, 1)]);
    builder.record({ resourceManager: 1, info: 0x80, xid: 700, main });
    touch(builder, 5);
    for (const verifyCrc of [true, false]) {
      const made = indexSegment(builder.segment, { verifyCrc });
      assert.equal(made.problem, undefined);
      assert.deepEqual(
        made.commits.map(({ xid, time }) => [xid, time]),
        [[700, moment]],
      );
      assert.deepEqual(blocksOf(made), { '1663/5/16384.0': { blocks: [5] } });
    }
  });

  it('works with pages of other sizes', () => {
    for (const pageBytes of [1024, 32_768, 65_536]) {
      const builder = new WalBuilder({ pageBytes });
      for (let block = 0; block < 500; block += 1) touch(builder, block);
      commit(builder, 700, moment);
      const made = index(builder);
      assert.equal(made.problem, undefined);
      assert.equal(made.commits.length, 1);
      assert.equal(made.changes[0]?.blocks.length, 500);
    }
  });
});

describe('records', () => {
  it('are listed with their parts', () => {
    const builder = new WalBuilder();
    const first = touch(builder, 7);
    const second = builder.record({
      resourceManager: 0,
      info: 0xb0,
      blocks: [{ relation: other, block: 9, fork: 2, image: { bytes: Buffer.alloc(3000), flags: 0x1 } }],
    });
    assert.deepEqual(
      [...readRecords(builder.segment, { verifyCrc: true })],
      [
        {
          lsn: first,
          endLsn: first + 56n,
          previousLsn: 0x5_0000_0000n - 64n,
          xid: 700,
          resourceManager: 'Heap',
          info: 0,
          lengthBytes: 50,
          mainBytes: 4,
          blocks: [
            { id: 0, relation: { spcOid: 1663, dbOid: 5, relNumber: 16_384, fork: 0 }, block: 7, image: 'none' },
          ],
        },
        {
          lsn: second,
          endLsn: second + 3056n,
          previousLsn: first,
          xid: 0,
          resourceManager: 'XLOG',
          info: 0xb0,
          lengthBytes: 3049,
          mainBytes: 0,
          blocks: [
            { id: 0, relation: { spcOid: 1663, dbOid: 5, relNumber: 16_390, fork: 2 }, block: 9, image: 'verify' },
          ],
        },
      ],
    );
  });

  it('carry resource managers that the version has', () => {
    assert.equal(resourceManagerName(21, 14), 'LogicalMessage');
    assert.equal(resourceManagerName(22, 18), undefined);
    assert.equal(resourceManagerName(128, 14), undefined);
    assert.equal(resourceManagerName(128, 15), 'custom128');
    assert.equal(resourceManagerName(256, 15), undefined);
  });
});
