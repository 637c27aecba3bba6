import { crc32c } from '../../src/bytes/crc32c.ts';
import { createPageKernel, type PageKernel } from '../../src/postgres/page-kernel.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { summedBytes, sumsLength } from '../../src/repository/block-sums.ts';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import type { Extent } from '../../src/repository/file-map.ts';
import type { ManifestEntry } from '../../src/repository/manifest.ts';
import type { PackId } from '../../src/repository/pack-id.ts';
import type { PackWriter } from '../../src/repository/pack-writer.ts';
import { entry } from './manifests.ts';
import { backupRecord } from './test-repository.ts';

/* Backups with block sums that share packs, as a full one and those that build on it leave them. */

/** Where a block of a file lies. */
interface Place {
  readonly pack: PackId;
  readonly blob: Extent['blob'];
  readonly blobOffset: number;
}

interface StoredFile {
  readonly content: Buffer;
  readonly places: readonly Place[];
  readonly sums: readonly Extent[];
}

/** What a backup does to a file: its size, and the blocks that it stores anew. */
export interface FileChange {
  readonly sizeBytes: number;
  readonly changed: readonly number[];
}

const blocksToBlob = 4;

export class SummedBackups {
  readonly cluster: ClusterRepository;
  readonly #randomBytes: (length: number) => Uint8Array;
  readonly #kernel: PageKernel;
  #files = new Map<string, StoredFile>();

  constructor(cluster: ClusterRepository, randomBytes: (length: number) => Uint8Array) {
    this.cluster = cluster;
    this.#randomBytes = randomBytes;
    this.#kernel = createPageKernel(1_048_576, cluster.repository.sumKey());
  }

  /** `edit`: what a program with a bug would write instead of an entry. */
  async add(
    id: string,
    changes: Readonly<Record<string, FileChange>>,
    options: {
      readonly edit?: (made: ManifestEntry) => ManifestEntry;
      readonly spoilSums?: (sums: Buffer) => void;
      readonly record?: Partial<BackupRecord>;
    } = {},
  ): Promise<void> {
    const pack = await this.cluster.createPack();
    for (const [path, change] of Object.entries(changes)) {
      this.#files.set(path, await this.#store(pack, this.#files.get(path), change, options.spoilSums));
    }
    await pack.finish();
    const entries = [...this.#files].map(([path, file]) => (options.edit ?? same)(entryOf(path, file)));
    await this.#write(id, entries, options.record ?? {});
  }

  /** A file of another size has its last block anew, and those that it did not have. */
  async #store(
    pack: PackWriter,
    before: StoredFile | undefined,
    { sizeBytes, changed }: FileChange,
    spoil?: (sums: Buffer) => void,
  ): Promise<StoredFile> {
    const content = Buffer.alloc(sizeBytes);
    before?.content.copy(content);
    const count = Math.ceil(sizeBytes / summedBytes);
    const isAsLong = before?.content.length === sizeBytes;
    const kept = Math.floor(Math.min(before?.content.length ?? 0, sizeBytes) / summedBytes);
    const fresh = Array.from({ length: count }, (_, block) => block).filter(
      (block) => changed.includes(block) || (!isAsLong && block >= kept),
    );
    const places = [...(before?.places ?? [])].slice(0, count);
    for (let i = 0; i < fresh.length; i += blocksToBlob) {
      const some = fresh.slice(i, i + blocksToBlob);
      for (const block of some) blockOf(content, block).set(this.#randomBytes(blockOf(content, block).length));
      const blob = await pack.append(Buffer.concat(some.map((block) => blockOf(content, block))));
      let blobOffset = 0;
      for (const block of some) {
        places[block] = { pack: pack.id, blob, blobOffset };
        blobOffset += blockOf(content, block).length;
      }
    }
    return {
      content,
      places,
      sums: isAsLong && fresh.length === 0 ? before.sums : await this.#storeSums(pack, content, spoil),
    };
  }

  async #storeSums(pack: PackWriter, content: Buffer, spoil?: (sums: Buffer) => void): Promise<Extent[]> {
    if (content.length === 0) return [];
    this.#kernel.buffer.set(content);
    const sums = Buffer.from(this.#kernel.sums(0, content.length));
    spoil?.(sums);
    const blob = await pack.append(sums);
    return [{ fileOffset: 0, lengthBytes: sumsLength(content.length), pack: pack.id, blob, blobOffset: 0 }];
  }

  async #write(id: string, entries: readonly ManifestEntry[], changes: Partial<BackupRecord>): Promise<void> {
    const manifest = await this.cluster.createManifest(id);
    await manifest.add(entry('', { kind: 'directory', mode: 0o700 }));
    for (const one of entries.toSorted((a, b) => (a.path < b.path ? -1 : 1))) await manifest.add(one);
    for (const name of ['pg_control', 'backup_label', 'tablespace_map']) await manifest.attach(name, Buffer.from(name));
    const { files, sizeBytes } = await manifest.finish();
    const packs = new Set(entries.flatMap(({ extents, sums }) => [...extents, ...sums].map(({ pack }) => pack)));
    await this.cluster.writeRecord(id, backupRecord(id, { packs: [...packs], files, sizeBytes, ...changes }));
  }
}

function same(made: ManifestEntry): ManifestEntry {
  return made;
}

function blockOf(content: Buffer, block: number): Buffer {
  return content.subarray(block * summedBytes, (block + 1) * summedBytes);
}

function entryOf(path: string, { content, places, sums }: StoredFile): ManifestEntry {
  const extents = places.map((place, block): Extent => {
    return { ...place, fileOffset: block * summedBytes, lengthBytes: blockOf(content, block).length };
  });
  return entry(path, { sizeBytes: content.length, crc32c: crc32c(content), extents, sums });
}
