import { ByteWriter } from '../bytes/byte-writer.ts';
import { assert } from '../errors/pgrecall-error.ts';
import type { Extent } from './file-map.ts';
import { MapsEncoder } from './file-maps.ts';
import { EntryEncoder, EntryOrder, type MapPlace } from './manifest-entry-codec.ts';
import { maxAttachmentBytes, maxInlineExtents, sumsRunBytes, type ManifestEntry } from './manifest.ts';
import { maxChunkBytes, type BlobLocation, type PackId } from './pack-id.ts';
import { encodePath } from './path-text.ts';
import type { SealedWriter } from './sealed-writer.ts';

/** A block is sealed when it has this many entries or bytes. */
const blockEntries = 1000;
const blockBytes = 262_144;

export interface ManifestSummary {
  /** Of all files. */
  readonly sizeBytes: number;
  readonly files: number;
}

/**
 * Writes a manifest entry by entry, in bounded memory: blocks of about 1,000 entries are blobs, large
 * file maps and attachments are blobs of their own, and the footer says where each is
 * (docs/repository-format.md, "Manifest"). Entries come in the order of their paths.
 */
export class ManifestWriter {
  readonly #writer: SealedWriter;
  readonly #packs = new Map<PackId, number>();
  readonly #order = new EntryOrder();
  readonly #block = new ByteWriter(2 * blockBytes);
  readonly #blocks = new ByteWriter(4096);
  readonly #attachments = new ByteWriter(1024);
  readonly #attached = new Set<string>();
  #encoder: EntryEncoder | undefined;
  #inBlock = 0;
  #blockCount = 0;
  #entries = 0;
  #files = 0;
  #sizeBytes = 0;

  constructor(writer: SealedWriter) {
    this.#writer = writer;
  }

  /** Bytes of the stored object so far; whole once it is finished. */
  get storedBytes(): number {
    return this.#writer.sizeBytes;
  }

  /** Every pack that the maps so far refer to. */
  get packs(): PackId[] {
    return [...this.#packs.keys()];
  }

  readonly #indexOf = (pack: PackId): number => {
    let index = this.#packs.get(pack);
    if (index === undefined) {
      index = this.#packs.size;
      this.#packs.set(pack, index);
    }
    return index;
  };

  /** The next entry. A promise only where the storage answers with one: await it before the next call. */
  add(entry: ManifestEntry): void | Promise<void> {
    const path = encodePath(entry.path);
    const problem = this.#order.problem(path, entry.kind, entry.path) ?? mapProblem(entry);
    assert(problem === undefined, `a manifest with ${problem}`);
    const { extents, sums } = entry;
    if (extents.length + sums.length <= maxInlineExtents) return this.#put(entry, path, { extents, sums });
    const map = new ByteWriter((extents.length + sums.length) * 5);
    new MapsEncoder(this.#indexOf).encode({ extents, sums }, map);
    const counts = { count: extents.length, sumsCount: sums.length };
    const blob = this.#writer.append(map.view());
    if (blob instanceof Promise) return blob.then((place) => this.#put(entry, path, { ...counts, blob: place }));
    return this.#put(entry, path, { ...counts, blob });
  }

  #put(entry: ManifestEntry, path: Uint8Array, map: MapPlace): void | Promise<void> {
    this.#encoder ??= new EntryEncoder(this.#block, new MapsEncoder(this.#indexOf));
    this.#encoder.encode(entry, path, map);
    this.#inBlock += 1;
    this.#entries += 1;
    if (entry.kind === 'file') {
      this.#files += 1;
      this.#sizeBytes += entry.sizeBytes;
    }
    if (this.#inBlock < blockEntries && this.#block.length < blockBytes) return undefined;
    return this.#sealBlock();
  }

  #sealBlock(): void | Promise<void> {
    const blob = this.#writer.append(this.#block.view());
    if (blob instanceof Promise) return blob.then((place) => this.#noteBlock(place));
    return this.#noteBlock(blob);
  }

  #noteBlock(blob: BlobLocation): void {
    this.#blocks.varint(this.#inBlock);
    writeLocation(this.#blocks, blob);
    this.#blockCount += 1;
    this.#inBlock = 0;
    this.#block.clear();
    this.#encoder = undefined;
  }

  /** Keeps a document of up to 64 MiB with the backup, under a name of its own. Await it before the next call. */
  async attach(name: string, bytes: Uint8Array): Promise<void> {
    assert(!this.#attached.has(name), `the attachment ${name} twice`);
    assert(bytes.length <= maxAttachmentBytes, `an attachment of ${bytes.length} bytes`);
    this.#attached.add(name);
    const count = Math.ceil(bytes.length / maxChunkBytes);
    this.#attachments.text(name).varint(bytes.length).varint(count);
    for (let at = 0; at < bytes.length; at += maxChunkBytes) {
      writeLocation(this.#attachments, await this.#writer.append(bytes.subarray(at, at + maxChunkBytes)));
    }
  }

  /** Makes the manifest durable. After an error nothing of it is left. */
  async finish(): Promise<ManifestSummary> {
    if (this.#inBlock > 0) await this.#sealBlock();
    const body = new ByteWriter(this.#packs.size * 16 + this.#blocks.length + this.#attachments.length + 64);
    body.varint(this.#packs.size);
    for (const pack of this.#packs.keys()) body.bytes(Buffer.from(pack, 'hex'));
    body.varint(this.#blockCount).bytes(this.#blocks.view());
    body.varint(this.#entries).varint(this.#files).varint(this.#sizeBytes);
    body.varint(this.#attached.size).bytes(this.#attachments.view());
    await this.#writer.finish(body.view());
    return { sizeBytes: this.#sizeBytes, files: this.#files };
  }

  /** Forgets the manifest. No effect after `finish`. */
  async abort(): Promise<void> {
    await this.#writer.abort();
  }
}

function writeLocation(into: ByteWriter, { offset, storedBytes, plainBytes }: BlobLocation): void {
  into.varint(offset).varint(storedBytes).varint(plainBytes);
}

/** The same that a reader will check: found here, it is a bug; found there, the backup would be lost. */
function mapProblem(entry: ManifestEntry): string | undefined {
  const { path, extents, sums, sizeBytes, flags } = entry;
  if (entry.kind !== 'file') {
    return extents.length + sums.length > 0 || sizeBytes > 0 ? `content in "${path}"` : undefined;
  }
  const problem = runProblem(extents, sizeBytes, path);
  if (problem !== undefined || sums.length === 0) return problem;
  return runProblem(sums, sumsRunBytes(flags, extents.length, sizeBytes), `sums of ${path}`);
}

function runProblem(extents: readonly Extent[], lengthBytes: number, of: string): string | undefined {
  let end = 0;
  for (const { fileOffset, lengthBytes: length, blob, blobOffset } of extents) {
    if (fileOffset !== end) return `a gap or an overlap in "${of}" at byte ${end}`;
    if (length < 1 || blobOffset < 0 || blobOffset + length > blob.plainBytes) {
      return `an extent beyond its blob in "${of}" at byte ${end}`;
    }
    end += length;
  }
  return end === lengthBytes ? undefined : `"${of}" mapped to byte ${end} of ${lengthBytes}`;
}
