import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { BlockChangeSet } from './block-changes.ts';
import { BlockTable } from './block-table.ts';
import type { BlockChanges } from './segment-index.ts';
import type { RelationFork } from './wal-event.ts';

/** What WAL does, one after the other: a run of blocks touched, a fork cut, a database created or dropped. */
type Step =
  | { readonly kind: 'touch'; readonly relation: RelationFork; readonly blocks: readonly number[] }
  | { readonly kind: 'cut'; readonly relation: RelationFork; readonly to: number }
  | { readonly kind: 'replace'; readonly spcOid: number; readonly dbOid: number };

const tablespaces = [1663, 16_500];
const databases = [5, 16_384];
const relation = fc.record({
  spcOid: fc.constantFrom(...tablespaces),
  dbOid: fc.constantFrom(...databases),
  relNumber: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 3 }) }, fc.constant(0xffff_ffff)),
  fork: fc.constantFrom(0, 0, 0, 3),
});
/** Near the edges of chunks, as often as anywhere. */
const block = fc.oneof(
  fc.constantFrom(0, 1, 65_535, 65_536, 65_537, 131_071, 131_072),
  fc.integer({ min: 0, max: 40 }),
  fc.integer({ min: 65_530, max: 65_545 }),
  fc.integer({ min: 0, max: 200_000 }),
);
/** Up to twice as many as a list holds before it becomes a bitmap. */
const run = fc
  .record({
    first: block,
    count: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.nat(9000)),
    stride: fc.integer({ min: 1, max: 9 }),
  })
  .map(({ first, count, stride }) => Array.from({ length: count }, (_, i) => first + i * stride));

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('touch' as const), relation, blocks: run }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('cut' as const), relation, to: fc.oneof(fc.constant(0), block) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('replace' as const),
      spcOid: fc.constantFrom(...tablespaces),
      dbOid: fc.constantFrom(...databases),
    }),
  },
);
const steps = fc.array(step, { maxLength: 30 });
const splits = fc.array(fc.nat(30), { maxLength: 4 });

/** As the indexes of segments have it, each of some of the steps. */
function inStretches(list: readonly Step[], at: readonly number[]): BlockChanges[][] {
  const bounds = [0, ...at.toSorted((a, b) => a - b), list.length];
  return bounds.slice(1).map((to, i) => {
    const set = new BlockChangeSet();
    for (const each of list.slice(bounds[i] ?? 0, to)) {
      if (each.kind === 'replace') {
        set.cut(each.spcOid, each.dbOid, 0, 0, 0);
        continue;
      }
      const { spcOid, dbOid, relNumber, fork } = each.relation;
      if (each.kind === 'cut') set.cut(spcOid, dbOid, relNumber, fork, each.to);
      else for (const one of each.blocks) set.touch(spcOid, dbOid, relNumber, fork, one);
    }
    return set.finish();
  });
}

function tableOf(list: readonly Step[], at: readonly number[] = []): BlockTable {
  const table = new BlockTable();
  for (const changes of inStretches(list, at)) table.add(changes);
  return table;
}

const isSame = (a: RelationFork, b: RelationFork): boolean =>
  a.spcOid === b.spcOid && a.dbOid === b.dbOid && a.relNumber === b.relNumber && a.fork === b.fork;

/** The blocks that count in the plainest way: all of them, or a set with everything from a cut on. */
function naive(list: readonly Step[], of: RelationFork, first: number, end: number): number[] | 'whole' | undefined {
  const touched = new Set<number>();
  let cut = Infinity;
  for (const each of list) {
    if (each.kind === 'replace') {
      if (each.spcOid === of.spcOid && each.dbOid === of.dbOid) cut = 0;
    } else if (isSame(each.relation, of)) {
      if (each.kind === 'cut') cut = Math.min(cut, each.to);
      else for (const one of each.blocks) touched.add(one);
    }
  }
  if (cut <= first) return 'whole';
  const blocks: number[] = [];
  for (let one = first; one < end; one += 1) if (one >= cut || touched.has(one)) blocks.push(one);
  return blocks.length === 0 ? undefined : blocks;
}

function found(table: BlockTable, of: RelationFork, first: number, end: number): number[] | 'whole' | undefined {
  const changed = table.of(of, first, end);
  return changed?.whole ? 'whole' : changed && [...changed.blocks];
}

describe('the blocks that a stretch of WAL changed', () => {
  it('are what plain sets would hold, however WAL is split', () => {
    fc.assert(
      fc.property(steps, splits, relation, block, block, (list, at, any, one, other) => {
        const table = tableOf(list, at);
        const of = list.find((each) => each.kind !== 'replace')?.relation ?? any;
        const [first, last] = [Math.min(one, other), Math.max(one, other)];
        for (const each of [of, any]) {
          assert.deepEqual(found(table, each, first, last + 1), naive(list, each, first, last + 1));
          assert.deepEqual(found(table, each, 0, 210_000), naive(list, each, 0, 210_000));
        }
      }),
      { numRuns: 150 },
    );
  });

  it('are counted one by one where they count so', () => {
    fc.assert(
      fc.property(steps, splits, (list, at) => {
        const relations = tablespaces.flatMap((spcOid) =>
          databases.flatMap((dbOid) =>
            [1, 2, 3, 0xffff_ffff].flatMap((relNumber) => [0, 3].map((fork) => ({ spcOid, dbOid, relNumber, fork }))),
          ),
        );
        const cutTo = (of: RelationFork): number =>
          Math.min(
            290_000,
            ...list.flatMap((each) => (each.kind === 'cut' && isSame(each.relation, of) ? [each.to] : [])),
          );
        const counts = relations.map((of) => {
          const blocks = naive(list, of, 0, cutTo(of));
          return typeof blocks === 'string' ? 0 : (blocks?.length ?? 0);
        });
        assert.equal(
          tableOf(list, at).blockCount,
          counts.reduce((sum, count) => sum + count, 0),
        );
      }),
      { numRuns: 25 },
    );
  });

  it('have every page that is not what it was, of files that grow, shrink and come anew', () => {
    const writes = fc.array(
      fc.oneof(
        { weight: 5, arbitrary: fc.record({ write: fc.nat(30) }) },
        { weight: 1, arbitrary: fc.record({ cut: fc.nat(30) }) },
      ),
      { maxLength: 40 },
    );
    const of = { spcOid: 1663, dbOid: 5, relNumber: 7, fork: 0 };
    fc.assert(
      fc.property(fc.nat(20), writes, splits, (length, list, at) => {
        const before = Array.from({ length }, (_, i) => `page ${i}`);
        const pages = [...before];
        for (const [i, each] of list.entries()) {
          if ('cut' in each) pages.length = Math.min(pages.length, each.cut);
          else {
            while (pages.length <= each.write) pages.push('zeros');
            pages[each.write] = `written ${i}`;
          }
        }
        const asSteps = list.map((each): Step =>
          'cut' in each
            ? { kind: 'cut', relation: of, to: each.cut }
            : { kind: 'touch', relation: of, blocks: [each.write] },
        );
        const changed = tableOf(asSteps, at).of(of, 0, pages.length);
        // beyond what there was, whoever compares reads anyway
        for (const [i, page] of pages.entries()) {
          if (page === before[i] || i >= before.length) continue;
          assert.ok(changed?.whole || changed?.blocks.includes(i), `page ${i} was "${before[i]}" and is "${page}"`);
        }
      }),
    );
  });

  it('are the whole of a free space map and of a visibility map, always', () => {
    const table = tableOf([
      { kind: 'touch', relation: { spcOid: 1663, dbOid: 5, relNumber: 7, fork: 2 }, blocks: [3] },
    ]);
    for (const fork of [1, 2]) {
      assert.equal(found(table, { spcOid: 1663, dbOid: 5, relNumber: 8, fork }, 0, 10), 'whole');
    }
    assert.equal(found(table, { spcOid: 1663, dbOid: 5, relNumber: 7, fork: 0 }, 0, 10), undefined);
    assert.equal(table.blockCount, 0);
  });

  it('reach to the last block that a relation can have', () => {
    const of = { spcOid: 1663, dbOid: 5, relNumber: 7, fork: 0 };
    const last = 0xffff_fffe;
    const table = tableOf([{ kind: 'touch', relation: of, blocks: [0, last] }]);
    assert.deepEqual(found(table, of, 0, 2 ** 32), [0, last]);
    assert.deepEqual(found(table, of, last - 1, last + 1), [last]);
    assert.equal(found(table, of, 1, last), undefined);
  });
});
