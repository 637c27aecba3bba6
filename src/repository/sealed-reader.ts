import { BoundedReader } from '../bytes/bounded-reader.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { objectTooShort } from '../storage/storage-errors.ts';
import type { ObjectReader, Storage } from '../storage/storage.ts';
import { BlobSeal, type CompressedChunk } from './blob-seal.ts';
import { ContentDigest } from './content-digest.ts';
import type { BlobLocation } from './pack-id.ts';
import {
  blobDamaged,
  checkHeader,
  damaged,
  decodeTrailer,
  headerBytes,
  tagBytes,
  trailerBytes,
} from './sealed-format.ts';
import type { BlobRole, ObjectKind, Trailer } from './sealed-format.ts';

/** What sealing and opening an object takes from its repository. */
export interface SealContext {
  /** 32 bytes; `undefined` where the repository is not encrypted. */
  readonly repositoryKey: Uint8Array | undefined;
  /** For salts: cryptographically random. */
  readonly randomBytes: (length: number) => Uint8Array;
}

/** An object of up to so many bytes is read at once: its parts would take one request each. */
const smallBytes = 65_536;

/** Where to find an index, and the blobs that it lists: `count` of them, without gaps from `firstOffset`. */
export interface IndexLocation extends BlobLocation {
  readonly firstOffset: number;
  readonly count: number;
}

/**
 * Reads one sealed object: any blob of it, or what its footer says. Nothing that it returns is
 * unchecked. Throws `object-damaged`, `object-swapped`, `blob-damaged`, each with the object's key and
 * the byte offset.
 */
export class SealedReader {
  readonly key: string;
  readonly #reader: ObjectReader;
  readonly #seal: BlobSeal;
  #run: { readonly offset: number; readonly bytes: Uint8Array } | undefined;
  #footer: { readonly at: Trailer; readonly plain: Uint8Array } | undefined;

  private constructor(reader: ObjectReader, key: string, seal: BlobSeal) {
    this.key = key;
    this.#reader = reader;
    this.#seal = seal;
  }

  static async open(storage: Storage, key: string, kind: ObjectKind, context: SealContext): Promise<SealedReader> {
    const reader = await storage.open(key);
    try {
      const sealed = await SealedReader.over(reader, key, kind, context);
      if (reader.sizeBytes <= smallBytes) await sealed.prefetch(0, reader.sizeBytes);
      return sealed;
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  /** Over an object that is open; checks its header. */
  static async over(reader: ObjectReader, key: string, kind: ObjectKind, context: SealContext): Promise<SealedReader> {
    if (reader.sizeBytes < headerBytes) throw objectTooShort(key, reader.sizeBytes, headerBytes);
    const header = await reader.read(0, headerBytes);
    checkHeader(header, kind, context.repositoryKey !== undefined, key);
    return new SealedReader(reader, key, new BlobSeal(header, context.repositoryKey, key));
  }

  get sizeBytes(): number {
    return this.#reader.sizeBytes;
  }

  /** The plaintext of the footer. */
  async footer(): Promise<Uint8Array> {
    return (await this.#readFooter()).plain;
  }

  async #readFooter(): Promise<{ readonly at: Trailer; readonly plain: Uint8Array }> {
    if (this.#footer) return this.#footer;
    const smallest = headerBytes + tagBytes + trailerBytes;
    if (this.sizeBytes < smallest) throw objectTooShort(this.key, this.sizeBytes, smallest);
    const at = decodeTrailer(await this.#stored(this.sizeBytes - trailerBytes, trailerBytes), this.key, this.sizeBytes);
    const plain = await this.#readBlob(
      { offset: at.footerOffset, storedBytes: at.footerStoredBytes, plainBytes: at.footerPlainBytes },
      'footer',
    );
    this.#footer = { at, plain };
    return this.#footer;
  }

  async #indexes(): Promise<{ readonly indexes: readonly IndexLocation[]; readonly bodyOffset: number }> {
    const { at, plain } = await this.#readFooter();
    return this.#decoding(at.footerOffset, () => {
      const reader = new BoundedReader(plain, 'footer');
      const indexes: IndexLocation[] = [];
      let next = headerBytes;
      for (let count = reader.varint(); count > 0; count -= 1) {
        const [offset, storedBytes, plainBytes] = [reader.varint(), reader.varint(), reader.varint()];
        const [firstOffset, blobs] = [reader.varint(), reader.varint()];
        if (firstOffset !== next || offset < firstOffset || blobs > plainBytes) reader.fail('an index out of place');
        next = offset + storedBytes;
        indexes.push({ offset, storedBytes, plainBytes, firstOffset, count: blobs });
      }
      if (next !== at.footerOffset) reader.fail(`blobs up to byte ${next}, the footer at byte ${at.footerOffset}`);
      return { indexes, bodyOffset: reader.offset };
    });
  }

  /** What the writer gave to `finish`. */
  async body(): Promise<Uint8Array> {
    const { bodyOffset } = await this.#indexes();
    const { plain } = await this.#readFooter();
    return plain.subarray(bodyOffset);
  }

  /** Every content blob, in order. Together with the indexes and the footer they cover the whole object. */
  async blobs(): Promise<BlobLocation[]> {
    const { indexes } = await this.#indexes();
    const blobs: BlobLocation[] = [];
    for (const index of indexes) {
      const plain = await this.#readBlob(index, 'index');
      this.#decoding(index.offset, () => {
        const reader = new BoundedReader(plain, 'index');
        let offset = index.firstOffset;
        for (let count = index.count; count > 0; count -= 1) {
          const blob = { offset, storedBytes: reader.varint(), plainBytes: reader.varint() };
          offset += blob.storedBytes;
          blobs.push(blob);
        }
        if (offset !== index.offset) reader.fail(`blobs up to byte ${offset}, the index at byte ${index.offset}`);
        reader.end();
      });
    }
    return blobs;
  }

  #decoding<T>(offset: number, decode: () => T): T {
    try {
      return decode();
    } catch (error) {
      if (hasCode(error, 'decode')) throw damaged(this.key, error.message, offset, error);
      throw error;
    }
  }

  /** The plaintext of a content blob. Not a promise where the storage, or what was prefetched, answers at once. */
  read(location: BlobLocation): Uint8Array | Promise<Uint8Array> {
    return this.#readBlob(location, 'content');
  }

  /** A content blob as it was compressed, checked: to be stored elsewhere. May be a view of what was prefetched. */
  async readPayload(location: BlobLocation): Promise<CompressedChunk> {
    this.#checkSizes(location);
    const { offset, storedBytes, plainBytes } = location;
    return this.#seal.openPayload(await this.#stored(offset, storedBytes), 'content', offset, plainBytes);
  }

  #checkSizes({ offset, storedBytes, plainBytes }: BlobLocation): void {
    if (offset < headerBytes || storedBytes < tagBytes || storedBytes > plainBytes + tagBytes) {
      throw blobDamaged(this.key, `cannot hold ${plainBytes} bytes in ${storedBytes}`, offset);
    }
  }

  #readBlob(location: BlobLocation, role: BlobRole): Uint8Array | Promise<Uint8Array> {
    this.#checkSizes(location);
    const { offset, storedBytes, plainBytes } = location;
    const stored = this.#stored(offset, storedBytes);
    if (stored instanceof Promise) return stored.then((bytes) => this.#seal.open(bytes, role, offset, plainBytes));
    return this.#seal.open(stored, role, offset, plainBytes);
  }

  /** A view of what was prefetched where that has it. */
  #stored(offset: number, lengthBytes: number): Uint8Array | Promise<Uint8Array> {
    const run = this.#run;
    if (!run || offset < run.offset || offset + lengthBytes > run.offset + run.bytes.length) {
      return this.#reader.read(offset, lengthBytes);
    }
    return run.bytes.subarray(offset - run.offset, offset - run.offset + lengthBytes);
  }

  /** The digest of all content blobs, in order (content-digest.ts). Throws `blob-damaged`. */
  async contentDigest(): Promise<string> {
    const digest = new ContentDigest();
    for (const { offset, storedBytes, plainBytes } of await this.blobs()) {
      const stored = await this.#reader.read(offset, storedBytes);
      digest.add(plainBytes, this.#seal.payloadHash(stored, 'content', offset, plainBytes));
    }
    return digest.finish();
  }

  /**
   * Reads a run of stored bytes at once; blobs inside it are then opened from memory. One run is kept:
   * the next call forgets it. Clipped to the object's end.
   */
  prefetch(offset: number, lengthBytes: number): void | Promise<void> {
    this.#run = undefined;
    const length = Math.min(lengthBytes, this.sizeBytes - offset);
    if (length <= 0) return undefined;
    const bytes = this.#reader.read(offset, length);
    if (bytes instanceof Promise) {
      return bytes.then((read) => {
        this.#run = { offset, bytes: read };
      });
    }
    this.#run = { offset, bytes };
    return undefined;
  }

  async close(): Promise<void> {
    this.#run = undefined;
    await this.#reader.close();
  }
}
