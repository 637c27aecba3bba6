import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import {
  BackupsVerification,
  digestOfManifest,
  type BackupVerdict,
  type BackupsOptions,
  type CountedPacks,
  type FirstLook,
} from './backups-verification.ts';

/*
 * Backups are verified in one pass (backups-verification.ts). Of what is harmed the record is read again: the backup may have
 * been expired meanwhile, or repacked, which is no damage.
 */

export interface VerifiedBackups {
  /** In the order of the records. */
  readonly verdicts: readonly BackupVerdict[];
  readonly packs: CountedPacks;
  /** Those that an expiry took away meanwhile. */
  readonly expired: readonly string[];
}

/** A backup that was repacked meanwhile is verified anew; so often at most. */
const mostTries = 3;

export async function verifyBackups(options: BackupsOptions): Promise<VerifiedBackups> {
  const first = await new BackupsVerification(options, options.records).run();
  const verdicts = new Map(first.verdicts.map((verdict) => [verdict.backup, verdict]));
  const expired: string[] = [];
  let changed = await sortOutChanged(options, first, verdicts, expired);
  for (let tries = 1; changed.length > 0 && tries < mostTries; tries += 1) {
    const again = await new BackupsVerification({ ...options, onTotal: () => undefined }, changed).run();
    for (const verdict of again.verdicts) verdicts.set(verdict.backup, verdict);
    changed = await sortOutChanged(options, again, verdicts, expired);
  }
  return { verdicts: [...verdicts.values()], packs: first.packs, expired };
}

/** Those whose manifest is another now; of the harmed ones those whose record is gone are taken out. */
async function sortOutChanged(
  { cluster }: BackupsOptions,
  { verdicts: found, digests, changed: known }: FirstLook,
  verdicts: Map<string, BackupVerdict>,
  expired: string[],
): Promise<BackupRecord[]> {
  const changed: BackupRecord[] = [];
  for (const { backup, damage } of found) {
    if (damage.length === 0 && !known.has(backup)) continue;
    try {
      const record = await cluster.readRecord(backup);
      if (known.has(backup) || (await isAnotherManifest(cluster, backup, digests.get(backup)))) changed.push(record);
    } catch (error) {
      // A record that cannot be read any more is no reason to call the damage none.
      if (!hasCode(error, 'backup-unknown')) continue;
      verdicts.delete(backup);
      expired.push(backup);
    }
  }
  return changed;
}

async function isAnotherManifest(
  cluster: ClusterRepository,
  backup: string,
  before: string | undefined,
): Promise<boolean> {
  try {
    await using manifest = await cluster.openManifest(backup);
    return (await digestOfManifest(manifest)) !== before;
  } catch (error) {
    if (!(error instanceof PgrecallError)) throw error;
    return false;
  }
}
