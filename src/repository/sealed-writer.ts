import { ByteWriter } from '../bytes/byte-writer.ts';
import { PgrecallError, assert } from '../errors/pgrecall-error.ts';
import type { ObjectWriter, PutOptions, Storage } from '../storage/storage.ts';
import { BlobSeal, sealedBound, type CompressedChunk } from './blob-seal.ts';
import { compress, release, type Compression } from './compression.ts';
import type { BlobLocation } from './pack-id.ts';
import { encodeHeader, encodeTrailer, headerBytes, maxBlobBytes, trailerBytes } from './sealed-format.ts';
import type { BlobRole, ObjectKind } from './sealed-format.ts';
import { SealedReader, type IndexLocation, type SealContext } from './sealed-reader.ts';

/** Writes to the storage are of about this size. */
const writeBytes = 1_048_576;

/** Blobs that one index lists; then it is sealed, so that memory stays bounded. */
const indexEntries = 65_536;

/**
 * Writes one sealed object from front to back: header, blobs, indexes, footer, trailer. Blobs are
 * gathered into writes of 1 MiB; the object appears when `finish` returns and not before.
 */
export class SealedWriter {
  readonly #key: string;
  readonly #kind: ObjectKind;
  readonly #context: SealContext;
  readonly #compression: Compression;
  readonly #writer: ObjectWriter;
  readonly #seal: BlobSeal;
  readonly #index = new ByteWriter(1024);
  readonly #indexes: IndexLocation[] = [];
  #indexed = 0;
  #indexFrom = headerBytes;
  #buffer = Buffer.allocUnsafe(65_536);
  #used = headerBytes;
  #written = 0;

  private constructor(
    writer: ObjectWriter,
    key: string,
    kind: ObjectKind,
    context: SealContext,
    compression: Compression,
  ) {
    this.#key = key;
    this.#kind = kind;
    this.#context = context;
    this.#compression = compression;
    this.#writer = writer;
    const header = encodeHeader(kind, context.repositoryKey !== undefined, context.randomBytes(16), key);
    this.#seal = new BlobSeal(header, context.repositoryKey, key);
    header.copy(this.#buffer);
  }

  /** Begins the object at `key`, which is its identity too. */
  static async create(
    storage: Storage,
    key: string,
    kind: ObjectKind,
    context: SealContext,
    options: PutOptions & { readonly compression?: Compression } = {},
  ): Promise<SealedWriter> {
    return SealedWriter.over(await storage.create(key, options), key, kind, context, options.compression);
  }

  /** Over a writer that is open. */
  static over(
    writer: ObjectWriter,
    key: string,
    kind: ObjectKind,
    context: SealContext,
    compression: Compression = 'pages',
  ): SealedWriter {
    return new SealedWriter(writer, key, kind, context, compression);
  }

  /** Bytes of the object so far. */
  get sizeBytes(): number {
    return this.#written + this.#used;
  }

  /** Seals a chunk as the next blob. A promise only where the storage answers with one: then await it before the next call. */
  append(chunk: Uint8Array): BlobLocation | Promise<BlobLocation> {
    return this.#noteContent(this.#add(chunk, 'content'));
  }

  /** The same with a chunk that is compressed already. */
  appendCompressed(chunk: CompressedChunk): BlobLocation | Promise<BlobLocation> {
    return this.#noteContent(this.#addCompressed(chunk, 'content'));
  }

  #noteContent(location: BlobLocation): BlobLocation | Promise<BlobLocation> {
    this.#index.varint(location.storedBytes).varint(location.plainBytes);
    this.#indexed += 1;
    if (this.#indexed === indexEntries) this.#sealIndex();
    if (this.#used < writeBytes) return location;
    const flushed = this.#flush();
    return flushed ? flushed.then(() => location) : location;
  }

  #add(plain: Uint8Array, role: BlobRole): BlobLocation {
    const payload = compress(plain, this.#compression);
    const location = this.#addCompressed({ payload, plainBytes: plain.length }, role);
    if (payload !== plain) release(payload);
    return location;
  }

  #addCompressed(chunk: CompressedChunk, role: BlobRole): BlobLocation {
    const { plainBytes } = chunk;
    assert(plainBytes <= maxBlobBytes, `a blob of ${plainBytes} bytes`);
    this.#makeRoom(sealedBound(chunk.payload.length));
    const offset = this.sizeBytes;
    const storedBytes = this.#seal.sealPayload(chunk, role, offset, this.#buffer, this.#used);
    this.#used += storedBytes;
    return { offset, storedBytes, plainBytes };
  }

  #sealIndex(): void {
    if (this.#indexed === 0) return;
    const location = this.#add(this.#index.view(), 'index');
    this.#indexes.push({ ...location, firstOffset: this.#indexFrom, count: this.#indexed });
    this.#index.clear();
    this.#indexed = 0;
    this.#indexFrom = this.sizeBytes;
  }

  #flush(): Promise<void> | undefined {
    const bytes = this.#buffer.subarray(0, this.#used);
    this.#written += this.#used;
    this.#used = 0;
    const pending = this.#writer.write(bytes);
    return pending instanceof Promise ? pending : undefined;
  }

  /**
   * Adds the footer with `body` in it, reads the footer back where the storage lets it, then makes the
   * object durable and visible. After an error nothing of the object is left.
   */
  async finish(body: Uint8Array = new Uint8Array(0)): Promise<void> {
    try {
      this.#sealIndex();
      const footer = this.#encodeFooter(body);
      const at = this.#add(footer, 'footer');
      this.#makeRoom(trailerBytes);
      encodeTrailer({
        footerOffset: at.offset,
        footerStoredBytes: at.storedBytes,
        footerPlainBytes: at.plainBytes,
      }).copy(this.#buffer, this.#used);
      this.#used += trailerBytes;
      await this.#flush();
      await this.#readBack(footer);
      await this.#writer.commit();
    } catch (error) {
      await this.#writer.abort();
      throw error;
    }
  }

  #encodeFooter(body: Uint8Array): Uint8Array {
    const footer = new ByteWriter(64 + body.length);
    footer.varint(this.#indexes.length);
    for (const index of this.#indexes) {
      footer.varint(index.offset).varint(index.storedBytes).varint(index.plainBytes);
      footer.varint(index.firstOffset).varint(index.count);
    }
    return footer.bytes(body).view();
  }

  #makeRoom(bytes: number): void {
    const needed = this.#used + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, writeBytes + sealedBound(writeBytes)));
    this.#buffer.copy(grown, 0, 0, this.#used);
    this.#buffer = grown;
  }

  async #readBack(footer: Uint8Array): Promise<void> {
    const reader = await this.#writer.readBack?.();
    if (!reader) return;
    const sealed = await SealedReader.over(reader, this.#key, this.#kind, this.#context);
    try {
      const found = await sealed.footer();
      if (Buffer.compare(found, footer) !== 0) {
        throw new PgrecallError('storage', `"${this.#key}" reads back otherwise than it was written`, {
          hint: 'look for disk errors in the kernel’s log',
        });
      }
    } finally {
      await sealed.close();
    }
  }

  /** Forgets the object; nothing of it is ever seen. No effect after `finish`. */
  async abort(): Promise<void> {
    await this.#writer.abort();
  }
}
