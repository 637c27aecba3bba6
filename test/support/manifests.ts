/* Manifests for tests: entries, and a manifest written and read back. */

import assert from 'node:assert/strict';
import { collect } from './test-repository.ts';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import type { Extent } from '../../src/repository/file-map.ts';
import type { ManifestEntry, StoredEntry } from '../../src/repository/manifest.ts';
import { packIdFromBytes, type PackId } from '../../src/repository/pack-id.ts';

export const packs: PackId[] = [1, 2, 3].map((number) => packIdFromBytes(Buffer.alloc(16, number)));
export const [packOne, packTwo] = packs as [PackId, PackId];

export function entry(path: string, changes: Partial<ManifestEntry> = {}): ManifestEntry {
  return {
    path,
    kind: 'file',
    mode: 0o600,
    owner: 'postgres',
    group: 'postgres',
    modifiedMs: 1_790_000_000_000,
    sizeBytes: 0,
    crc32c: 0,
    extents: [],
    sums: [],
    flags: 0,
    ...changes,
  };
}

/** A file of whole chunks, one after the other in one pack. */
export function appended(path: string, chunks: number, pack: PackId = packOne, first = 80): ManifestEntry {
  const extents: Extent[] = [];
  let offset = first;
  for (let index = 0; index < chunks; index += 1) {
    const blob = { offset, storedBytes: 20_000 + ((index * 7919) % 30_000), plainBytes: 262_144 };
    extents.push({ fileOffset: index * 262_144, lengthBytes: 262_144, pack, blob, blobOffset: 0 });
    offset += blob.storedBytes;
  }
  return entry(path, { sizeBytes: chunks * 262_144, crc32c: 0xdead_beef, extents });
}

export async function written(cluster: ClusterRepository, entries: readonly ManifestEntry[], id = 'b1'): Promise<void> {
  const writer = await cluster.createManifest(id);
  for (const one of entries) await writer.add(one);
  await writer.finish();
}

async function loaded(stored: StoredEntry): Promise<ManifestEntry> {
  const { extentCount, maps: _, loadMaps, ...rest } = stored;
  const { extents, sums } = await loadMaps();
  assert.equal(extents.length, extentCount);
  return { ...rest, extents, sums };
}

export async function readBack(cluster: ClusterRepository, id = 'b1'): Promise<ManifestEntry[]> {
  await using reader = await cluster.openManifest(id);
  return Promise.all((await collect(reader.entries())).map(loaded));
}
