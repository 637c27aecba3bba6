/*
 * What a thread that only reads has read, until another one takes it: a program that writes into a pipe would otherwise stand
 * still while a chunk is compressed, for a pipe holds 64 KiB. One thread puts in, one takes out.
 *
 *   words   0   bytes put in so far, modulo 2^32
 *           1   bytes taken so far, likewise
 *           2   how it ended: 0 not yet, 1 well, else the reading failed
 *           3   1 when nobody takes any more
 *           4   counts what the taker has to know: 0 or 2 has changed
 *           5   counts what the other one has to know: 1 or 3 has changed
 */

/** A power of two, which numbers modulo 2^32 need. */
const capacity = 8_388_608;
const [put, taken, ending, stopped, forTaker, forPutter] = [0, 1, 2, 3, 4, 5];

/** Structured-cloneable. */
export interface PumpMemory {
  readonly bytes: SharedArrayBuffer;
  readonly words: SharedArrayBuffer;
}

/** `capacityBytes`: a power of two. */
export function makePumpMemory(capacityBytes: number = capacity): PumpMemory {
  return { bytes: new SharedArrayBuffer(capacityBytes), words: new SharedArrayBuffer(24) };
}

export class PumpRing {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;

  constructor({ bytes, words }: PumpMemory) {
    this.#bytes = new Uint8Array(bytes);
    this.#words = new Int32Array(words);
  }

  /** Where the next bytes go, once there is room; `undefined` when nobody takes them any more. */
  room(): Uint8Array | undefined {
    const words = this.#words;
    const size = this.#bytes.length;
    for (;;) {
      // First: a change after it keeps from waiting.
      const seen = Atomics.load(words, forPutter);
      if (Atomics.load(words, stopped) !== 0) return undefined;
      const at = Atomics.load(words, put) >>> 0;
      const free = size - ((at - Atomics.load(words, taken)) >>> 0);
      const begin = at % size;
      if (free > 0) return this.#bytes.subarray(begin, Math.min(begin + free, size));
      Atomics.wait(words, forPutter, seen);
    }
  }

  /** So many bytes are in the room now. */
  add(lengthBytes: number): void {
    Atomics.add(this.#words, put, lengthBytes);
    this.#tell(forTaker);
  }

  /** No more will come. */
  end(well: boolean): void {
    Atomics.store(this.#words, ending, well ? 1 : 2);
    this.#tell(forTaker);
  }

  /** Takes at least one byte into `into[offset, end)`; 0 at the end, -1 where the reading failed. Waits for more. */
  take(into: Uint8Array, offset: number, end: number): number {
    const words = this.#words;
    const size = this.#bytes.length;
    for (;;) {
      const seen = Atomics.load(words, forTaker);
      // Before what was put in: it ends after the last byte.
      const how = Atomics.load(words, ending);
      const at = Atomics.load(words, taken) >>> 0;
      const there = (Atomics.load(words, put) - at) >>> 0;
      if (there > 0) {
        const begin = at % size;
        const length = Math.min(there, end - offset, size - begin);
        into.set(this.#bytes.subarray(begin, begin + length), offset);
        Atomics.add(words, taken, length);
        this.#tell(forPutter);
        return length;
      }
      if (how !== 0) return how === 1 ? 0 : -1;
      Atomics.wait(words, forTaker, seen);
    }
  }

  /** Nobody takes any more. */
  stop(): void {
    Atomics.store(this.#words, stopped, 1);
    this.#tell(forPutter);
  }

  #tell(word: number): void {
    Atomics.add(this.#words, word, 1);
    Atomics.notify(this.#words, word);
  }
}
