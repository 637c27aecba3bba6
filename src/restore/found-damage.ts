import type { Extent } from '../repository/file-map.ts';
import type { PackId } from '../repository/pack-id.ts';
import { isSameMap } from './map-difference.ts';
import type { VerifiedFile } from './verify-entry-plan.ts';
import type { Problem, VerifiedBatch, WrongBlock } from './verify-items.ts';

/** Of a pack in which more blobs are damaged than this, all count as damaged. */
const mostBlobs = 65_536;

/** These say that no blob of the pack can be read. */
const ofWholePack: ReadonlySet<string> = new Set(['object-missing', 'object-swapped']);

/**
 * What was found damaged of the packs of a cluster. It is little, and is gathered before anybody asks whom it harms: each
 * blob is read once, however many backups refer to it.
 */
export class FoundDamage {
  readonly #packs = new Map<PackId, Problem>();
  readonly #lists = new Map<PackId, Problem>();
  readonly #blobs = new Map<PackId, Map<number, Problem>>();
  readonly #wrong = new Map<PackId, Map<number, WrongBlock[]>>();
  readonly #files = new Map<string, VerifiedFile[]>();

  get isNone(): boolean {
    return this.#packs.size + this.#lists.size + this.#blobs.size + this.#wrong.size + this.#files.size === 0;
  }

  /** Nothing of the pack can be read. */
  addPack(pack: PackId, problem: Problem): void {
    if (!this.#packs.has(pack)) this.#packs.set(pack, problem);
    this.#blobs.delete(pack);
  }

  /** The pack's own lists of its blobs cannot be read; the blobs may be good. */
  addLists(pack: PackId, problem: Problem): void {
    this.#lists.set(pack, problem);
  }

  addBatch({ damaged, wrong }: VerifiedBatch): void {
    for (const { pack, offset, code, message } of damaged) this.#addBlob(pack, offset, { code, message });
    for (const block of wrong) {
      const ofPack = entryOf(this.#wrong, block.pack, () => new Map<number, WrongBlock[]>());
      entryOf(ofPack, block.offset, () => [] as WrongBlock[]).push(block);
    }
  }

  #addBlob(pack: PackId, offset: number, problem: Problem): void {
    if (this.#packs.has(pack)) return;
    if (ofWholePack.has(problem.code)) {
      this.addPack(pack, problem);
      return;
    }
    const ofPack = entryOf(this.#blobs, pack, () => new Map<number, Problem>());
    ofPack.set(offset, problem);
    if (ofPack.size <= mostBlobs) return;
    const message = `more than ${mostBlobs} blobs of the pack ${pack} are damaged; the last was: ${problem.message}`;
    this.addPack(pack, { code: problem.code, message });
  }

  /** The sums of a file, or its content, do not make the CRC-32C that the backup has of it. */
  addFile(path: string, file: VerifiedFile): void {
    entryOf(this.#files, path, () => [] as VerifiedFile[]).push(file);
  }

  isUnreadable(pack: PackId): boolean {
    return this.#packs.has(pack);
  }

  /** Whether something is wrong with the pack, or with a blob in it. */
  concerns(pack: PackId): boolean {
    return this.#packs.has(pack) || this.#lists.has(pack) || this.concernsBlobs(pack);
  }

  concernsBlobs(pack: PackId): boolean {
    return this.#packs.has(pack) || this.#blobs.has(pack) || this.#wrong.has(pack);
  }

  ofPack(pack: PackId): Problem | undefined {
    return this.#packs.get(pack) ?? this.#lists.get(pack);
  }

  ofBlob({ pack, blob }: Extent): Problem | undefined {
    return this.#packs.get(pack) ?? this.#blobs.get(pack)?.get(blob.offset);
  }

  /** Wrong blocks that lie in the extent. */
  wrongIn({ pack, blob, blobOffset, lengthBytes }: Extent): readonly WrongBlock[] {
    const wrong = this.#wrong.get(pack)?.get(blob.offset) ?? [];
    return wrong.filter((block) => block.blobOffset >= blobOffset && block.blobOffset < blobOffset + lengthBytes);
  }

  hasWrongFiles(): boolean {
    return this.#files.size > 0;
  }

  /** Whether the file, as a backup has it, is one whose CRC-32C was wrong. */
  isWrongFile(path: string, file: VerifiedFile): boolean {
    return (this.#files.get(path) ?? []).some(
      ({ crc32c, sizeBytes, extents, sums }) =>
        crc32c === file.crc32c &&
        sizeBytes === file.sizeBytes &&
        isSameMap(extents, file.extents) &&
        isSameMap(sums, file.sums),
    );
  }
}

function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const there = map.get(key);
  if (there !== undefined) return there;
  const made = make();
  map.set(key, made);
  return made;
}
