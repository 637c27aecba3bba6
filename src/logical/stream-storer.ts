import { crc32cCombine } from '../bytes/crc32c.ts';
import { assert } from '../errors/pgrecall-error.ts';
import type { Extent } from '../repository/file-map.ts';
import { entryFlags, type ManifestEntry } from '../repository/manifest.ts';
import type { PackId, BlobLocation } from '../repository/pack-id.ts';
import { UnderWay } from '../threads/under-way.ts';
import type { ChunkCutter } from './chunk-cutter.ts';
import type { StoredRun, Storing } from './store-items.ts';

/** So much of a stream goes to a thread at once. */
const runBytes = 4_194_304;
/** Digests are kept in blobs of this size. */
const digestBlobBytes = 65_536;

/** A chunk that is stored already. */
export interface StoredChunk {
  readonly pack: PackId;
  readonly blob: BlobLocation;
}

/** A stream as it lies in the repository. */
export type StoredStream = Pick<ManifestEntry, 'sizeBytes' | 'crc32c' | 'extents' | 'sums' | 'flags'>;

export interface StreamStorerOptions {
  readonly storing: Storing;
  readonly cutter: ChunkCutter;
  /** By the numbers that `KnownChunks` has for them. */
  readonly knownChunks: readonly StoredChunk[];
  readonly onProgress: (bytes: number) => void;
}

/**
 * Takes a stream as it comes, cuts it, and has the chunks stored. Memory is that of a few runs, whatever comes; who
 * writes faster than is stored waits.
 */
export class StreamStorer {
  readonly #options: StreamStorerOptions;
  readonly #underWay = new UnderWay();
  readonly #free: SharedArrayBuffer[] = [];
  readonly #runs: { ends: Uint32Array; stored: StoredRun | undefined }[] = [];
  #memory: SharedArrayBuffer;
  #bytes: Uint8Array;
  #used = 0;

  constructor(options: StreamStorerOptions) {
    this.#options = options;
    this.#memory = new SharedArrayBuffer(runBytes);
    this.#bytes = new Uint8Array(this.#memory);
  }

  /** Done with `data` when it has returned. Throws what storing throws, of this or of earlier data. */
  async write(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length;) {
      const part = data.subarray(at, at + this.#bytes.length - this.#used);
      this.#bytes.set(part, this.#used);
      this.#used += part.length;
      at += part.length;
      if (this.#used === this.#bytes.length) await this.#send(false);
    }
  }

  /** After the last byte. */
  async end(): Promise<StoredStream> {
    await this.#send(true);
    await this.#underWay.allDone();
    const map = this.#map();
    return { ...map, sums: await this.#storeDigests(), flags: entryFlags.chunkDigests };
  }

  /** Waits until nothing is under way, whatever becomes of it. */
  async stop(): Promise<void> {
    await this.#underWay.allSettled();
  }

  /** The chunks that are whole; at the end, all. */
  async #send(isLast: boolean): Promise<void> {
    const { storing, cutter } = this.#options;
    const ends: number[] = [];
    let start = 0;
    while (isLast ? start < this.#used : this.#used - start >= cutter.mostBytes) {
      start = cutter.endOfChunk(this.#bytes, start, this.#used);
      ends.push(start);
    }
    if (ends.length === 0) return;
    const run = { ends: Uint32Array.from(ends), stored: undefined };
    this.#runs.push(run);
    const [memory, rest] = [this.#memory, this.#bytes.subarray(start, this.#used)];
    await this.#underWay.fewerThan(storing.parallel + 1);
    this.#underWay.start(this.#store(run, memory));
    this.#memory = this.#free.pop() ?? new SharedArrayBuffer(runBytes);
    this.#bytes = new Uint8Array(this.#memory);
    // The bytes of a run are only read.
    this.#bytes.set(rest);
    this.#used = rest.length;
  }

  async #store(run: { ends: Uint32Array; stored: StoredRun | undefined }, memory: SharedArrayBuffer): Promise<void> {
    run.stored = await this.#options.storing.storeRun({ memory, ends: run.ends });
    this.#free.push(memory);
    this.#options.onProgress(run.ends.at(-1) ?? 0);
  }

  #map(): Pick<StoredStream, 'sizeBytes' | 'crc32c' | 'extents'> {
    const extents: Extent[] = [];
    let fileOffset = 0;
    let crc32c = 0;
    for (const { ends, stored } of this.#runs) {
      assert(stored, 'a run that was never stored');
      crc32c = crc32cCombine(crc32c, stored.crc32c, ends.at(-1) ?? 0);
      const fresh = stored.stored.values();
      for (const number of stored.known) {
        const chunk = number < 0 ? fresh.next().value : this.#options.knownChunks[number];
        assert(chunk, 'a chunk that is nowhere');
        const { pack, blob } = chunk;
        extents.push({ fileOffset, lengthBytes: blob.plainBytes, pack, blob, blobOffset: 0 });
        fileOffset += blob.plainBytes;
      }
    }
    return { sizeBytes: fileOffset, crc32c, extents };
  }

  async #storeDigests(): Promise<Extent[]> {
    const all = Buffer.concat(this.#runs.map(({ stored }) => stored?.digests ?? new Uint8Array()));
    const sums: Extent[] = [];
    for (let at = 0; at < all.length; at += digestBlobBytes) {
      const part = all.subarray(at, at + digestBlobBytes);
      const { pack, blob } = await this.#options.storing.storeBlob(part);
      sums.push({ fileOffset: at, lengthBytes: part.length, pack, blob, blobOffset: 0 });
    }
    return sums;
  }
}
