import { indexSegment } from '../../src/wal/index-segment.ts';
import { readRecords } from '../../src/wal/read-records.ts';
import type { Lsn } from '../../src/postgres/lsn.ts';
import type { RelationFork, WalEvent } from '../../src/wal/wal-event.ts';
import { forkKey, type SummarizedFork } from './wal-summaries.ts';

/* Which blocks count, in the plainest way: from a server's own summaries, and from the records of WAL one by one. */

/** Which blocks of a fork count: those in the set, and all from a cut on. */
class Counted {
  readonly blocks = new Set<number>();
  #cut = Infinity;

  /** Beyond it all blocks are alike. */
  get highest(): number {
    return [...this.blocks].reduce((most, block) => Math.max(most, block), this.#cut === Infinity ? 0 : this.#cut);
  }

  has(block: number): boolean {
    return block >= this.#cut || this.blocks.has(block);
  }

  cut(to: number): void {
    this.#cut = Math.min(this.#cut, to);
  }
}

/** By fork; a relation number of 0 stands for a database. */
export class CountedForks {
  readonly #forks = new Map<string, Counted>();
  readonly relations = new Map<string, RelationFork>();

  of(relation: RelationFork): Counted {
    const { spcOid, dbOid, relNumber, fork } = relation;
    const key = forkKey(spcOid, dbOid, relNumber, fork);
    const found = this.#forks.get(key) ?? new Counted();
    this.#forks.set(key, found);
    this.relations.set(key, relation);
    return found;
  }

  highest({ spcOid, dbOid, relNumber, fork }: RelationFork): number {
    return this.#forks.get(forkKey(spcOid, dbOid, relNumber, fork))?.highest ?? 0;
  }

  has(relation: RelationFork, block: number): boolean {
    const { spcOid, dbOid, relNumber, fork } = relation;
    return (
      this.#forks.get(forkKey(spcOid, dbOid, 0, 0))?.has(0) === true ||
      this.#forks.get(forkKey(spcOid, dbOid, relNumber, fork))?.has(block) === true
    );
  }
}

export function countSummarized(forks: Iterable<SummarizedFork>): CountedForks {
  const counted = new CountedForks();
  for (const { blocks, cut, ...relation } of forks) {
    const of = counted.of(relation);
    for (const block of blocks) of.blocks.add(block);
    if (cut !== undefined) of.cut(cut);
  }
  return counted;
}

/** What the records do that lie in these segments, and start where `isMeant` says. */
export function countRecords(segments: Iterable<Buffer>, isMeant: (start: Lsn) => boolean): CountedForks {
  const counted = new CountedForks();
  for (const segment of segments) {
    for (const { lsn, blocks } of readRecords(segment)) {
      if (isMeant(lsn)) for (const { relation, block } of blocks) counted.of(relation).blocks.add(block);
    }
    for (const event of indexSegment(segment).events) if (isMeant(event.lsn)) countCut(counted, event);
  }
  return counted;
}

function countCut(counted: CountedForks, event: WalEvent): void {
  switch (event.kind) {
    case 'relation-create':
      counted.of(event.relation).cut(0);
      return;
    case 'relation-truncate':
      counted.of({ ...event.relation, fork: 0 }).cut(event.blocks);
      return;
    case 'relation-drop':
      for (const relation of event.relations) for (const fork of [0, 3]) counted.of({ ...relation, fork }).cut(0);
      return;
    case 'database-create':
      counted.of({ spcOid: event.spcOid, dbOid: event.dbOid, relNumber: 0, fork: 0 }).cut(0);
      return;
    case 'database-drop':
      for (const spcOid of event.spcOids) counted.of({ spcOid, dbOid: event.dbOid, relNumber: 0, fork: 0 }).cut(0);
      return;
    default:
  }
}
