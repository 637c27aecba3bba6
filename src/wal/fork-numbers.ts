import type { RelationFork } from './wal-event.ts';

/** For open addressing: the slot is what is left of it after a mask. */
export function hashOf(first: number, second: number): number {
  let hash = Math.imul(first, 0x9e37_79b1) ^ Math.imul(second, 0x85eb_ca6b);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b_3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** Numbers relation forks from 0 in the order in which they are met, without an object for each. */
export class ForkNumbers {
  readonly #spcOids: number[] = [];
  readonly #dbOids: number[] = [];
  readonly #relNumbers: number[] = [];
  readonly #forks: number[] = [];
  /** Numbers + 1 (0 = free). */
  #table = new Int32Array(64);
  #last = -1;

  get count(): number {
    return this.#relNumbers.length;
  }

  #is(number: number, spcOid: number, dbOid: number, relNumber: number, fork: number): boolean {
    return (
      this.#relNumbers[number] === relNumber &&
      this.#forks[number] === fork &&
      this.#dbOids[number] === dbOid &&
      this.#spcOids[number] === spcOid
    );
  }

  /** -1 where it has not been met. */
  find(spcOid: number, dbOid: number, relNumber: number, fork: number): number {
    const last = this.#last;
    if (last >= 0 && this.#is(last, spcOid, dbOid, relNumber, fork)) return last;
    const table = this.#table;
    const mask = table.length - 1;
    let slot = hashOf(relNumber + fork, dbOid ^ (spcOid << 8)) & mask;
    for (;;) {
      const found = (table[slot] ?? 0) - 1;
      if (found < 0) return -1;
      if (this.#is(found, spcOid, dbOid, relNumber, fork)) {
        this.#last = found;
        return found;
      }
      slot = (slot + 1) & mask;
    }
  }

  /** The one it has, or a new one: the `count` of before. */
  of(spcOid: number, dbOid: number, relNumber: number, fork: number): number {
    const found = this.find(spcOid, dbOid, relNumber, fork);
    if (found >= 0) return found;
    const number = this.count;
    this.#spcOids.push(spcOid);
    this.#dbOids.push(dbOid);
    this.#relNumbers.push(relNumber);
    this.#forks.push(fork);
    this.#last = number;
    if (this.count * 2 > this.#table.length) this.#grow();
    else this.#enter(this.#table, number);
    return number;
  }

  relation(number: number): RelationFork {
    return {
      spcOid: this.#spcOids[number] ?? 0,
      dbOid: this.#dbOids[number] ?? 0,
      relNumber: this.#relNumbers[number] ?? 0,
      fork: this.#forks[number] ?? 0,
    };
  }

  #enter(table: Int32Array, number: number): void {
    const mask = table.length - 1;
    const key = (this.#dbOids[number] ?? 0) ^ ((this.#spcOids[number] ?? 0) << 8);
    let slot = hashOf((this.#relNumbers[number] ?? 0) + (this.#forks[number] ?? 0), key) & mask;
    while (table[slot] !== 0) slot = (slot + 1) & mask;
    table[slot] = number + 1;
  }

  #grow(): void {
    this.#table = new Int32Array(this.#table.length * 2);
    for (let number = 0; number < this.count; number += 1) this.#enter(this.#table, number);
  }
}
