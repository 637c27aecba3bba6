import { ForkNumbers, hashOf } from './fork-numbers.ts';
import type { BlockChanges } from './segment-index.ts';
import type { RelationFork } from './wal-event.ts';

/** Takes what records tell of blocks, in the order of WAL. */
export interface BlockChangeSink {
  touch(spcOid: number, dbOid: number, relNumber: number, fork: number, block: number): void;
  /** The fork has `blocks` blocks now; 0 where it is new, gone or replaced. */
  cut(spcOid: number, dbOid: number, relNumber: number, fork: number, blocks: number): void;
  /** Everything gathered, ordered by tablespace, database, relation and fork. */
  finish(): BlockChanges[];
}

/** Slots of the table: relation number + 1 (0 = free), block, how often the relation had been cut when last touched. */
const slotWords = 3;

/**
 * Gathers which blocks of which relations were touched, and where relations were cut, in the order of WAL.
 *
 * A block touched before its relation was cut below it does not count any more. Nothing is deleted for that: a block
 * remembers how many cuts its relation had seen when it was last touched, and the later cuts decide at the end.
 * One open-addressing table of 12-byte slots for all relations: a reference costs one probe.
 */
export class BlockChangeSet implements BlockChangeSink {
  readonly #forks = new ForkNumbers();
  readonly #cuts: (number[] | undefined)[] = [];
  readonly #cutCounts: number[] = [];
  readonly #lastBlocks: number[] = [];

  #table: Int32Array;
  #mask: number;
  #used = 0;

  constructor(expectedBlocks = 2048) {
    let slots = 64;
    while (slots < expectedBlocks * 2) slots *= 2;
    this.#table = new Int32Array(slots * slotWords);
    this.#mask = slots - 1;
  }

  touch(spcOid: number, dbOid: number, relNumber: number, fork: number, block: number): void {
    const relation = this.#relation(spcOid, dbOid, relNumber, fork);
    // most references repeat their relation's last one: inserts fill a page, small tables have one
    if (this.#lastBlocks[relation] === block) return;
    this.#lastBlocks[relation] = block;
    const cuts = this.#cutCounts[relation] ?? 0;
    const signed = block | 0;
    const table = this.#table;
    let slot = hashOf(relation, signed) & this.#mask;
    for (;;) {
      const at = slot * slotWords;
      const owner = table[at];
      if (owner === 0) {
        table[at] = relation + 1;
        table[at + 1] = signed;
        table[at + 2] = cuts;
        this.#used += 1;
        if (this.#used * 2 > this.#mask) this.#grow();
        return;
      }
      if (owner === relation + 1 && table[at + 1] === signed) {
        table[at + 2] = cuts;
        return;
      }
      slot = (slot + 1) & this.#mask;
    }
  }

  cut(spcOid: number, dbOid: number, relNumber: number, fork: number, blocks: number): void {
    const relation = this.#relation(spcOid, dbOid, relNumber, fork);
    const cuts = this.#cuts[relation];
    if (cuts) cuts.push(blocks);
    else this.#cuts[relation] = [blocks];
    this.#cutCounts[relation] = (this.#cutCounts[relation] ?? 0) + 1;
    this.#lastBlocks[relation] = -1;
  }

  #relation(spcOid: number, dbOid: number, relNumber: number, fork: number): number {
    const relation = this.#forks.of(spcOid, dbOid, relNumber, fork);
    if (relation === this.#cuts.length) {
      this.#cuts.push(undefined);
      this.#cutCounts.push(0);
      this.#lastBlocks.push(-1);
    }
    return relation;
  }

  #grow(): void {
    const old = this.#table;
    const mask = this.#mask * 2 + 1;
    const grown = new Int32Array(old.length * 2);
    for (let from = 0; from < old.length; from += slotWords) {
      const owner = old[from] ?? 0;
      if (owner === 0) continue;
      const block = old[from + 1] ?? 0;
      let slot = hashOf(owner - 1, block) & mask;
      while (grown[slot * slotWords] !== 0) slot = (slot + 1) & mask;
      grown[slot * slotWords] = owner;
      grown[slot * slotWords + 1] = block;
      grown[slot * slotWords + 2] = old[from + 2] ?? 0;
    }
    this.#table = grown;
    this.#mask = mask;
  }

  finish(): BlockChanges[] {
    return changesOf(this.#table, {
      count: this.#forks.count,
      cuts: this.#cuts,
      relation: (number) => this.#forks.relation(number),
    });
  }
}

/** The forks that a table's rows name by their numbers. */
interface NumberedForks {
  readonly count: number;
  /** Where each was cut, if it was. */
  readonly cuts: readonly (readonly number[] | undefined)[];
  readonly relation: (number: number) => RelationFork;
}

/** `table`: slots as in `BlockChangeSet`, also without those that are free. */
export function changesOf(table: Int32Array, forks: NumberedForks): BlockChanges[] {
  // lowest[n]: the lowest cut after the first n
  const lowest = Array.from(forks.cuts, (cuts) => cuts && lowestAfter(cuts));
  const counts = new Int32Array(forks.count);
  const survives = (at: number): boolean => {
    const limits = lowest[(table[at] ?? 0) - 1];
    return limits === undefined || (table[at + 1] ?? 0) >>> 0 < (limits[table[at + 2] ?? 0] ?? Infinity);
  };
  for (let at = 0; at < table.length; at += slotWords) {
    if (table[at] !== 0 && survives(at)) counts[(table[at] ?? 0) - 1]! += 1;
  }
  const blocks = Array.from(counts, (count) => new Uint32Array(count));
  for (let at = 0; at < table.length; at += slotWords) {
    if (table[at] === 0 || !survives(at)) continue;
    const relation = (table[at] ?? 0) - 1;
    const left = (counts[relation] ?? 0) - 1;
    counts[relation] = left;
    const into = blocks[relation];
    if (into) into[left] = (table[at + 1] ?? 0) >>> 0;
  }
  const changes: BlockChanges[] = [];
  for (const [number, list] of blocks.entries()) {
    const relation = forks.relation(number);
    const truncatedTo = lowest[number]?.[0];
    const sorted = list.toSorted();
    changes.push(truncatedTo === undefined ? { relation, blocks: sorted } : { relation, blocks: sorted, truncatedTo });
  }
  return changes.toSorted(compareRelations);
}

/** By tablespace, database, relation and fork. */
export function compareRelations(a: BlockChanges, b: BlockChanges): number {
  const [first, second] = [a.relation, b.relation];
  return (
    first.spcOid - second.spcOid ||
    first.dbOid - second.dbOid ||
    first.relNumber - second.relNumber ||
    first.fork - second.fork
  );
}

function lowestAfter(cuts: readonly number[]): number[] {
  const lowest: number[] = cuts.map(() => 0);
  let least = Infinity;
  for (let index = cuts.length - 1; index >= 0; index -= 1) {
    least = Math.min(least, cuts[index] ?? Infinity);
    lowest[index] = least;
  }
  return lowest;
}

/**
 * What several stretches of WAL did together; `stretches` in the order of WAL. A stretch that cuts a relation
 * makes those before it forget the blocks from there on.
 */
export function mergeBlockChanges(stretches: Iterable<readonly BlockChanges[]>): BlockChanges[] {
  const merged = new BlockChangeSet();
  for (const changes of stretches) {
    for (const { relation, blocks, truncatedTo } of changes) {
      const { spcOid, dbOid, relNumber, fork } = relation;
      if (truncatedTo !== undefined) merged.cut(spcOid, dbOid, relNumber, fork, truncatedTo);
      for (const block of blocks) merged.touch(spcOid, dbOid, relNumber, fork, block);
    }
  }
  return merged.finish();
}
