import type { ManifestReader } from '../repository/manifest-reader.ts';
import { comparePaths } from '../repository/manifest-path.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { encodePath } from '../repository/path-text.ts';

/** Blocks of the manifest that are held: about 1,000 entries each, a quarter of a million in all. */
const heldBlocks = 256;

/**
 * Finds entries of a backup by path. A server sends a directory's files in whatever order they lie in, but one directory after
 * the other; so blocks of the manifest that were needed just now are held.
 */
export class ReferenceIndex {
  readonly #manifest: ManifestReader;
  /** Where each block begins. */
  readonly #firstPaths: readonly Uint8Array[];
  readonly #held = new Map<number, ReadonlyMap<string, StoredEntry>>();

  private constructor(manifest: ManifestReader, firstPaths: readonly Uint8Array[]) {
    this.#manifest = manifest;
    this.#firstPaths = firstPaths;
  }

  /** Reads the manifest once. Throws what reading it throws. */
  static async open(manifest: ManifestReader): Promise<ReferenceIndex> {
    const firstPaths: Uint8Array[] = [];
    for (let i = 0; i < manifest.blockCount; i += 1) {
      const [first] = await manifest.blockEntries(i);
      firstPaths.push(encodePath(first?.path ?? ''));
    }
    return new ReferenceIndex(manifest, firstPaths);
  }

  async find(path: string): Promise<StoredEntry | undefined> {
    const block = this.#blockOf(encodePath(path));
    return block < 0 ? undefined : (await this.#open(block)).get(path);
  }

  /** The last block that begins no later than `path`. */
  #blockOf(path: Uint8Array): number {
    let [low, high] = [0, this.#firstPaths.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (comparePaths(this.#firstPaths[middle] ?? path, path) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  async #open(block: number): Promise<ReadonlyMap<string, StoredEntry>> {
    let entries = this.#held.get(block);
    if (entries) {
      this.#held.delete(block);
    } else {
      entries = new Map((await this.#manifest.blockEntries(block)).map((entry) => [entry.path, entry]));
      const [oldest] = this.#held.keys();
      if (oldest !== undefined && this.#held.size >= heldBlocks) this.#held.delete(oldest);
    }
    this.#held.set(block, entries);
    return entries;
  }
}
