import { BlockChunks, blocksPerChunk } from './block-chunks.ts';
import { ForkNumbers, hashOf } from './fork-numbers.ts';
import type { BlockChanges } from './segment-index.ts';
import { forkNumbers, type RelationFork } from './wal-event.ts';

/** What changed in a run of blocks of a fork. */
export interface ChangedRun {
  /** Everything counts; `blocks` is empty then. */
  readonly whole: boolean;
  /** Ascending and distinct. */
  readonly blocks: Uint32Array;
}

/** More than any fork has blocks: it was never cut. */
const uncut = 2 ** 32;
const everything: ChangedRun = { whole: true, blocks: new Uint32Array(0) };

/**
 * Which blocks changed in a stretch of WAL of any length: some tens of millions in a large cluster.
 *
 * A fork that was cut has been written anew from there on: all its blocks from the lowest cut on count, whatever was
 * touched, so that only those below it are kept, and stretches can be added in any order. A fork that was
 * created, dropped or replaced was cut to 0; so were all of a database that was created or dropped in a tablespace.
 * Free space maps and visibility maps always count as a whole (see BlockChanges).
 */
export class BlockTable {
  readonly #forks = new ForkNumbers();
  /** Of each fork: where it was cut at the lowest. */
  readonly #cuts: number[] = [];
  /** Databases of which everything counts, by tablespace and database. */
  readonly #replaced = new Set<string>();

  readonly #chunks = new BlockChunks();
  /** Of each chunk: its fork, and its place in it. */
  readonly #owners: number[] = [];
  readonly #positions: number[] = [];
  /** Chunks + 1 (0 = free). */
  #table = new Int32Array(1024);

  add(changes: readonly BlockChanges[]): void {
    for (const { relation, blocks, truncatedTo } of changes) {
      const { spcOid, dbOid, relNumber, fork } = relation;
      if (isNeverTold(fork)) continue;
      if (relNumber === 0) {
        this.#replaced.add(databaseKey(relation));
        continue;
      }
      const number = this.#forks.of(spcOid, dbOid, relNumber, fork);
      const cut = Math.min(this.#cuts[number] ?? uncut, truncatedTo ?? uncut);
      this.#cuts[number] = cut;
      if (cut > 0) this.#touch(number, blocks, cut);
    }
  }

  /** `undefined` where nothing changed from `firstBlock` on and below `endBlock`. */
  of(relation: RelationFork, firstBlock: number, endBlock: number): ChangedRun | undefined {
    const { spcOid, dbOid, relNumber, fork } = relation;
    if (isNeverTold(fork) || this.#replaced.has(databaseKey(relation))) return everything;
    const number = this.#forks.find(spcOid, dbOid, relNumber, fork);
    if (number < 0) return undefined;
    const cut = this.#cuts[number] ?? uncut;
    if (cut <= firstBlock) return everything;
    const blocks = this.#blocksOf(number, firstBlock, Math.min(cut, endBlock), endBlock);
    return blocks.length === 0 ? undefined : { whole: false, blocks };
  }

  /** Of the blocks that count one by one: none of what counts as a whole, or from a cut on. */
  get blockCount(): number {
    let count = 0;
    const below = new Uint32Array(blocksPerChunk);
    for (const [chunk, fork] of this.#owners.entries()) {
      if (this.#replaced.size > 0 && this.#replaced.has(databaseKey(this.#forks.relation(fork)))) continue;
      const left = (this.#cuts[fork] ?? uncut) - (this.#positions[chunk] ?? 0) * blocksPerChunk;
      if (left >= blocksPerChunk) count += this.#chunks.count(chunk);
      else if (left > 0) count += this.#chunks.collect(chunk, 0, left, 0, below, 0);
    }
    return count;
  }

  #touch(fork: number, blocks: Uint32Array, cut: number): void {
    let chunk = -1;
    let position = -1;
    for (const block of blocks) {
      if (block >= cut) return;
      if (block >>> 16 !== position) {
        position = block >>> 16;
        chunk = this.#findChunk(fork, position);
        if (chunk < 0) chunk = this.#addChunk(fork, position);
      }
      this.#chunks.insert(chunk, block & 0xffff);
    }
  }

  /** Those touched below `cut`, and all from there to `end`. */
  #blocksOf(fork: number, first: number, cut: number, end: number): Uint32Array {
    const found: number[] = [];
    let most = end - cut;
    for (let position = Math.floor(first / blocksPerChunk); position * blocksPerChunk < cut; position += 1) {
      const chunk = this.#findChunk(fork, position);
      if (chunk < 0) continue;
      found.push(chunk);
      most += this.#chunks.count(chunk);
    }
    const blocks = new Uint32Array(most);
    let used = 0;
    for (const chunk of found) {
      const base = (this.#positions[chunk] ?? 0) * blocksPerChunk;
      const to = Math.min(cut - base, blocksPerChunk);
      used = this.#chunks.collect(chunk, Math.max(first - base, 0), to, base, blocks, used);
    }
    for (let block = cut; block < end; block += 1) {
      blocks[used] = block;
      used += 1;
    }
    return used === most ? blocks : blocks.slice(0, used);
  }

  /** -1 where nothing of it was touched. */
  #findChunk(fork: number, position: number): number {
    const mask = this.#table.length - 1;
    let slot = hashOf(fork, position) & mask;
    for (;;) {
      const chunk = (this.#table[slot] ?? 0) - 1;
      if (chunk < 0 || (this.#owners[chunk] === fork && this.#positions[chunk] === position)) return chunk;
      slot = (slot + 1) & mask;
    }
  }

  #addChunk(fork: number, position: number): number {
    const chunk = this.#chunks.add();
    this.#owners.push(fork);
    this.#positions.push(position);
    if (this.#owners.length * 2 <= this.#table.length) this.#enter(chunk);
    else {
      this.#table = new Int32Array(this.#table.length * 2);
      for (let each = 0; each <= chunk; each += 1) this.#enter(each);
    }
    return chunk;
  }

  #enter(chunk: number): void {
    const mask = this.#table.length - 1;
    let slot = hashOf(this.#owners[chunk] ?? 0, this.#positions[chunk] ?? 0) & mask;
    while (this.#table[slot] !== 0) slot = (slot + 1) & mask;
    this.#table[slot] = chunk + 1;
  }
}

function isNeverTold(fork: number): boolean {
  return fork === forkNumbers.freeSpaceMap || fork === forkNumbers.visibilityMap;
}

function databaseKey({ spcOid, dbOid }: RelationFork): string {
  return `${spcOid}/${dbOid}`;
}
