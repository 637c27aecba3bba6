import { hash } from 'node:crypto';
import { PackOutput, type StoredBlob } from '../backup/pack-output.ts';
import { createPageKernel, type PageKernel } from '../postgres/page-kernel.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { chunkDigestBytes } from '../repository/manifest.ts';
import { maxChunkBytes } from '../repository/pack-id.ts';
import type { KnownChunks } from './known-chunks.ts';
import type { ChunkRun, StoredRun, StoreResult, StoreTask } from './store-items.ts';

/** What one thread does for a dump: stores the chunks that no earlier dump has, in packs of its own. */
export class ChunkStorer {
  readonly #output: PackOutput;
  readonly #known: KnownChunks;
  readonly #kernel: PageKernel;

  constructor(cluster: ClusterRepository, known: KnownChunks) {
    this.#output = new PackOutput(cluster);
    this.#known = known;
    this.#kernel = createPageKernel(maxChunkBytes);
  }

  async handle(task: StoreTask): Promise<StoreResult> {
    if ('run' in task) return { run: await this.#storeRun(task.run) };
    if ('blob' in task) return { blob: await this.#output.append(task.blob) };
    if ('finish' in task) return { packs: await this.#output.finish() };
    await this.#output.discard();
    return { packs: [] };
  }

  async #storeRun({ memory, ends }: ChunkRun): Promise<StoredRun> {
    const bytes = new Uint8Array(memory);
    const digests = new Uint8Array(ends.length * chunkDigestBytes);
    const known = new Int32Array(ends.length);
    const stored: StoredBlob[] = [];
    let crc = 0;
    let start = 0;
    for (const [i, end] of ends.entries()) {
      // Hashes do not take shared memory; the kernel's is not, and its sums want the bytes there anyway.
      const chunk = this.#kernel.buffer.subarray(0, end - start);
      chunk.set(bytes.subarray(start, end));
      crc = this.#kernel.crc32c(0, chunk.length, crc);
      digests.set(hash('sha256', chunk, 'buffer').subarray(0, chunkDigestBytes), i * chunkDigestBytes);
      known[i] = this.#known.find(digests, i * chunkDigestBytes);
      if (known[i] < 0) stored.push(await this.#output.append(chunk));
      start = end;
    }
    return { digests, known, stored, crc32c: crc };
  }

  /** Forgets the pack that is open. */
  async abort(): Promise<void> {
    await this.#output.abort();
  }
}
