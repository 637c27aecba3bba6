import { assert } from '../../errors/pgrecall-error.ts';

/*
 * A small generator of numbers that only look random: the same seed gives the same numbers everywhere and for
 * ever, so that the sample database is the same row by row wherever it is made. Not for anything secret.
 */

/** Mulberry32 (Tommy Ettinger, public domain): 32 bits of state, a period of 2^32. */
export class Random {
  #state: number;

  /** Each table draws from a seed of its own, so that a change in one leaves the others as they were. */
  constructor(seed: string) {
    this.#state = hash(seed);
  }

  /** At least 0, less than 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** A whole number, both ends included. */
  integer(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  pick<T>(list: readonly T[]): T {
    const item = list[this.integer(0, list.length - 1)];
    assert(item !== undefined, 'there is nothing to pick from');
    return item;
  }

  shuffled<T>(list: Iterable<T>): T[] {
    const keyed = Array.from(list, (item) => ({ item, key: this.next() }));
    return keyed.toSorted((a, b) => a.key - b.key).map(({ item }) => item);
  }

  /** `total` things given to `places` places at random, each at least `least` and at most `most`. */
  spread(total: number, places: number, least: number, most: number): number[] {
    const shares = Array.from({ length: places }, () => least);
    for (let left = total - least * places; left > 0;) {
      const place = this.integer(0, places - 1);
      const share = shares[place] ?? most;
      if (share >= most) continue;
      shares[place] = share + 1;
      left -= 1;
    }
    return shares;
  }
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) value = Math.imul(value ^ byte, 0x01000193);
  return value | 0;
}
