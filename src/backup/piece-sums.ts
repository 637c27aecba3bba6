import type { Extent } from '../repository/file-map.ts';
import { sumBytes, summedBytes, sumsLength } from '../repository/block-sums.ts';
import { overlayExtents } from './overlay-extents.ts';
import { extentOfSums, type SumsPacker, type WaitingSums } from './sums-packer.ts';

/*
 * The sums of one piece: those of the reference, with those of what was read in their place. Only sums that changed are
 * stored, as long as they are few and the piece's sums do not lie in too many places: an increment that changes a
 * fiftieth of all pages would else store as much in sums as in an eighth of its pages.
 */

/** Sums of so few bytes are stored whole: parts would take as much in the manifest. */
const fewBytes = 1024;
/** The largest share of a piece's sums that is stored as a part. */
const partShare = 1 / 8;
const mostBlobs = 8;

/** What the reference has of a piece. */
export interface SumsBefore {
  readonly lengthBytes: number;
  readonly sums: Uint8Array;
  /** Where they lie. */
  readonly map: readonly Extent[];
}

export class PieceSums {
  readonly #before: SumsBefore | undefined;
  /** Numbers of the blocks of which the sum was set to another value than the reference's. */
  readonly #changed = new Set<number>();
  #sums: Buffer;

  /** `lengthBytes`: of the piece, as far as it is known. */
  constructor(before: SumsBefore | undefined, lengthBytes: number) {
    this.#before = before;
    this.#sums = Buffer.alloc(Math.max(sumsLength(lengthBytes), before?.sums.length ?? 0));
    if (before) this.#sums.set(before.sums);
  }

  /** Whether the reference has a block of as many bytes there. */
  #hadBlock(block: number, lengthBytes: number): boolean {
    return this.#before !== undefined && lengthBytes === blockLength(block, this.#before.lengthBytes);
  }

  /** Whether the reference has the same content there: a block of as many bytes, and of the sum at `at` of `sums`. */
  isAsBefore(block: number, lengthBytes: number, sums: Uint8Array, at: number): boolean {
    const before = this.#before;
    if (!before || !this.#hadBlock(block, lengthBytes)) return false;
    const from = block * sumBytes;
    for (let i = 0; i < sumBytes; i += 1) if (before.sums[from + i] !== sums[at + i]) return false;
    return true;
  }

  set(block: number, lengthBytes: number, sums: Uint8Array, at: number): void {
    const from = block * sumBytes;
    if (from + sumBytes > this.#sums.length) this.#grow(from + sumBytes);
    if (this.isAsBefore(block, lengthBytes, sums, at)) this.#changed.delete(block);
    else this.#changed.add(block);
    for (let i = 0; i < sumBytes; i += 1) this.#sums[from + i] = sums[at + i] ?? 0;
  }

  #grow(needed: number): void {
    const grown = Buffer.alloc(Math.max(needed, this.#sums.length * 2));
    this.#sums.copy(grown);
    this.#sums = grown;
  }

  /** Of the piece as it is. */
  bytes(lengthBytes: number): Uint8Array {
    return this.#sums.subarray(0, sumsLength(lengthBytes));
  }

  /** Hands what has to be stored to `packer`; the map is known when that has been flushed. */
  async store(lengthBytes: number, packer: SumsPacker): Promise<() => readonly Extent[]> {
    const length = sumsLength(lengthBytes);
    const before = this.#before;
    const changed = [...this.#changed].filter((block) => block * sumBytes < length).toSorted((a, b) => a - b);
    const base = before ? overlayExtents(before.map, [], length) : [];
    const isLonger = length > (before?.sums.length ?? 0);
    if (changed.length === 0 && !isLonger) return () => base;
    const isPart = !isLonger && length > fewBytes && changed.length * sumBytes <= length * partShare;
    if (!isPart || blobsOf(base) >= mostBlobs) {
      const waiting = await packer.add(this.bytes(lengthBytes));
      return () => wholeMap(waiting);
    }
    const some = Buffer.concat(changed.map((block) => this.#sums.subarray(block * sumBytes, (block + 1) * sumBytes)));
    const [waiting] = await packer.add(some);
    return () => (waiting ? overlayExtents(base, partMap(waiting, changed), length) : base);
  }
}

function blockLength(block: number, lengthBytes: number): number {
  return Math.max(0, Math.min(summedBytes, lengthBytes - block * summedBytes));
}

function blobsOf(map: readonly Extent[]): number {
  return new Set(map.map(({ pack, blob }) => `${pack} ${blob.offset}`)).size;
}

function wholeMap(waiting: readonly WaitingSums[]): Extent[] {
  let fileOffset = 0;
  return waiting.map((one) => {
    const extent = extentOfSums(one, 0, one.lengthBytes, fileOffset);
    fileOffset += one.lengthBytes;
    return extent;
  });
}

/** One extent for each sum; laid over the reference's map, those that follow each other become one. */
function partMap(waiting: WaitingSums, blocks: readonly number[]): Extent[] {
  return blocks.map((block, i) => extentOfSums(waiting, i * sumBytes, sumBytes, block * sumBytes));
}
