import { assert } from '../errors/pgrecall-error.ts';
import type { CompressedChunk } from './blob-seal.ts';
import { maxChunkBytes, type BlobLocation, type PackId } from './pack-id.ts';
import type { SealedWriter } from './sealed-writer.ts';

/** Writes one pack: chunks in, the places of their blobs out. */
export class PackWriter {
  readonly id: PackId;
  readonly #writer: SealedWriter;

  constructor(id: PackId, writer: SealedWriter) {
    this.id = id;
    this.#writer = writer;
  }

  /** Bytes of the pack so far; whole once it is finished. */
  get sizeBytes(): number {
    return this.#writer.sizeBytes;
  }

  /**
   * Seals a chunk of 1 to `maxChunkBytes` bytes as the next blob; done with it on return, so that it may be
   * memory that is used again. A promise only where the storage answers with one: await it before the next call.
   */
  append(chunk: Uint8Array): BlobLocation | Promise<BlobLocation> {
    assert(chunk.length > 0 && chunk.length <= maxChunkBytes, `a chunk of ${chunk.length} bytes`);
    return this.#writer.append(chunk);
  }

  /** The same with a chunk of another pack, as it was compressed there. */
  appendPayload(chunk: CompressedChunk): BlobLocation | Promise<BlobLocation> {
    assert(chunk.plainBytes > 0 && chunk.plainBytes <= maxChunkBytes, `a chunk of ${chunk.plainBytes} bytes`);
    return this.#writer.appendCompressed(chunk);
  }

  /** Adds the list of blobs, checks that it reads back, makes the pack durable. After an error nothing of it is left. */
  async finish(): Promise<void> {
    await this.#writer.finish();
  }

  /** Forgets the pack. No effect after `finish`. */
  async abort(): Promise<void> {
    await this.#writer.abort();
  }
}
