import { MovedBlobs, type BlobSet } from './blob-set.ts';
import type { ClusterRepository } from './cluster-repository.ts';
import type { BlobLocation, PackId } from './pack-id.ts';
import type { PackWriter } from './pack-writer.ts';
import { isDamage } from './tombstone.ts';

/** How much of a pack is read at once. */
const readAheadBytes = 4_194_304;

/** A pack is finished when it has this much, as those of a backup are. */
const packBytes = 1_073_741_824;

export interface Moved {
  /** By the pack in which they were. One that is damaged is not among them: it stays as it is. */
  readonly from: ReadonlyMap<PackId, MovedBlobs>;
  /** Those that hold them now; durable, and named by nobody yet. */
  readonly into: readonly PackId[];
}

/** Copies blobs into new packs, without compressing them again. After an error nothing of these is left. */
export async function moveBlobs(
  cluster: ClusterRepository,
  blobs: ReadonlyMap<PackId, BlobSet>,
  options: { readonly signal: AbortSignal; readonly onDamaged: (pack: PackId, error: Error) => void },
): Promise<Moved> {
  const target = new PackTarget(cluster);
  const from = new Map<PackId, MovedBlobs>();
  try {
    for (const [pack, set] of blobs) {
      options.signal.throwIfAborted();
      try {
        from.set(pack, await movePack(cluster, pack, set, target));
      } catch (error) {
        if (!isDamage(error)) throw error;
        options.onDamaged(pack, error);
      }
    }
    // All of them damaged: what was copied of them is of no use.
    if (from.size === 0) await target.discard();
    return { from, into: await target.finish() };
  } catch (error) {
    await target.discard();
    throw error;
  }
}

async function movePack(
  cluster: ClusterRepository,
  pack: PackId,
  set: BlobSet,
  target: PackTarget,
): Promise<MovedBlobs> {
  const moved = new MovedBlobs(set.size);
  await using reader = await cluster.openPack(pack);
  let readUntil = 0;
  for (const blob of set.inOrder()) {
    if (blob.offset + blob.storedBytes > readUntil) {
      await reader.prefetch(blob.offset, readAheadBytes);
      readUntil = blob.offset + readAheadBytes;
    }
    const writer = await target.writer();
    const to: BlobLocation = await writer.appendPayload(await reader.readPayload(blob));
    moved.add(blob, writer.id, to);
  }
  return moved;
}

/** New packs, one after the other. */
class PackTarget {
  readonly #cluster: ClusterRepository;
  readonly #finished: PackId[] = [];
  #writer: PackWriter | undefined;

  constructor(cluster: ClusterRepository) {
    this.#cluster = cluster;
  }

  async writer(): Promise<PackWriter> {
    if (this.#writer && this.#writer.sizeBytes >= packBytes) await this.#finishPack();
    this.#writer ??= await this.#cluster.createPack();
    return this.#writer;
  }

  async #finishPack(): Promise<void> {
    const writer = this.#writer;
    if (!writer) return;
    await writer.finish();
    this.#writer = undefined;
    this.#finished.push(writer.id);
  }

  async finish(): Promise<readonly PackId[]> {
    await this.#finishPack();
    return this.#finished;
  }

  async discard(): Promise<void> {
    await this.#writer?.abort();
    this.#writer = undefined;
    // What cannot be removed now is named by nobody: the next sweep finds it.
    for (const pack of this.#finished.splice(0)) await this.#cluster.deletePack(pack).catch(() => undefined);
  }
}
