import type { BackupRecord } from './backup-record.ts';
import type { MovedBlobs } from './blob-set.ts';
import type { ClusterRepository } from './cluster-repository.ts';
import type { Extent } from './file-map.ts';
import type { ManifestReader } from './manifest-reader.ts';
import type { ManifestWriter } from './manifest-writer.ts';
import type { ManifestEntry, StoredEntry } from './manifest.ts';
import type { PackId } from './pack-id.ts';

/**
 * Lets a backup refer to the blobs where they are now, in steps each of which leaves a backup that restores:
 *
 *   1. its record names the new packs, too: nobody deletes these, nor the old ones;
 *   2. the manifest is replaced, in one step, by one that says the same but for the places;
 *   3. its record names what the new manifest names.
 *
 * A backup that refers to none of them stays as it is.
 */
export async function rewriteManifest(
  cluster: ClusterRepository,
  record: BackupRecord,
  moved: { readonly from: ReadonlyMap<PackId, MovedBlobs>; readonly into: readonly PackId[] },
): Promise<void> {
  const { id } = record;
  {
    await using old = await cluster.openManifest(id);
    const packs = await old.packs();
    if (!packs.some((pack) => moved.from.has(pack))) return;
    const both = new Set([...packs, ...moved.into]);
    await cluster.writeRecord(id, { ...record, packs: [...both] }, { replace: true });
    const writer = await cluster.createManifest(id, { replace: true });
    try {
      await copyManifest(old, writer, (extent) => relocate(extent, moved.from));
    } catch (error) {
      await writer.abort();
      throw error;
    }
    await writer.finish();
  }
  await using manifest = await cluster.openManifest(id);
  await cluster.writeRecord(id, { ...record, packs: await manifest.packs() }, { replace: true });
}

function relocate(extent: Extent, from: ReadonlyMap<PackId, MovedBlobs>): Extent {
  const moved = from.get(extent.pack);
  if (!moved) return extent;
  const { pack, offset } = moved.find(extent.blob.offset);
  return { ...extent, pack, blob: { ...extent.blob, offset } };
}

/** Everything that a manifest has, in bounded memory. */
async function copyManifest(
  from: ManifestReader,
  into: ManifestWriter,
  place: (extent: Extent) => Extent,
): Promise<void> {
  for await (const entry of from.entries()) {
    const added = into.add(await placed(entry, place));
    if (added instanceof Promise) await added;
  }
  for (const name of from.attachmentNames) {
    const bytes = await from.attachment(name);
    if (bytes) await into.attach(name, bytes);
  }
}

async function placed(stored: StoredEntry, place: (extent: Extent) => Extent): Promise<ManifestEntry> {
  const { maps: _, extentCount: __, loadMaps, ...entry } = stored;
  const { extents, sums } = await loadMaps();
  return { ...entry, extents: extents.map(place), sums: sums.map(place) };
}
