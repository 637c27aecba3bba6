import type { CompressedChunk } from './blob-seal.ts';
import type { BlobLocation, PackId } from './pack-id.ts';
import type { SealedReader } from './sealed-reader.ts';

/** Reads blobs of one pack. Throws `blob-damaged`, `object-damaged`, with the pack's key and the offset. */
export class PackReader {
  readonly id: PackId;
  readonly #reader: SealedReader;

  constructor(id: PackId, reader: SealedReader) {
    this.id = id;
    this.#reader = reader;
  }

  get sizeBytes(): number {
    return this.#reader.sizeBytes;
  }

  /** Every blob, from the pack's own list. */
  async blobs(): Promise<BlobLocation[]> {
    return this.#reader.blobs();
  }

  /** The chunk that a blob holds. Not a promise where the storage, or what was prefetched, answers at once. */
  read(location: BlobLocation): Uint8Array | Promise<Uint8Array> {
    return this.#reader.read(location);
  }

  /** The same as it was compressed, checked, for `PackWriter.appendPayload`. */
  async readPayload(location: BlobLocation): Promise<CompressedChunk> {
    return this.#reader.readPayload(location);
  }

  /** Reads a run of stored bytes at once, 1 to 4 MiB say; `read` then opens the blobs in it from memory. The next call forgets it. */
  prefetch(offset: number, lengthBytes: number): void | Promise<void> {
    return this.#reader.prefetch(offset, lengthBytes);
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
