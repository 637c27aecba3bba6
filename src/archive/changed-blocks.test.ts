import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  archived,
  askForBlocks,
  assertUnfit,
  blocksIn,
  firstLsn,
  firstNumber,
  relNumber,
} from '../../test/support/changed-wal.ts';
import { touch } from '../../test/support/indexed-wal.ts';
import {
  gibibyte,
  madeUpIndex,
  mebibyte,
  nameOf,
  putMadeUp,
  segmentAt,
  testArchive,
} from '../../test/support/test-archive.ts';
import { i64, u32, WalBuilder } from '../../test/support/wal-builder.ts';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import { timeline } from '../postgres/timeline.ts';

/** Segments in which block 10, 11, 12 … is touched at the beginning, and 20, 21, 22 … by a record that goes on in the next. */
function segmentsOfWal(count: number): { readonly builder: WalBuilder; readonly starts: Lsn[]; readonly end: Lsn } {
  const builder = new WalBuilder();
  const starts: Lsn[] = [];
  for (let i = 0; i < count; i += 1) {
    starts.push(touch(builder, 10 + i));
    builder.fillTo(mebibyte - 32);
    touch(builder, 20 + i);
  }
  builder.fillTo(8192);
  // what comes after the stretch
  const end = builder.filler(64);
  return { builder, starts, end };
}

function fillUpTo(builder: WalBuilder, offset: number): void {
  // the builder fills pages, and no room of less than a record
  if (Number(builder.lsn % 8192n) > 8192 - 64) builder.filler(128);
  if (Number(builder.lsn % BigInt(mebibyte)) + 64 < offset) builder.fillTo(offset);
}

function truncate(builder: WalBuilder, blocks: number): Lsn {
  return builder.record({ resourceManager: 2, info: 0x20, main: u32(blocks, 1663, 5, relNumber, 1) });
}

const at = (starts: readonly Lsn[], i: number): Lsn => starts[i] ?? firstLsn;

describe('the blocks that archived WAL says were changed', () => {
  it('are those of every record, also of one that crosses from a segment into the next', async () => {
    const { builder, starts, end } = segmentsOfWal(4);
    const archive = await archived(builder);
    const evidence = await askForBlocks(archive, { from: at(starts, 0), to: end });
    assert.deepEqual(blocksIn(evidence), [10, 11, 12, 13, 20, 21, 22, 23]);
    assert.ok('changed' in evidence && evidence.changed.blockCount === 8);
  });

  it('are those of whole segments where the stretch begins or ends within one', async () => {
    const { builder, starts } = segmentsOfWal(4);
    const archive = await archived(builder);
    // it starts behind the first record of segment 1, and ends before the first one of segment 2
    const evidence = await askForBlocks(archive, { from: lsn(at(starts, 1) + 64n), to: at(starts, 2) });
    assert.deepEqual(blocksIn(evidence), [11, 12, 21]);
    assert.deepEqual(blocksIn(await askForBlocks(archive, { from: at(starts, 1), to: at(starts, 1) })), []);
  });

  it('do not wait for a segment of which only the page header comes before the end', async () => {
    const builder = new WalBuilder();
    const from = touch(builder, 1);
    builder.switchSegment();
    const to = builder.lsn;
    assert.equal(to, firstLsn + BigInt(mebibyte) + 40n);
    touch(builder, 2);
    assert.deepEqual(blocksIn(await askForBlocks(await archived(builder, [1]), { from, to })), [1]);
  });

  it('are unknown where the end lies within a record, whose blocks may be either in or out', async () => {
    const builder = new WalBuilder();
    const from = touch(builder, 1);
    builder.fillTo(mebibyte - 32);
    touch(builder, 2);
    builder.fillTo(8192);
    const evidence = await askForBlocks(await archived(builder), { from, to: lsn(firstLsn + BigInt(mebibyte) + 40n) });
    assertUnfit(evidence, /^5\/100028 lies within the WAL record at 5\/FFFE0$/);
  });

  it('are read from the segments where those have no index', async () => {
    const { builder, starts, end } = segmentsOfWal(3);
    const archive = await archived(builder);
    for (const key of archive.objects.keys()) if (key.includes('/wal-index/')) archive.objects.delete(key);
    const evidence = await askForBlocks(archive, { from: at(starts, 0), to: end });
    assert.deepEqual(blocksIn(evidence), [10, 11, 12, 20, 21, 22]);
  });

  it('are read from the index of whole logs', async () => {
    const archive = await testArchive({ segmentBytes: gibibyte });
    const { store } = archive;
    for (let number = 4; number < 13; number += 1) {
      const of = segmentAt(number);
      await putMadeUp(store, of);
      const changes = [{ relation: { spcOid: 1663, dbOid: 5, relNumber, fork: 0 }, blocks: Uint32Array.of(number) }];
      await store.index.write(of, { ...madeUpIndex(of, gibibyte), changes });
    }
    for (const log of [1n, 2n]) assert.equal(await store.index.rollUpLog(timeline(1), log), true);
    const start = (number: number): Lsn => lsn(BigInt(number) * BigInt(gibibyte) + 40n);
    assert.deepEqual(blocksIn(await askForBlocks(archive, { from: start(5), to: start(12) })), [5, 6, 7, 8, 9, 10, 11]);
  });

  it('are all that its records touch, and no others than those of the segments at its ends', async () => {
    const written = fc.array(
      fc.oneof(
        { weight: 5, arbitrary: fc.record({ block: fc.nat(99) }) },
        { weight: 1, arbitrary: fc.record({ cutTo: fc.integer({ min: 1, max: 99 }) }) },
        // up to some bytes before the end of a segment, where the next record does not fit
        { weight: 2, arbitrary: fc.record({ before: fc.integer({ min: 4, max: 30 }).map((units) => units * 8) }) },
      ),
      { minLength: 3, maxLength: 25 },
    );
    await fc.assert(
      fc.asyncProperty(written, fc.nat(24), fc.nat(24), async (list, one, other) => {
        const builder = new WalBuilder();
        const records: { lsn: Lsn; touched: (block: number) => boolean }[] = [];
        for (const each of list) {
          if ('before' in each) fillUpTo(builder, mebibyte - each.before);
          else if ('block' in each) records.push({ lsn: touch(builder, each.block), touched: (b) => b === each.block });
          else records.push({ lsn: truncate(builder, each.cutTo), touched: (b) => b >= each.cutTo });
        }
        const positions = [...records.map(({ lsn: start }) => start), builder.filler(64)];
        const [from, to] = [one, other]
          .map((i) => positions[i % positions.length] ?? firstLsn)
          .toSorted((a, b) => Number(a - b));
        assert.ok(from !== undefined && to !== undefined);
        const segment = (position: Lsn): bigint => position / BigInt(mebibyte);
        const blocksOf = (within: (start: Lsn) => boolean): number[] =>
          Array.from({ length: 100 }, (_, block) => block).filter((block) =>
            records.some(({ lsn: start, touched }) => within(start) && touched(block)),
          );
        const least = blocksOf((start) => start >= from && start < to);
        const most = blocksOf((start) => segment(start) >= segment(from) && segment(start) <= segment(to));
        const found = blocksIn(await askForBlocks(await archived(builder), { from, to }));
        assert.ok(found !== 'whole');
        assert.deepEqual(
          least.filter((block) => !found.includes(block)),
          [],
          'left out',
        );
        assert.deepEqual(
          found.filter((block) => !most.includes(block)),
          [],
          'too many',
        );
      }),
      { numRuns: 60 },
    );
  });

  it('are unknown where a segment is missing, wherever it lies', async () => {
    const { builder, starts, end } = segmentsOfWal(4);
    for (const missing of [0, 1, 2, 3, 4]) {
      const archive = await archived(builder, [missing]);
      const name = nameOf(firstNumber + missing);
      assertUnfit(
        await askForBlocks(archive, { from: at(starts, 0), to: end }),
        new RegExp(`^WAL segment ${name} is not in the archive$`),
        name,
      );
    }
  });

  it('may end in a segment of which the archive has the beginning, with the record that comes next', async () => {
    const { builder, starts } = segmentsOfWal(2);
    const to = touch(builder, 50);
    const next = touch(builder, 51);
    const name = nameOf(firstNumber + 2);
    const from = at(starts, 0);
    for (const [end, isEnough] of [
      [lsn(to - 8n), false],
      [to, false],
      [next, true],
    ] as const) {
      const archive = await archived(builder, [2]);
      const beginning = builder.segments[2]?.subarray(0, Number(end % 1_048_576n));
      assert.ok(beginning);
      await archive.store.putPartial(name, beginning);
      const evidence = await askForBlocks(archive, { from, to });
      if (isEnough) assert.deepEqual(blocksIn(evidence), [10, 11, 20, 21, 50]);
      else assertUnfit(evidence, /^WAL segment \w+ is archived only up to \S+, not beyond \S+$/, name);
    }
  });

  it('are unknown where a segment was archived before it was full, and others follow', async () => {
    const { builder, starts, end } = segmentsOfWal(3);
    const archive = await archived(builder, [1]);
    const beginning = (builder.segments[1] ?? Buffer.alloc(0)).subarray(0, 65_536);
    await archive.store.putPartial(nameOf(firstNumber + 1), beginning);
    assertUnfit(
      await askForBlocks(archive, { from: at(starts, 0), to: end }),
      /^WAL segment 0000000100000005000000\w+ is archived only up to .*, and others follow it$/,
      nameOf(firstNumber + 1),
    );
  });

  it('are unknown where WAL is damaged, or goes on with something else', async () => {
    const { builder, starts, end } = segmentsOfWal(3);
    const asked = { from: at(starts, 0), to: end };
    builder.segments[1]?.fill(0xff, 300_000, 400_000);
    assertUnfit(
      await askForBlocks(await archived(builder), asked),
      /^WAL segment \w+ cannot be read to its end: .* at byte \d+/,
    );
    const { builder: intact } = segmentsOfWal(3);
    const { builder: other } = segmentsOfWal(3);
    const [first = Buffer.alloc(0)] = intact.segments;
    // the record that ends segment 0 is a longer one than the one that segment 1 goes on with
    first.writeUInt32LE(4000, mebibyte - 32);
    other.segments[0] = first;
    assertUnfit(
      await askForBlocks(await archived(other), asked),
      /^WAL cannot be read from \w+ on to \w+: the record at /,
    );
  });

  it('are unknown where WAL is of a version that pgrecall does not know', async () => {
    const builder = new WalBuilder({ walMagic: 0xd999 });
    const from = touch(builder, 1);
    assertUnfit(
      await askForBlocks(await archived(builder), { from, to: lsn(from + 100n) }),
      /does not know \(magic 0xD999\)/,
    );
  });

  it('are unknown where neither index nor segment can be read', async () => {
    const { builder, starts, end } = segmentsOfWal(2);
    const archive = await archived(builder);
    for (const [key, bytes] of archive.objects) {
      if (!key.includes(nameOf(firstNumber + 1))) continue;
      const damaged = Uint8Array.from(bytes);
      damaged.fill(0x55, Math.floor(bytes.length / 3));
      archive.objects.set(key, damaged);
    }
    const name = nameOf(firstNumber + 1);
    const evidence = await askForBlocks(archive, { from: at(starts, 0), to: end });
    assertUnfit(evidence, new RegExp(`^WAL segment ${name} cannot be read: `));
  });

  it('stops when it is told to', async () => {
    const { builder, starts, end } = segmentsOfWal(2);
    const signal = AbortSignal.abort(new Error('enough'));
    await assert.rejects(askForBlocks(await archived(builder), { from: at(starts, 0), to: end, signal }), /enough/);
  });
});

describe('WAL that does not tell every change', () => {
  const xlog = (info: number, main: Buffer) => (builder: WalBuilder) =>
    builder.record({ resourceManager: 0, info, main });
  const checkpoint = (walLevel: number): Buffer =>
    Buffer.concat([i64(firstLsn), u32(1, 1, 1, walLevel), Buffer.alloc(64)]);
  const minimal: readonly (readonly [string, (builder: WalBuilder) => Lsn])[] = [
    ['a change of settings', xlog(0x60, Buffer.concat([u32(100, 8, 10, 0, 64, 0), Buffer.alloc(4)]))],
    ['a checkpoint', xlog(0x10, checkpoint(0))],
    ['the checkpoint of a shutdown', xlog(0x00, checkpoint(0))],
    ['where a checkpoint begins', xlog(0xe0, u32(0))],
    ['the end of a recovery', xlog(0x90, Buffer.concat([i64(1n), u32(1, 1, 0)]))],
  ];

  for (const [what, write] of minimal) {
    it(`was written with wal_level = minimal: ${what} tells`, async () => {
      const builder = new WalBuilder({ walMagic: 0xd116 });
      const from = touch(builder, 1);
      const where = write(builder);
      const to = touch(builder, 2);
      const end = builder.filler(64);
      builder.filler(64);
      const archive = await archived(builder);
      const why = new RegExp(
        `^wal_level was minimal at 5/${where.toString(16).slice(1).replace(/^0+/, '').toUpperCase()},`,
      );
      assertUnfit(await askForBlocks(archive, { from, to: end }), why);
      assertUnfit(await askForBlocks(archive, { from: where, to }), why);
      // before and after is none of our business
      assert.deepEqual(blocksIn(await askForBlocks(archive, { from, to: where })), [1, 2]);
      assert.deepEqual(blocksIn(await askForBlocks(archive, { from: to, to: end })), [1, 2]);
    });
  }

  it('has changes of an extension that its records do not refer to', async () => {
    const builder = new WalBuilder();
    const from = touch(builder, 1);
    builder.record({ resourceManager: 200, info: 0x31 });
    builder.fillTo(8192);
    const archive = await archived(builder);
    assertUnfit(
      await askForBlocks(archive, { from, to: builder.lsn }),
      /^an extension \(resource manager 200\) changed files at /,
    );
  });

  it('tells in the record between two segments', async () => {
    const builder = new WalBuilder({ walMagic: 0xd116 });
    const from = touch(builder, 1);
    builder.fillTo(mebibyte - 32);
    minimal[1]?.[1](builder);
    builder.fillTo(8192);
    assertUnfit(
      await askForBlocks(await archived(builder), { from, to: builder.lsn }),
      /^wal_level was minimal at 5\/FFFE0,/,
    );
  });
});

describe('WAL of another server, or of this one before its disk was put back', () => {
  it('is noticed where it lies between, although no segment is missing', async () => {
    const switched = (records: number): WalBuilder => {
      const builder = new WalBuilder();
      for (let i = 0; i < records; i += 1) touch(builder, i);
      builder.switchSegment();
      touch(builder, 50);
      builder.filler(64);
      return builder;
    };
    const asked = { from: lsn(firstLsn + 40n), to: lsn(firstLsn + BigInt(mebibyte) + 80n) };
    assert.deepEqual(blocksIn(await askForBlocks(await archived(switched(3)), asked)), [0, 1, 2, 50]);
    const mixed = switched(3);
    mixed.segments[1] = switched(4).segments[1] ?? Buffer.alloc(0);
    assertUnfit(
      await askForBlocks(await archived(mixed), asked),
      /^WAL segment \w+01 does not go on from where \w+00 ends$/,
    );
  });

  /** A record, two checkpoints with the redo of each before them, and a record; the second checkpoint there, or behind the boundary. */
  function withCheckpoints(secondAt: number) {
    const builder = new WalBuilder();
    const checkpoint = (redo: Lsn): Lsn =>
      builder.record({ resourceManager: 0, info: 0x10, main: Buffer.concat([i64(redo), u32(1, 1), Buffer.alloc(72)]) });
    const from = touch(builder, 1);
    const first = checkpoint(from);
    builder.fillTo(mebibyte - 4096);
    const to = touch(builder, 2);
    builder.fillTo(secondAt);
    if (secondAt > mebibyte - 64) builder.filler(mebibyte - secondAt);
    const second = checkpoint(to);
    builder.filler(64);
    return { builder, from, to, checkpoints: { from: first, to: second } };
  }

  it('has no checkpoint where the backups began', async () => {
    for (const secondAt of [mebibyte - 1024, mebibyte - 64, mebibyte - 32]) {
      const { builder, from, to, checkpoints } = withCheckpoints(secondAt);
      const archive = await archived(builder);
      assert.deepEqual(blocksIn(await askForBlocks(archive, { from, to, checkpoints })), [1, 2]);
      const elsewhere = { ...checkpoints, from: lsn(checkpoints.from + 8n) };
      assertUnfit(
        await askForBlocks(archive, { from, to, checkpoints: elsewhere }),
        /^the archived WAL has no checkpoint at 5\/68 that begins at 5\/28: another server wrote it, or/,
      );
      const before = { ...checkpoints, to: checkpoints.from };
      assertUnfit(
        await askForBlocks(archive, { from, to, checkpoints: before }),
        /^the archived WAL has no checkpoint at /,
      );
    }
  });

  it('is told from that of this server only when its last checkpoint is archived', async () => {
    const { builder, from, to, checkpoints } = withCheckpoints(mebibyte - 32);
    const archive = await archived(builder, [1]);
    const name = nameOf(firstNumber + 1);
    assert.deepEqual(
      blocksIn(await askForBlocks(archive, { from, to, checkpoints: { from: checkpoints.from } })),
      [1, 2],
    );
    assertUnfit(await askForBlocks(archive, { from, to, checkpoints }), /is not in the archive$/, name);
    const used = builder.segments[1]?.subarray(0, 8192);
    assert.ok(used);
    await archive.store.putPartial(name, used);
    assert.deepEqual(blocksIn(await askForBlocks(archive, { from, to, checkpoints })), [1, 2]);
  });
});
