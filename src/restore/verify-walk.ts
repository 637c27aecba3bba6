import { PgrecallError } from '../errors/pgrecall-error.ts';
import { crc32cCombine } from '../bytes/crc32c.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import { comparePaths } from '../repository/manifest-path.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import type { PackId } from '../repository/pack-id.ts';
import { encodePath } from '../repository/path-text.ts';
import { UnderWay } from '../threads/under-way.ts';
import type { FoundDamage } from './found-damage.ts';
import { planEntry, type EntryPlan, type VerifiedFile } from './verify-entry-plan.ts';
import type { VerifiedItem, Verifying, VerifyItem } from './verify-items.ts';

/** Of a batch: content as it restores, items, extents. */
const batchBytes = 33_554_432;
const batchItems = 256;
const batchExtents = 4096;

export interface WalkOptions {
  readonly manifest: ManifestReader;
  readonly manifestIsNew: boolean;
  /** Of a backup that was walked before, or need not be; see `planEntry`. */
  readonly beside: ManifestReader | undefined;
  readonly isToRead: (pack: PackId) => boolean;
  readonly verifying: Verifying;
  readonly damage: FoundDamage;
  readonly signal: AbortSignal;
  /** Stored bytes that were read. */
  readonly onProgress: (bytes: number) => void;
}

export interface Walked {
  /** What was found wrong with the other manifest while it was read beside this one. */
  readonly besideProblem: PgrecallError | undefined;
}

/** Reads what of a backup is to be read. Throws what is wrong with its manifest; damage of packs goes to `damage`. */
export async function walkBackup(options: WalkOptions): Promise<Walked> {
  const { manifest, signal, damage, isToRead, manifestIsNew } = options;
  const beside = new BesideEntries(options.beside);
  const sender = new ItemSender(options);
  try {
    for await (const entry of manifest.entries()) {
      signal.throwIfAborted();
      if (entry.kind !== 'file' || entry.extentCount === 0) continue;
      const file = await loadFile(entry);
      const plan = planEntry(file, { beside: await beside.find(entry.path), isToRead, manifestIsNew });
      if (plan.items.length === 0) continue;
      await sender.add(plan, (crc32c) => {
        if (crc32c !== file.crc32c) damage.addFile(entry.path, file);
      });
    }
    await sender.end();
  } catch (error) {
    await sender.stop();
    throw error;
  } finally {
    await beside.end();
  }
  return { besideProblem: beside.problem };
}

export async function loadFile(entry: StoredEntry): Promise<VerifiedFile> {
  const { sizeBytes, crc32c, flags } = entry;
  return { sizeBytes, crc32c, flags, ...(entry.maps ?? (await entry.loadMaps())) };
}

/** Entries of another manifest, looked up in ascending order of paths. */
class BesideEntries {
  readonly #entries: AsyncIterator<StoredEntry> | undefined;
  #current: StoredEntry | undefined;
  #begun = false;
  problem: PgrecallError | undefined;

  constructor(manifest: ManifestReader | undefined) {
    this.#entries = manifest?.entries()[Symbol.asyncIterator]();
  }

  /** `undefined` where that backup has no such file; from the first damage on it has none. */
  async find(path: string): Promise<VerifiedFile | undefined> {
    if (!this.#entries || this.problem) return undefined;
    try {
      const wanted = encodePath(path);
      if (!this.#begun) await this.#next();
      while (this.#current && comparePaths(encodePath(this.#current.path), wanted) < 0) await this.#next();
      const found = this.#current;
      return found?.path === path && found.kind === 'file' ? await loadFile(found) : undefined;
    } catch (error) {
      if (!(error instanceof PgrecallError)) throw error;
      this.problem = error;
      return undefined;
    }
  }

  async #next(): Promise<void> {
    this.#begun = true;
    const { value, done } = (await this.#entries?.next()) ?? { value: undefined, done: true };
    this.#current = done === true ? undefined : value;
  }

  async end(): Promise<void> {
    await this.#entries?.return?.();
  }
}

interface SentItem {
  readonly item: VerifyItem;
  readonly take: (verified: VerifiedItem) => void;
}

/** Sends items in batches, and puts together what comes back of each file. */
class ItemSender {
  readonly #options: WalkOptions;
  readonly #underWay = new UnderWay();
  #batch: SentItem[] = [];
  #bytes = 0;
  #extents = 0;

  constructor(options: WalkOptions) {
    this.#options = options;
  }

  async add({ items, givesCrc }: EntryPlan, onCrc: (crc32c: number) => void): Promise<void> {
    const results: VerifiedItem[] = [];
    let left = items.length;
    for (const [place, item] of items.entries()) {
      const take = (verified: VerifiedItem): void => {
        results[place] = verified;
        left -= 1;
        const crc32c = left === 0 && givesCrc ? joinCrcs(results) : undefined;
        if (crc32c !== undefined) onCrc(crc32c);
      };
      this.#batch.push({ item, take });
      for (const { lengthBytes } of item.content) this.#bytes += lengthBytes;
      this.#extents += item.content.length;
      if (this.#bytes >= batchBytes || this.#batch.length >= batchItems || this.#extents >= batchExtents) {
        await this.#send();
      }
    }
  }

  async #send(): Promise<void> {
    const batch = this.#batch;
    if (batch.length === 0) return;
    this.#batch = [];
    this.#bytes = 0;
    this.#extents = 0;
    this.#underWay.start(this.#verify(batch));
    await this.#underWay.fewerThan(this.#options.verifying.parallel);
  }

  async #verify(batch: readonly SentItem[]): Promise<void> {
    const { verifying, damage, onProgress } = this.#options;
    const verified = await verifying.verify(batch.map(({ item }) => item));
    damage.addBatch(verified);
    for (const [i, one] of verified.items.entries()) batch[i]?.take(one);
    onProgress(verified.storedBytes);
  }

  async end(): Promise<void> {
    await this.#send();
    await this.#underWay.allDone();
  }

  async stop(): Promise<void> {
    await this.#underWay.allSettled();
  }
}

/** Of the whole file; `undefined` where damage is in the way. */
function joinCrcs(results: readonly VerifiedItem[]): number | undefined {
  let joined = 0;
  for (const { crc32c, lengthBytes } of results) {
    if (crc32c === undefined) return undefined;
    joined = crc32cCombine(joined, crc32c, lengthBytes);
  }
  return joined;
}
