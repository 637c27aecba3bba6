import type { PageKernel } from '../postgres/page-kernel.ts';
import type { Extent } from '../repository/file-map.ts';
import { chunkBytes } from './copy-items.ts';
import type { PackOutput } from './pack-output.ts';

interface HeldRun {
  readonly fileOffset: number;
  lengthBytes: number;
}

/**
 * Gathers pages from all over a piece of a file into blobs of a chunk. They wait at the beginning of the kernel's memory;
 * what is read next goes behind them.
 */
export class PageGatherer {
  readonly #kernel: PageKernel;
  readonly #output: PackOutput;
  #held: HeldRun[] = [];
  #heldBytes = 0;
  #extents: Extent[] = [];

  constructor(kernel: PageKernel, output: PackOutput) {
    this.#kernel = kernel;
    this.#output = output;
  }

  /** Where in the kernel's memory the next bytes can be read to. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Takes bytes that lie at `at` of the kernel's memory, behind those that are held. */
  hold(at: number, lengthBytes: number, fileOffset: number): void {
    if (at !== this.#heldBytes) this.#kernel.buffer.copyWithin(this.#heldBytes, at, at + lengthBytes);
    this.#heldBytes += lengthBytes;
    const last = this.#held.at(-1);
    if (last && last.fileOffset + last.lengthBytes === fileOffset) last.lengthBytes += lengthBytes;
    else this.#held.push({ fileOffset, lengthBytes });
  }

  /** Stores what fills whole chunks. */
  async storeFull(): Promise<void> {
    while (this.#heldBytes >= chunkBytes) await this.#store(chunkBytes);
  }

  /** Stores a chunk of its own, which lies at `at`, without moving it; what is held goes before it. */
  async storeAlone(at: number, lengthBytes: number, fileOffset: number): Promise<void> {
    await this.storeRest();
    const { pack, blob } = await this.#output.append(this.#kernel.buffer.subarray(at, at + lengthBytes));
    this.#extents.push({ fileOffset, lengthBytes, pack, blob, blobOffset: 0 });
  }

  async storeRest(): Promise<void> {
    if (this.#heldBytes > 0) await this.#store(this.#heldBytes);
  }

  /** Where everything lies that was stored since the last call, in the order in which it was taken. */
  takeExtents(): Extent[] {
    return this.#extents.splice(0);
  }

  async #store(lengthBytes: number): Promise<void> {
    const { pack, blob } = await this.#output.append(this.#kernel.buffer.subarray(0, lengthBytes));
    let blobOffset = 0;
    while (blobOffset < lengthBytes) {
      const run = this.#held.shift();
      if (!run) break;
      const fits = Math.min(run.lengthBytes, lengthBytes - blobOffset);
      this.#extents.push({ fileOffset: run.fileOffset, lengthBytes: fits, pack, blob, blobOffset });
      if (fits < run.lengthBytes) {
        this.#held.unshift({ fileOffset: run.fileOffset + fits, lengthBytes: run.lengthBytes - fits });
      }
      blobOffset += fits;
    }
    this.#kernel.buffer.copyWithin(0, lengthBytes, this.#heldBytes);
    this.#heldBytes -= lengthBytes;
  }
}
