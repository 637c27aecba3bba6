import { BoundedReader } from '../bytes/bounded-reader.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { MapsDecoder, type ExpectedMaps } from './file-maps.ts';
import { EntryDecoder, EntryOrder, type DecodedEntry } from './manifest-entry-codec.ts';
import { maxAttachmentBytes, type FileMaps, type StoredEntry } from './manifest.ts';
import { maxChunkBytes, packIdFromBytes, type BlobLocation, type PackId } from './pack-id.ts';
import type { SealedReader } from './sealed-reader.ts';

interface Block {
  readonly entries: number;
  readonly blob: BlobLocation;
}

interface Attachment {
  readonly sizeBytes: number;
  readonly chunks: readonly BlobLocation[];
}

interface Contents {
  readonly packs: readonly PackId[];
  readonly blocks: readonly Block[];
  readonly attachments: ReadonlyMap<string, Attachment>;
  readonly entries: number;
  readonly files: number;
  readonly sizeBytes: number;
}

/**
 * Reads a manifest block by block. What it yields is checked: paths stay below the target and are in
 * order, maps cover their files exactly, blobs have possible sizes. Throws `manifest-hostile` for what no
 * backup of ours can contain, `blob-damaged` and `object-damaged` for what changed on disk.
 */
export class ManifestReader {
  readonly #reader: SealedReader;
  readonly #contents: Contents;

  private constructor(reader: SealedReader, contents: Contents) {
    this.#reader = reader;
    this.#contents = contents;
  }

  static async open(reader: SealedReader): Promise<ManifestReader> {
    try {
      const body = await reader.body();
      return new ManifestReader(
        reader,
        refusing(reader.key, () => decodeContents(new BoundedReader(body, 'footer'))),
      );
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  /** How many entries of all kinds. */
  get entryCount(): number {
    return this.#contents.entries;
  }

  get files(): number {
    return this.#contents.files;
  }

  /** Of all files. */
  get sizeBytes(): number {
    return this.#contents.sizeBytes;
  }

  /** Every entry, in the order of the paths. */
  async *entries(): AsyncIterable<StoredEntry> {
    const order = new EntryOrder();
    const totals = { files: 0, sizeBytes: 0 };
    for (const block of this.#contents.blocks) {
      const plain = await this.#reader.read(block.blob);
      for (const entry of this.#decodeBlock(plain, block, order)) {
        totals.files += entry.kind === 'file' ? 1 : 0;
        totals.sizeBytes += entry.sizeBytes;
        yield entry;
      }
    }
    if (totals.files !== this.#contents.files || totals.sizeBytes !== this.#contents.sizeBytes) {
      throw hostile(this.#reader.key, `${totals.files} files of ${totals.sizeBytes} bytes, other than it says itself`);
    }
  }

  /** Entries are stored in blocks, in the order of the paths. */
  get blockCount(): number {
    return this.#contents.blocks.length;
  }

  /** The entries of one block, for who looks for a few. */
  async blockEntries(index: number): Promise<StoredEntry[]> {
    const block = this.#contents.blocks[index];
    if (!block) return [];
    return this.#decodeBlock(await this.#reader.read(block.blob), block, new EntryOrder());
  }

  #decodeBlock(plain: Uint8Array, block: Block, order: EntryOrder): StoredEntry[] {
    return refusing(this.#reader.key, () => {
      const reader = new BoundedReader(plain, `block at byte ${block.blob.offset}`);
      const decoder = new EntryDecoder(reader, new MapsDecoder(this.#contents.packs), order);
      const entries: StoredEntry[] = [];
      for (let left = block.entries; left > 0; left -= 1) entries.push(this.#storedEntry(decoder.decode()));
      reader.end();
      return entries;
    });
  }

  #storedEntry({ map, ...entry }: DecodedEntry): StoredEntry {
    if ('blob' in map) {
      const { count, sumsCount, blob } = map;
      const { sizeBytes, flags } = entry;
      return {
        ...entry,
        maps: undefined,
        extentCount: count,
        loadMaps: async () => this.#loadMaps(blob, { count, sumsCount, sizeBytes, flags }),
      };
    }
    return { ...entry, maps: map, extentCount: map.extents.length, loadMaps: async () => map };
  }

  async #loadMaps(blob: BlobLocation, expected: ExpectedMaps): Promise<FileMaps> {
    const plain = await this.#reader.read(blob);
    return refusing(this.#reader.key, () => {
      const reader = new BoundedReader(plain, `maps at byte ${blob.offset}`);
      const maps = new MapsDecoder(this.#contents.packs).decode(reader, expected);
      reader.end();
      return maps;
    });
  }

  get attachmentNames(): readonly string[] {
    return [...this.#contents.attachments.keys()];
  }

  /** What `attach` was given under that name. */
  async attachment(name: string): Promise<Uint8Array | undefined> {
    const found = this.#contents.attachments.get(name);
    if (!found) return undefined;
    const whole = Buffer.allocUnsafe(found.sizeBytes);
    let at = 0;
    for (const chunk of found.chunks) {
      whole.set(await this.#reader.read(chunk), at);
      at += chunk.plainBytes;
    }
    return whole;
  }

  /** Every pack that the file maps refer to. */
  async packs(): Promise<PackId[]> {
    return [...this.#contents.packs];
  }

  /** Reads and checks every blob, also those that no entry leads to. */
  async verify(): Promise<void> {
    for (const blob of await this.#reader.blobs()) await this.#reader.read(blob);
    for await (const entry of this.entries()) if (!entry.maps) await entry.loadMaps();
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function decodeContents(reader: BoundedReader): Contents {
  const packs = times(reader, () => packIdFromBytes(reader.bytes(16)));
  const blocks = times(reader, () => ({ entries: reader.varint(), blob: decodeLocation(reader) }));
  const [entries, files, sizeBytes] = [reader.varint(), reader.varint(), reader.varint()];
  const listed = blocks.reduce((sum, block) => sum + block.entries, 0);
  if (listed !== entries) reader.fail(`${entries} entries announced, ${listed} in its blocks`);
  const attachments = new Map(times(reader, () => [reader.text(256), decodeAttachment(reader)]));
  reader.end();
  return { packs, blocks, attachments, entries, files, sizeBytes };
}

function decodeAttachment(reader: BoundedReader): Attachment {
  const sizeBytes = reader.varint();
  const chunks = times(reader, () => decodeLocation(reader));
  const total = chunks.reduce((sum, chunk) => sum + chunk.plainBytes, 0);
  if (total !== sizeBytes || sizeBytes > maxAttachmentBytes || chunks.some((c) => c.plainBytes > maxChunkBytes)) {
    reader.fail(`an attachment of ${sizeBytes} bytes in chunks of ${total}`);
  }
  return { sizeBytes, chunks };
}

function decodeLocation(reader: BoundedReader): BlobLocation {
  return { offset: reader.varint(), storedBytes: reader.varint(), plainBytes: reader.varint() };
}

/** A count, then that many; a count that the rest cannot hold fails before anything is made. */
function times<T>(reader: BoundedReader, decode: () => T): T[] {
  const count = reader.varint();
  if (count > reader.remaining) reader.fail(`${count} things in ${reader.remaining} bytes`);
  return Array.from({ length: count }, decode);
}

function refusing<T>(key: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (hasCode(error, 'decode')) throw hostile(key, error.message, error);
    throw error;
  }
}

function hostile(key: string, problem: string, cause?: unknown): PgrecallError {
  return new PgrecallError('manifest-hostile', `"${key}" is not a manifest that pgrecall wrote: ${problem}`, {
    details: { key },
    cause,
  });
}
