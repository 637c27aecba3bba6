import { hash } from 'node:crypto';

/*
 * Cuts a stream into chunks where its content says so, so that what was there yesterday is cut as it was yesterday, wherever
 * it lies today: a rolling hash of the last 32 bytes ("gear hash": each byte moves it by one bit and adds a number of its own;
 * Xia et al., "FastCDC", USENIX ATC 2016), and a chunk ends where its highest bits are zero.
 *
 * No end is looked for before the smallest size: then half of the bytes are never hashed. The numbers are derived from the
 * repository's key, so that the sizes of chunks tell nothing of a text that somebody guesses.
 */

/** How large chunks are; a chunk has twice `leastBytes` on average. */
export interface ChunkClass {
  readonly leastBytes: number;
  /** So many bits are zero where a chunk ends. */
  readonly bits: number;
}

/** Of databases smaller than that, the class. Fixed for ever: what is cut otherwise is stored anew. */
const classes: readonly (ChunkClass & { readonly belowBytes: number })[] = [
  { belowBytes: 2 ** 36, leastBytes: 65_536, bits: 16 },
  { belowBytes: 2 ** 39, leastBytes: 131_072, bits: 17 },
  { belowBytes: Number.POSITIVE_INFINITY, leastBytes: 262_144, bits: 18 },
];

/** The larger a database, the larger its chunks: each takes some 40 bytes of memory when it is compared. */
export function chunkClassOf(databaseBytes: number): ChunkClass {
  const fitting = classes.find(({ belowBytes }) => databaseBytes < belowBytes) ?? { leastBytes: 262_144, bits: 18 };
  return { leastBytes: fitting.leastBytes, bits: fitting.bits };
}

const windowBytes = 32;

export class ChunkCutter {
  readonly mostBytes: number;
  readonly #gear: Int32Array;
  readonly #leastBytes: number;
  readonly #shift: number;

  /** `key`: of the repository, for this purpose or another. */
  constructor(key: Uint8Array, { leastBytes, bits }: ChunkClass, mostBytes: number) {
    this.mostBytes = mostBytes;
    this.#gear = gearOf(key);
    this.#leastBytes = leastBytes;
    this.#shift = 32 - bits;
  }

  /**
   * Where the chunk that begins at `start` ends; `end` where no end is found before. To be cut alike every time it has to see
   * `mostBytes`, or the end of the stream.
   */
  endOfChunk(bytes: Uint8Array, start: number, end: number): number {
    const limit = Math.min(end, start + this.mostBytes);
    let at = start + this.#leastBytes;
    if (at >= limit) return limit;
    const gear = this.#gear;
    const shift = this.#shift;
    let sum = 0;
    for (let i = at - windowBytes; i < at; i += 1) sum = ((sum << 1) + gear[bytes[i]!]!) | 0;
    for (; at < limit; at += 1) {
      if (sum >>> shift === 0) return at;
      sum = ((sum << 1) + gear[bytes[at]!]!) | 0;
    }
    return limit;
  }
}

function gearOf(key: Uint8Array): Int32Array {
  const gear = new Int32Array(256);
  const counted = Buffer.concat([Buffer.from('pgrecall chunks'), Buffer.alloc(4), key]);
  for (let i = 0; i < gear.length; i += 8) {
    counted.writeUInt32LE(i, 15);
    const digest = hash('sha256', counted, 'buffer');
    for (let k = 0; k < 8; k += 1) gear[i + k] = digest.readInt32LE(k * 4);
  }
  return gear;
}
