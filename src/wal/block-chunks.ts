import { assert } from '../errors/pgrecall-error.ts';

/** What 16 bits can number. */
export const blocksPerChunk = 65_536;

/** So many numbers take as much room as a bit for every block of a chunk: from there on it is a bitmap. */
const bitmapFrom = 4096;

/** Sizes are powers of two; the order of a size tells how often the least one was doubled. */
const leastSize = 4;
const orders = Math.log2(bitmapFrom / leastSize) + 1;

/** Memory comes in pieces of 1 MiB: nothing is copied to make room for more. */
const slabBits = 19;
const slabWords = 1 << slabBits;
const slabMask = slabWords - 1;

/**
 * Sets of numbers below 65,536, a great many of them: each a sorted list of 2 bytes a number, from 4,096 numbers on
 * a bitmap of 8 KiB, as in PostgreSQL's common/blkreftable.c. They share a few large arrays, since an array has more
 * bytes of its own than most of them need.
 */
export class BlockChunks {
  readonly #counts: number[] = [];
  readonly #places: number[] = [];
  readonly #orders: number[] = [];
  readonly #slabs: Uint16Array[] = [];
  #usedOfLast = slabWords;
  /** Places that were given back, by order. */
  readonly #free: readonly number[][] = Array.from({ length: orders }, () => []);

  /** Makes an empty one. They are numbered from 0. */
  add(): number {
    this.#counts.push(0);
    this.#places.push(this.#take(0));
    this.#orders.push(0);
    return this.#counts.length - 1;
  }

  insert(chunk: number, value: number): void {
    const count = this.#counts[chunk] ?? 0;
    if (count >= bitmapFrom) {
      this.#setBit(chunk, value);
      return;
    }
    let words = this.#words(chunk);
    let start = this.#start(chunk);
    // nearly always it comes after the last one, or is there
    const at = count > 0 && (words[start + count - 1] ?? 0) >= value ? firstFrom(words, start, count, value) : count;
    if (at < count && words[start + at] === value) return;
    if (count + 1 === bitmapFrom) {
      this.#makeBitmap(words, start);
      this.#setBit(chunk, value);
      return;
    }
    if (count === leastSize << (this.#orders[chunk] ?? 0)) {
      this.#grow(chunk);
      words = this.#words(chunk);
      start = this.#start(chunk);
    }
    if (at < count) words.copyWithin(start + at + 1, start + at, start + count);
    words[start + at] = value;
    this.#counts[chunk] = count + 1;
  }

  count(chunk: number): number {
    return this.#counts[chunk] ?? 0;
  }

  /** Writes those from `from` and below `to` in order, each with `base` added, into `into` at `at`; returns where it ended. */
  collect(chunk: number, from: number, to: number, base: number, into: Uint32Array, at: number): number {
    const count = this.count(chunk);
    const words = this.#words(chunk);
    const start = this.#start(chunk);
    let end = at;
    if (count < bitmapFrom) {
      for (let index = firstFrom(words, start, count, from); index < count; index += 1) {
        const value = words[start + index] ?? 0;
        if (value >= to) break;
        into[end] = base + value;
        end += 1;
      }
      return end;
    }
    for (let value = from; value < to; value += 1) {
      const rest = (words[start + (value >>> 4)] ?? 0) >> (value & 15);
      // an empty rest is left at its last bit
      if (rest === 0) value |= 15;
      else if ((rest & 1) !== 0) {
        into[end] = base + value;
        end += 1;
      }
    }
    return end;
  }

  #words(chunk: number): Uint16Array {
    return this.#slab(this.#places[chunk] ?? 0);
  }

  #start(chunk: number): number {
    return (this.#places[chunk] ?? 0) & slabMask;
  }

  #slab(place: number): Uint16Array {
    const slab = this.#slabs[place >>> slabBits];
    assert(slab, 'a chunk without memory');
    return slab;
  }

  #setBit(chunk: number, value: number): void {
    const words = this.#words(chunk);
    const at = this.#start(chunk) + (value >>> 4);
    const word = words[at] ?? 0;
    const set = word | (1 << (value & 15));
    if (set === word) return;
    words[at] = set;
    this.#counts[chunk] = this.count(chunk) + 1;
  }

  /** In the place of the list, which has the size of one. */
  #makeBitmap(words: Uint16Array, start: number): void {
    const values = words.slice(start, start + bitmapFrom - 1);
    words.fill(0, start, start + bitmapFrom);
    for (const value of values) {
      const at = start + (value >>> 4);
      words[at] = (words[at] ?? 0) | (1 << (value & 15));
    }
  }

  #grow(chunk: number): void {
    const order = this.#orders[chunk] ?? 0;
    const place = this.#places[chunk] ?? 0;
    const words = this.#words(chunk);
    const start = this.#start(chunk);
    const larger = this.#take(order + 1);
    this.#slab(larger).set(words.subarray(start, start + (leastSize << order)), larger & slabMask);
    this.#free[order]?.push(place);
    this.#places[chunk] = larger;
    this.#orders[chunk] = order + 1;
  }

  #take(order: number): number {
    const given = this.#free[order]?.pop();
    if (given !== undefined) return given;
    const size = leastSize << order;
    if (this.#usedOfLast + size > slabWords) {
      this.#slabs.push(new Uint16Array(slabWords));
      this.#usedOfLast = 0;
    }
    const place = (this.#slabs.length - 1) * slabWords + this.#usedOfLast;
    this.#usedOfLast += size;
    return place;
  }
}

/** Of `count` ascending words from `start` on: how many are below `value`. */
function firstFrom(words: Uint16Array, start: number, count: number, value: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((words[start + middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
