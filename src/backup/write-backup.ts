import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { ManifestWriter } from '../repository/manifest-writer.ts';
import { newBackupId, type IdWord } from './backup-id.ts';
import type { Copying } from './copy-items.ts';

/*
 * What every backup has in common, hot, cold or a dump: an identifier of its own, and the order in which it comes to
 * be. Packs, then the manifest, then the record, which is the commit; a failure takes back what was written.
 */

/** One that no backup has, damaged ones and those that were never finished included. */
export async function chooseId(cluster: ClusterRepository, startedAt: Date, type: IdWord): Promise<string> {
  const taken = new Set(await cluster.listUnfinished());
  const complete = await cluster.listBackups({ onDamaged: (id) => taken.add(id) });
  for (const { id } of complete) taken.add(id);
  return newBackupId(startedAt, type, taken);
}

export interface WrittenBackup {
  readonly cluster: ClusterRepository;
  readonly id: string;
  readonly copying: Pick<Copying, 'discard'>;
  readonly signal: AbortSignal;
  /** Copies everything and finishes the manifest; gives the record to be written. */
  readonly copyAll: (manifest: ManifestWriter) => Promise<BackupRecord>;
}

/** Either the backup is listed in the end, or this throws and what was written is removed. */
export async function writeBackup(backup: WrittenBackup): Promise<BackupRecord> {
  const { cluster, signal } = backup;
  const manifest = await cluster.createManifest(backup.id);
  let isOurs = false;
  try {
    const record = await backup.copyAll(manifest);
    // Nobody else can have stored a manifest of that name now.
    isOurs = true;
    signal.throwIfAborted();
    await cluster.writeRecord(record.id, record);
    return record;
  } catch (error) {
    await takeBack(backup, isOurs ? undefined : manifest);
    throw error;
  }
}

/**
 * Removes what a failed backup has written: its record first, in case that it was stored although the storage says
 * otherwise; its packs only when it is certain that no record refers to them. `manifest`: where it is not stored yet.
 */
async function takeBack({ cluster, id, copying }: WrittenBackup, manifest: ManifestWriter | undefined): Promise<void> {
  try {
    if (manifest) await manifest.abort();
    else await cluster.deleteBackup(id);
    await copying.discard();
  } catch {
    // The error that is being reported is the one that matters; a sweep finds what is left.
  }
}
