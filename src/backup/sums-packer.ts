import { assert } from '../errors/pgrecall-error.ts';
import type { Extent } from '../repository/file-map.ts';
import type { PackOutput, StoredBlob } from './pack-output.ts';

/** The sums of a whole piece are one blob; those of small files share one. */
const blobBytes = 65_536;

/** Sums on their way into a blob. */
export interface WaitingSums {
  /** In the blob's plaintext. */
  readonly blobOffset: number;
  readonly lengthBytes: number;
  stored: StoredBlob | undefined;
}

/** Gathers the sums of several files into blobs. */
export class SumsPacker {
  readonly #output: PackOutput;
  readonly #buffer = Buffer.alloc(blobBytes);
  #used = 0;
  #waiting: WaitingSums[] = [];

  constructor(output: PackOutput) {
    this.#output = output;
  }

  /** Where they are is known after the next `flush`. */
  async add(sums: Uint8Array): Promise<WaitingSums[]> {
    const added: WaitingSums[] = [];
    for (let at = 0; at < sums.length;) {
      // What fits into a blob is never divided.
      if (this.#used > 0 && this.#used + Math.min(sums.length - at, blobBytes) > blobBytes) await this.flush();
      const part = sums.subarray(at, at + blobBytes);
      const waiting = { blobOffset: this.#used, lengthBytes: part.length, stored: undefined };
      this.#buffer.set(part, this.#used);
      this.#used += part.length;
      this.#waiting.push(waiting);
      added.push(waiting);
      at += part.length;
    }
    return added;
  }

  async flush(): Promise<void> {
    if (this.#used === 0) return;
    const stored = await this.#output.append(this.#buffer.subarray(0, this.#used));
    for (const waiting of this.#waiting) waiting.stored = stored;
    this.#waiting = [];
    this.#used = 0;
  }
}

/** A part of what was added: from `offset` on, which is in the first of `waiting`'s blobs that it reaches. */
export function extentOfSums(waiting: WaitingSums, offset: number, lengthBytes: number, fileOffset: number): Extent {
  assert(waiting.stored, 'sums that were never stored');
  const { pack, blob } = waiting.stored;
  return { fileOffset, lengthBytes, pack, blob, blobOffset: waiting.blobOffset + offset };
}
