import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { BlockChangeSet, mergeBlockChanges } from './block-changes.ts';
import type { BlockChanges } from './segment-index.ts';

interface Step {
  readonly relNumber: number;
  readonly fork: number;
  readonly block: number;
  readonly cut: boolean;
}

/** The same in the plainest way: sets of blocks, deleted from when a relation is cut. */
function expected(steps: readonly Step[]): BlockChanges[] {
  const relations = new Map<string, { step: Step; blocks: Set<number>; truncatedTo: number | undefined }>();
  for (const step of steps) {
    const key = `${step.relNumber}.${step.fork}`;
    const entry = relations.get(key) ?? { step, blocks: new Set<number>(), truncatedTo: undefined };
    relations.set(key, entry);
    if (!step.cut) entry.blocks.add(step.block);
    else {
      for (const block of entry.blocks) if (block >= step.block) entry.blocks.delete(block);
      entry.truncatedTo = Math.min(step.block, entry.truncatedTo ?? Infinity);
    }
  }
  return [...relations.values()]
    .toSorted((a, b) => a.step.relNumber - b.step.relNumber || a.step.fork - b.step.fork)
    .map(({ step, blocks, truncatedTo }) => {
      const relation = { spcOid: 1663, dbOid: 5, relNumber: step.relNumber, fork: step.fork };
      const list = Uint32Array.from(blocks).toSorted();
      return truncatedTo === undefined ? { relation, blocks: list } : { relation, blocks: list, truncatedTo };
    });
}

function gathered(steps: readonly Step[], expectedBlocks?: number): BlockChanges[] {
  const set = new BlockChangeSet(expectedBlocks);
  for (const { relNumber, fork, block, cut } of steps) {
    if (cut) set.cut(1663, 5, relNumber, fork, block);
    else set.touch(1663, 5, relNumber, fork, block);
  }
  return set.finish();
}

const steps = fc.array(
  fc.record({
    relNumber: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 0xffff_ffff })),
    fork: fc.integer({ min: 0, max: 3 }),
    block: fc.oneof(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 0xffff_ffff })),
    cut: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  }),
  { maxLength: 400 },
);

describe('changed blocks', () => {
  it('are what a plain set of each relation would hold', () => {
    fc.assert(fc.property(steps, (list) => assert.deepEqual(gathered(list, 1), expected(list))));
  });

  it('are the same whether WAL is read at once or in stretches', () => {
    fc.assert(
      fc.property(steps, fc.array(fc.nat(400), { maxLength: 5 }), (list, cuts) => {
        const bounds = [0, ...cuts.toSorted((a, b) => a - b), list.length];
        const stretches = bounds.slice(1).map((to, index) => gathered(list.slice(bounds[index] ?? 0, to)));
        assert.deepEqual(mergeBlockChanges(stretches), gathered(list));
      }),
    );
  });

  it('can be a great many', () => {
    const set = new BlockChangeSet(1);
    for (let block = 99_999; block >= 0; block -= 1) set.touch(1, block % 100, 7, 0, block * 40_000);
    const changes = set.finish();
    assert.equal(changes.length, 100);
    assert.ok(changes.every((change) => change.blocks.length === 1000));
  });
});
