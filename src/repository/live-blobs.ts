import type { BackupRecord } from './backup-record.ts';
import { BlobSet } from './blob-set.ts';
import type { ClusterRepository } from './cluster-repository.ts';
import type { Extent } from './file-map.ts';
import type { ManifestReader } from './manifest-reader.ts';
import type { PackId } from './pack-id.ts';
import { isDamage } from './tombstone.ts';

/** A pack is written anew when less than this share of it is still referred to. */
const liveShare = 1 / 3;

/** Blobs that are remembered at once, of all packs together: some 64 MB. */
const mostBlobs = 2_000_000;

export interface LiveBlobs {
  /** What is referred to of each pack that is mostly dead. */
  readonly mostlyDead: ReadonlyMap<PackId, BlobSet>;
  /** Packs for which there was no room; the rest of those that were asked about are mostly alive. */
  readonly postponed: ReadonlySet<PackId>;
}

/**
 * Which of `packs` (with their sizes) are mostly dead, and what of them is alive. Reads the manifests of those backups
 * that name one of them, until none is left in doubt. What a damaged manifest refers to counts as alive.
 */
export async function findLiveBlobs(
  cluster: ClusterRepository,
  records: readonly BackupRecord[],
  packs: ReadonlyMap<PackId, number>,
  options: { readonly signal: AbortSignal; readonly mostBlobs?: number },
): Promise<LiveBlobs> {
  const limit = options.mostBlobs ?? mostBlobs;
  const mostlyDead = new Map<PackId, BlobSet>();
  for (const pack of packs.keys()) mostlyDead.set(pack, new BlobSet());
  const postponed = new Set<PackId>();
  let blobs = 0;
  const drop = (pack: PackId): void => {
    blobs -= mostlyDead.get(pack)?.size ?? 0;
    mostlyDead.delete(pack);
  };
  const note = ({ pack, blob }: Extent): void => {
    const set = mostlyDead.get(pack);
    if (!set) return;
    blobs -= set.size;
    set.add(blob);
    blobs += set.size;
    if (set.storedBytes >= (packs.get(pack) ?? 0) * liveShare) drop(pack);
    if (blobs <= limit) return;
    const largest = largestOf(mostlyDead);
    postponed.add(largest);
    drop(largest);
  };
  for (const { id, packs: named } of records) {
    if (!named.some((pack) => mostlyDead.has(pack as PackId))) continue;
    try {
      await using manifest = await cluster.openManifest(id);
      for await (const extents of extentsOf(manifest)) {
        options.signal.throwIfAborted();
        extents.forEach(note);
        if (mostlyDead.size === 0) return { mostlyDead, postponed };
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      // Nobody knows what else it refers to.
      for (const pack of named) drop(pack as PackId);
    }
  }
  return { mostlyDead, postponed };
}

/** Every run of extents that a manifest has: file by file, content and sums. */
async function* extentsOf(manifest: ManifestReader): AsyncGenerator<readonly Extent[]> {
  for await (const entry of manifest.entries()) {
    if (entry.extentCount === 0) continue;
    const { extents, sums } = entry.maps ?? (await entry.loadMaps());
    yield extents;
    yield sums;
  }
}

function largestOf(sets: ReadonlyMap<PackId, BlobSet>): PackId {
  const [[largest] = ['' as PackId]] = [...sets].toSorted(([, a], [, b]) => b.size - a.size);
  return largest;
}
