import type { BackupRecord } from './backup-record.ts';
import type { BlobSet } from './blob-set.ts';
import { readClaims } from './claim.ts';
import type { ClusterRepository } from './cluster-repository.ts';
import { findLiveBlobs } from './live-blobs.ts';
import type { ProcessTable } from './lock-holder.ts';
import { moveBlobs } from './move-blobs.ts';
import type { PackId } from './pack-id.ts';
import { rewriteManifest } from './rewrite-manifest.ts';

/*
 * Repacking: what is still referred to of packs that are mostly dead goes into new packs, the manifests are written anew,
 * and the old packs go. The caller holds the locks `expire` and `backup`, and nobody has a claim.
 *
 *   1. the new packs are durable; nobody names them: a sweep would find them
 *   2. tombstones no longer name the old packs
 *   3. each backup is rewritten (rewrite-manifest.ts)
 *   4. the old packs, which nobody names now, are deleted, unless somebody has claimed a backup meanwhile, who may be
 *      reading by an old manifest: then they are left to a sweep that meets no claim
 */

/** A run copies about so much, so that the next backup need not wait long; what is left over waits for the next sweep. */
const mostBytes = 8_589_934_592;

/** Packs that are looked at together: each round reads the manifests. What is known of their blobs is bounded besides. */
const mostPacks = 4096;

export interface RepackOptions {
  /** Makes tombstones forget packs: they have been dealt with. */
  readonly forget: (packs: ReadonlySet<PackId>) => Promise<void>;
  readonly onDamaged: (pack: PackId, error: Error) => void;
  readonly processes?: ProcessTable;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

export interface Repacked {
  /** Old packs that are gone. */
  readonly packs: number;
  /** What that freed, less what the new ones take. */
  readonly freedBytes: number;
}

/** `packs`: those to look at. Throws what reading a manifest throws. */
export async function repack(
  cluster: ClusterRepository,
  records: readonly BackupRecord[],
  packs: readonly PackId[],
  options: RepackOptions,
): Promise<Repacked> {
  const total = { packs: 0, freedBytes: 0, copiedBytes: 0 };
  for (let at = 0; at < packs.length && total.copiedBytes < mostBytes; at += mostPacks) {
    const sizes = await sizesOf(cluster, packs.slice(at, at + mostPacks));
    const { mostlyDead, postponed } = await findLiveBlobs(cluster, records, sizes, options);
    const alive = [...sizes.keys()].filter((pack) => !mostlyDead.has(pack) && !postponed.has(pack));
    await options.forget(new Set(alive));
    const chosen = choose(mostlyDead, mostBytes - total.copiedBytes);
    if (chosen.size === 0) continue;
    const done = await repackThese(cluster, records, chosen, sizes, options);
    total.packs += done.packs;
    total.freedBytes += done.freedBytes;
    for (const set of chosen.values()) total.copiedBytes += set.storedBytes;
  }
  return { packs: total.packs, freedBytes: total.freedBytes };
}

async function sizesOf(cluster: ClusterRepository, packs: readonly PackId[]): Promise<Map<PackId, number>> {
  const sizes = new Map<PackId, number>();
  for (const pack of packs) {
    const sizeBytes = await cluster.packBytes(pack);
    if (sizeBytes !== undefined) sizes.set(pack, sizeBytes);
  }
  return sizes;
}

/** The deadest first, as many as may be copied; one at least. */
function choose(sets: ReadonlyMap<PackId, BlobSet>, limitBytes: number): Map<PackId, BlobSet> {
  const chosen = new Map<PackId, BlobSet>();
  let bytes = 0;
  for (const [pack, set] of [...sets].toSorted(([, a], [, b]) => a.storedBytes - b.storedBytes)) {
    bytes += set.storedBytes;
    if (chosen.size > 0 && bytes > limitBytes) break;
    chosen.set(pack, set);
  }
  return chosen;
}

async function repackThese(
  cluster: ClusterRepository,
  records: readonly BackupRecord[],
  chosen: ReadonlyMap<PackId, BlobSet>,
  sizes: ReadonlyMap<PackId, number>,
  options: RepackOptions,
): Promise<Repacked> {
  options.say(`repacking ${chosen.size} pack(s)`);
  const moved = await moveBlobs(cluster, chosen, options);
  await options.forget(new Set(chosen.keys()));
  for (const record of records) {
    if (record.packs.some((pack) => moved.from.has(pack as PackId))) await rewriteManifest(cluster, record, moved);
  }
  const newBytes = [...(await sizesOf(cluster, moved.into)).values()].reduce((sum, bytes) => sum + bytes, 0);
  if ((await readClaims(cluster, options.processes)).length > 0) return { packs: 0, freedBytes: -newBytes };
  let freedBytes = -newBytes;
  for (const pack of moved.from.keys()) {
    await cluster.deletePack(pack);
    freedBytes += sizes.get(pack) ?? 0;
  }
  return { packs: moved.from.size, freedBytes };
}
