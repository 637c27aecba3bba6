import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { claimReferences } from '../repository/claim.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { LockOptions } from '../repository/lock.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import { chooseReference, type WantedBackup } from './choose-reference-plan.ts';
import { chooseId } from './write-backup.ts';

/** A backup that another one builds on: claimed, so that nothing of it is deleted meanwhile, and its manifest open. */
export interface Reference {
  readonly record: BackupRecord;
  readonly manifest: ManifestReader;
}

/** What is settled before a backup begins. */
export interface Prepared extends AsyncDisposable {
  readonly id: string;
  readonly type: BackupRecord['type'];
  readonly reference: Reference | undefined;
  /** Why it is not of the type that was wanted. */
  readonly instead: string | undefined;
}

/**
 * Chooses what the backup builds on, claims it and opens it. One that is expired at this very moment is passed over. Throws
 * what reading the repository throws, also where the one that is chosen is damaged: what it has is relied on.
 */
export async function prepareBackup(
  cluster: ClusterRepository,
  wanted: WantedBackup,
  startedAt: Date,
  lock: LockOptions,
): Promise<Prepared> {
  for (;;) {
    const backups = await cluster.listBackups({ onDamaged: () => undefined });
    const plan = chooseReference(backups, wanted);
    const id = await chooseId(cluster, startedAt, plan.type);
    if (!plan.reference) {
      return { id, type: plan.type, reference: undefined, instead: plan.instead, [Symbol.asyncDispose]: nothing };
    }
    const record = plan.reference;
    await using stack = new AsyncDisposableStack();
    try {
      const claim = await claimReferences(cluster, id, [record.id], lock);
      // The backup is what it is; a claim that stays is that of a dead process soon.
      stack.defer(async () => claim.release().catch(() => undefined));
    } catch (error) {
      if (hasCode(error, 'reference-expired')) continue;
      throw error;
    }
    const manifest = stack.use(await openManifest(cluster, record));
    const reference = { record, manifest };
    const held = stack.move();
    return {
      id,
      type: plan.type,
      reference,
      instead: plan.instead,
      [Symbol.asyncDispose]: async () => held.disposeAsync(),
    };
  }
}

async function openManifest(cluster: ClusterRepository, record: BackupRecord): Promise<ManifestReader> {
  try {
    return await cluster.openManifest(record.id);
  } catch (error) {
    throw withReference(error, record);
  }
}

/**
 * What a backup that builds on `reference` failed with, with what to do where that is what is damaged. What is damaged without
 * being read is for verify to find.
 */
export function withReference(error: unknown, reference: BackupRecord | undefined): unknown {
  const isDamage = hasCode(
    error,
    ...(['object-missing', 'object-damaged', 'object-swapped', 'blob-damaged', 'manifest-hostile'] as const),
  );
  if (!reference || !isDamage) return error;
  return new PgrecallError(error.code, `${error.message} (this backup builds on ${reference.id})`, {
    hint: `pgrecall verify says what is damaged; a backup with --type full --independent builds on nothing`,
    details: { ...error.details, reference: reference.id },
    cause: error,
  });
}

async function nothing(): Promise<void> {
  // Nothing is held.
}
