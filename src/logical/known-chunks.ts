import { chunkDigestBytes } from '../repository/manifest.ts';

/*
 * The digests of chunks that earlier dumps have stored, shared with the threads: an open hash table of digests and numbers,
 * 20 bytes a slot. The digests are hashes, so their beginning is hash enough.
 */

const slotWords = 5;
const digestWords = chunkDigestBytes / 4;

/** More are not looked up: 160 MB of digests, half a terabyte and more of dumps. */
const mostChunks = 4_194_304;

export class KnownChunks {
  /** To be given to a thread. */
  readonly memory: SharedArrayBuffer;
  readonly #words: Uint32Array;
  readonly #mask: number;
  #size = 0;

  private constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#words = new Uint32Array(memory);
    this.#mask = this.#words.length / slotWords - 1;
  }

  /** With room for so many. */
  static withRoomFor(count: number): KnownChunks {
    let slots = 16;
    while (slots < Math.min(count, mostChunks) * 1.5) slots *= 2;
    return new KnownChunks(new SharedArrayBuffer(slots * slotWords * 4));
  }

  static over(memory: SharedArrayBuffer): KnownChunks {
    return new KnownChunks(memory);
  }

  /** Gives the chunk with the digest at `at` a number from 0 on; whether it was new, and there was room. */
  add(digests: Uint8Array, at: number, number: number): boolean {
    if (this.#size >= Math.min(mostChunks, this.#mask)) return false;
    const slot = this.#slotOf(digests, at);
    if (this.#words[slot + digestWords] !== 0) return false;
    for (let i = 0; i < digestWords; i += 1) this.#words[slot + i] = wordAt(digests, at + i * 4);
    this.#words[slot + digestWords] = number + 1;
    this.#size += 1;
    return true;
  }

  /** The number of the chunk with the digest at `at`; -1 where it is not known. */
  find(digests: Uint8Array, at: number): number {
    return (this.#words[this.#slotOf(digests, at) + digestWords] ?? 0) - 1;
  }

  /** Where the digest stands, or would. */
  #slotOf(digests: Uint8Array, at: number): number {
    const words = this.#words;
    for (let i = wordAt(digests, at) & this.#mask; ; i = (i + 1) & this.#mask) {
      const slot = i * slotWords;
      if (words[slot + digestWords] === 0) return slot;
      let k = 0;
      while (k < digestWords && words[slot + k] === wordAt(digests, at + k * 4)) k += 1;
      if (k === digestWords) return slot;
    }
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
