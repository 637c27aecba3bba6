import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { ClusterRepository } from './cluster-repository.ts';
import { fields, listOf, matching, text, type Check } from './json-shape.ts';
import { parsePackId, type PackId } from './pack-id.ts';

/*
 * A tombstone stands where a backup was: `backups/<id>/expired`. It says which packs the backup referred to, so that a
 * sweep looks at these, even while another backup stores packs that no record names yet. It is written before the record
 * goes; once every pack that it names has been dealt with, it goes too.
 *
 * Beside a record it means nothing: whoever wrote it died before the record was gone, and the backup is as it was.
 */

export interface Tombstone {
  /** Of the backup. */
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly expiredAt: string;
  /** Those that a sweep has not dealt with. */
  readonly packs: readonly PackId[];
}

const checkTombstone: Check = fields({
  id: matching(/^[A-Za-z0-9._-]{1,128}$/),
  expiredAt: text(64),
  packs: listOf(matching(/^[0-9a-f]{32}$/)),
});

/**
 * Removes a backup from the list, its packs and its manifest left to the sweep; one whose record cannot be read goes, too.
 * Throws `backup-unknown`.
 */
export async function expireBackup(cluster: ClusterRepository, id: string, now: Date): Promise<void> {
  const packs = await packsToSweep(cluster, id);
  await writeTombstone(cluster, { id, expiredAt: now.toISOString(), packs: [...packs] });
  await cluster.deleteObject(`backups/${id}/record.json`);
}

async function packsToSweep(cluster: ClusterRepository, id: string): Promise<Set<PackId>> {
  const packs = (await manifestPacks(cluster, id)) ?? new Set();
  try {
    for (const pack of (await cluster.readRecord(id)).packs) packs.add(parsePackId(pack));
  } catch (error) {
    // What the manifest does not name either is found once nobody stores packs.
    if (!isDamage(error)) throw error;
  }
  return packs;
}

/** What the manifest of a backup refers to; `undefined` where it is gone, or cannot be read. */
export async function manifestPacks(cluster: ClusterRepository, id: string): Promise<Set<PackId> | undefined> {
  try {
    await using manifest = await cluster.openManifest(id);
    return new Set(await manifest.packs());
  } catch (error) {
    if (!isDamage(error)) throw error;
    return undefined;
  }
}

/** Whether something that is stored is missing, or is not what was written. */
export function isDamage(error: unknown): error is PgrecallError {
  return error instanceof PgrecallError && error.exitStatus === 3;
}

/** Every backup that was expired and not swept; apart from them the identifiers of those whose tombstone is damaged. */
export async function readTombstones(
  cluster: ClusterRepository,
): Promise<{ readonly tombstones: readonly Tombstone[]; readonly damaged: readonly string[] }> {
  const tombstones: Tombstone[] = [];
  const damaged: string[] = [];
  for (const id of await cluster.listBackupFolders()) {
    try {
      tombstones.push((await cluster.readDocument(keyOf(id), checkTombstone)) as Tombstone);
    } catch (error) {
      if (hasCode(error, 'object-missing')) continue;
      if (!isDamage(error)) throw error;
      damaged.push(id);
    }
  }
  return { tombstones, damaged };
}

export async function writeTombstone(cluster: ClusterRepository, tombstone: Tombstone): Promise<void> {
  await cluster.writeDocument(keyOf(tombstone.id), tombstone, checkTombstone, { replace: true });
}

export async function deleteTombstone(cluster: ClusterRepository, id: string): Promise<void> {
  await cluster.deleteObject(keyOf(id));
}

function keyOf(id: string): string {
  return `backups/${id}/expired`;
}
