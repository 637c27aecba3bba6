import { hash } from 'node:crypto';
import type { PageKernel } from '../postgres/page-kernel.ts';

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

export class ChunkCutter {
  readonly mostBytes: number;
  readonly #kernel: PageKernel;
  readonly #leastBytes: number;
  readonly #bits: number;

  /** Of what is in the buffer of `kernel`, which it takes for itself. `key`: of the repository, for this purpose or another. */
  constructor(kernel: PageKernel, key: Uint8Array, { leastBytes, bits }: ChunkClass, mostBytes: number) {
    this.mostBytes = mostBytes;
    this.#kernel = kernel;
    kernel.gear.set(gearOf(key));
    this.#leastBytes = leastBytes;
    this.#bits = bits;
  }

  /**
   * Where the chunk that begins at `start` of the buffer ends; `end` where no end is found before. To be cut alike every time it has to see
   * `mostBytes`, or the end of the stream.
   */
  endOfChunk(start: number, end: number): number {
    const limit = Math.min(end, start + this.mostBytes);
    const at = start + this.#leastBytes;
    return at < limit ? this.#kernel.endOfChunk(at, limit, this.#bits) : limit;
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
