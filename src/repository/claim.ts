import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { ClusterRepository } from './cluster-repository.ts';
import { decodePlainDocument, encodePlainDocument } from './document.ts';
import { fields, listOf, matching, text, type Check } from './json-shape.ts';
import { checkLockHolder, systemProcesses, type LockHolder, type ProcessTable } from './lock-holder.ts';
import type { LockOptions } from './lock.ts';

/*
 * A claim says which backups somebody relies on who works beside an expiry: a backup that builds on a reference, a
 * restore that reads. Nothing that a claimed backup names is deleted, even when its record is gone.
 *
 * Who claims writes the claim first, durable, and reads the records of what it claims afterwards. Who expires deletes
 * the record first, and reads claims afterwards. Whatever the order, one of the two sees the other: either the claim is
 * found, or the record is missing and the claim fails.
 *
 * A claim is a plain object like a lock, with the holder as locks have it: that of a dead process counts for nothing.
 */

const folder = 'claims';
const maxBytes = 65_536;

export interface Claim {
  /** Below the cluster's folder. */
  readonly key: string;
  /** What for: "backup", "restore". */
  readonly purpose: string;
  /** ISO 8601, UTC. */
  readonly since: string;
  readonly holder: LockHolder;
  /** Identifiers of the backups that are relied on; none where somebody only stores packs. */
  readonly references: readonly string[];
}

/** Disposing of it never fails: one that stays is that of a dead process soon. */
export interface HeldClaim extends AsyncDisposable {
  readonly release: () => Promise<void>;
}

const checkClaim: Check = fields({
  purpose: text(256),
  since: text(64),
  holder: checkLockHolder,
  references: listOf(matching(/^[A-Za-z0-9._-]{1,128}$/), 1000),
});

/**
 * Claims `references` for the backup `backupId`, or for whoever has that name. Also protects the packs that the claimer
 * stores before any record names them. Durable on return. Throws `reference-expired` where one of them is no longer
 * listed, and what reading their records throws; nothing is claimed then.
 */
export async function claimReferences(
  cluster: ClusterRepository,
  backupId: string,
  references: readonly string[],
  options: LockOptions,
): Promise<HeldClaim> {
  const { storage } = cluster.repository;
  const processes = options.processes ?? systemProcesses;
  const token = Buffer.from(options.randomBytes(8)).toString('hex');
  const key = cluster.keyOf(`${folder}/${backupId}.${token}`);
  const document: Omit<Claim, 'key'> = {
    purpose: options.purpose,
    since: options.now().toISOString(),
    holder: processes.self(),
    references,
  };
  await storage.put(key, encodePlainDocument(key, document));
  const release = async (): Promise<void> => storage.delete(key);
  try {
    for (const id of references) await checkListed(cluster, id);
  } catch (error) {
    await release().catch(() => undefined);
    throw error;
  }
  return { release, [Symbol.asyncDispose]: async () => release().catch(() => undefined) };
}

/**
 * Claims a backup for somebody who only reads it. Who cannot write to the storage, because it is full or is mounted to be
 * read, goes without a claim: a restore is not refused for that. Throws as `claimReferences` otherwise.
 */
export async function claimToRead(
  cluster: ClusterRepository,
  backupId: string,
  options: LockOptions,
): Promise<AsyncDisposable> {
  try {
    return await claimReferences(cluster, options.purpose, [backupId], options);
  } catch (error) {
    if (!hasCode(error, 'storage', 'disk-full')) throw error;
    return { [Symbol.asyncDispose]: async () => undefined };
  }
}

async function checkListed(cluster: ClusterRepository, id: string): Promise<void> {
  try {
    await cluster.readRecord(id);
  } catch (error) {
    if (!hasCode(error, 'backup-unknown')) throw error;
    throw new PgrecallError('reference-expired', `the backup ${id} was expired a moment ago`, {
      details: { backup: id },
      cause: error,
    });
  }
}

/**
 * Every claim of a process that lives, or may live: whether one of another host does cannot be seen from here. Those of
 * the dead are deleted. Throws `object-damaged` where a claim cannot be read: then nobody knows what is relied on.
 */
export async function readClaims(
  cluster: ClusterRepository,
  processes: ProcessTable = systemProcesses,
): Promise<Claim[]> {
  const claims: Claim[] = [];
  for (const name of await cluster.listNames(folder)) {
    const key = `${folder}/${name}`;
    const claim = await readClaim(cluster, key);
    if (!claim) continue;
    // Its name was chosen at random: nobody else will ever have a claim of that name.
    if (processes.stateOf(claim.holder) === 'dead') await cluster.deleteObject(key);
    else claims.push(claim);
  }
  return claims;
}

async function readClaim(cluster: ClusterRepository, key: string): Promise<Claim | undefined> {
  const whole = cluster.keyOf(key);
  try {
    const bytes = await cluster.repository.storage.get(whole, maxBytes);
    return { key, ...(decodePlainDocument(bytes, whole, checkClaim) as Omit<Claim, 'key'>) };
  } catch (error) {
    if (hasCode(error, 'object-missing')) return undefined;
    throw error;
  }
}
