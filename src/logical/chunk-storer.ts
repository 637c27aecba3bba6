import { ByteWriter } from '../bytes/byte-writer.ts';
import { PackOutput, type StoredBlob } from '../backup/pack-output.ts';
import { createPageKernel, type PageKernel } from '../postgres/page-kernel.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { Extent } from '../repository/file-map.ts';
import { maxChunkBytes } from '../repository/pack-id.ts';
import { ChunkCutter } from './chunk-cutter.ts';
import { ChunkDigester } from './chunk-digest.ts';
import type { KnownChunks } from './known-chunks.ts';
import type { StoreResult, StoreTask, StreamItem, StreamResult } from './store-items.ts';
import { openSource } from './stream-source.ts';

/** What is read of a stream at once; where less than a chunk is left it is moved to the front. */
const bufferBytes = 4_194_304;
/** Digests are kept in blobs of this size. */
const digestBlobBytes = 65_536;

/**
 * What one thread does for a dump: reads a stream, cuts it, and stores the chunks that no earlier dump has, in packs of its
 * own. All of it in one thread, without handing anything on: the program that writes goes on meanwhile, as far as there is
 * room (pump-ring.ts).
 */
export class ChunkStorer {
  readonly #cluster: ClusterRepository;
  readonly #output: PackOutput;
  readonly #known: KnownChunks;
  readonly #kernel: PageKernel;
  readonly #digester: ChunkDigester;
  readonly #onProgress: (bytes: number) => void;

  constructor(cluster: ClusterRepository, known: KnownChunks, onProgress: (bytes: number) => void) {
    this.#cluster = cluster;
    this.#output = new PackOutput(cluster, 'text');
    this.#known = known;
    this.#kernel = createPageKernel(bufferBytes);
    this.#digester = new ChunkDigester(cluster.repository.sumKey());
    this.#onProgress = onProgress;
  }

  async handle(task: StoreTask): Promise<StoreResult> {
    if ('item' in task) return { stream: await this.#store(task.item) };
    if ('finish' in task) return { packs: await this.#output.finish() };
    await this.#output.discard();
    return { packs: [] };
  }

  async #store({ source, chunkClass }: StreamItem): Promise<StreamResult> {
    using stream = openSource(source);
    const { buffer } = this.#kernel;
    const cutter = new ChunkCutter(this.#kernel, this.#cluster.repository.sumKey(), chunkClass, maxChunkBytes);
    const chunks = new ChunkList();
    let [start, used] = [0, 0];
    for (let ended = false; !ended || start < used;) {
      if (!ended && used - start < cutter.mostBytes) {
        if (used === buffer.length) {
          buffer.copyWithin(0, start, used);
          [start, used] = [0, used - start];
        }
        const read = stream.read(buffer, used, buffer.length);
        ended = read === 0;
        used += read;
        continue;
      }
      const end = cutter.endOfChunk(start, used);
      const stored = this.#storeChunk(start, end, chunks);
      if (stored) await stored;
      start = end;
    }
    return { ...chunks.result(), sums: await this.#storeDigests(chunks.digests) };
  }

  #storeChunk(start: number, end: number, chunks: ChunkList): Promise<void> | undefined {
    const chunk = this.#kernel.buffer.subarray(start, end);
    const crc = this.#kernel.crc32c(start, chunk.length, chunks.crc32c);
    const digest = this.#digester.digest(chunk);
    const known = this.#known.find(digest, 0);
    chunks.add(chunk.length, crc, digest, known);
    this.#onProgress(chunk.length);
    return known < 0 ? this.#output.append(chunk).then((stored) => void chunks.stored.push(stored)) : undefined;
  }

  async #storeDigests(digests: Uint8Array): Promise<Extent[]> {
    const sums: Extent[] = [];
    for (let at = 0; at < digests.length; at += digestBlobBytes) {
      const part = digests.subarray(at, at + digestBlobBytes);
      const { pack, blob } = await this.#output.append(part);
      sums.push({ fileOffset: at, lengthBytes: part.length, pack, blob, blobOffset: 0 });
    }
    return sums;
  }

  /** Forgets the pack that is open. */
  async abort(): Promise<void> {
    await this.#output.abort();
  }
}

/** The chunks of a stream so far. */
class ChunkList {
  readonly stored: StoredBlob[] = [];
  readonly #digests = new ByteWriter(4096);
  readonly #known: number[] = [];
  #sizeBytes = 0;
  crc32c = 0;

  add(lengthBytes: number, crc32c: number, digest: Uint8Array, known: number): void {
    this.#sizeBytes += lengthBytes;
    this.crc32c = crc32c;
    this.#digests.bytes(digest);
    this.#known.push(known);
  }

  get digests(): Uint8Array {
    return this.#digests.view();
  }

  result(): Omit<StreamResult, 'sums'> {
    const { crc32c, stored } = this;
    return { sizeBytes: this.#sizeBytes, crc32c, known: Int32Array.from(this.#known), stored };
  }
}
