import { expireWal } from '../archive/expire-wal.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { readClaims } from '../repository/claim.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { LockOptions, RepositoryLock } from '../repository/lock.ts';
import { sweep, type Swept } from '../repository/sweep.ts';
import { expireBackup } from '../repository/tombstone.ts';
import type { Verdict } from '../retention/expiry-plan.ts';
import { planLife, type DamagedPart, type ExpirySubject, type ExpirySurvey } from './survey-expiry.ts';

/*
 * An expiry, in the order in which each step may be the last: records first, since WAL and packs are only needed as long as
 * a record says so; then WAL; then the sweep of packs. The caller holds the lock `expire`.
 */

export interface ExpireOptions {
  readonly lock: LockOptions;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

export interface ExpireOutcome {
  /** `undefined` where something cannot be read: then nobody knows which packs are needed. */
  readonly swept: Swept | undefined;
  /** Of each incarnation, in order. */
  readonly walSegments: readonly number[];
}

/** Removes the backups that go, the WAL that goes with them, and the packs that nobody refers to. */
export async function executeExpiry(
  subject: ExpirySubject,
  survey: ExpirySurvey,
  options: ExpireOptions,
): Promise<ExpireOutcome> {
  const { cluster, now } = subject;
  const { signal, say } = options;
  for (const { stays, backup } of survey.verdicts) {
    signal.throwIfAborted();
    if (stays) continue;
    say(`expiring ${backup.id}`);
    await expireBackup(cluster, backup.id, now);
  }
  await using alone = await aloneWithBackups(cluster, options.lock);
  const walSegments = await expireWalOf(subject, survey, !alone.isHeld, options);
  return { walSegments, swept: await sweepUnlessDamaged(survey.damaged, cluster, alone.isHeld, options) };
}

/** Removes one backup, whatever the rules say of it, and the packs that nobody refers to then. WAL stays as it is. */
export async function expireNamed(
  cluster: ClusterRepository,
  id: string,
  now: Date,
  options: ExpireOptions & { readonly damaged: readonly DamagedPart[] },
): Promise<Swept | undefined> {
  await expireBackup(cluster, id, now);
  await using alone = await aloneWithBackups(cluster, options.lock);
  return sweepUnlessDamaged(options.damaged, cluster, alone.isHeld, options);
}

interface Alone extends AsyncDisposable {
  readonly isHeld: boolean;
}

/** Takes the lock of backups, if no backup is running. */
async function aloneWithBackups(cluster: ClusterRepository, options: LockOptions): Promise<Alone> {
  let lock: RepositoryLock | undefined;
  try {
    lock = await cluster.lock('backup', { ...options, purpose: 'the sweep of an expiry' });
  } catch (error) {
    if (!hasCode(error, 'locked')) throw error;
  }
  return {
    isHeld: lock !== undefined,
    [Symbol.asyncDispose]: async () => lock?.[Symbol.asyncDispose](),
  };
}

async function expireWalOf(
  subject: ExpirySubject,
  survey: ExpirySurvey,
  backupRuns: boolean,
  { signal, say }: ExpireOptions,
): Promise<number[]> {
  const verdicts = await presentVerdicts(subject.cluster, survey);
  const counts: number[] = [];
  for (const surveyed of survey.lives) {
    const plan = planLife(surveyed, { ...survey, verdicts }, subject.settings, backupRuns);
    if (plan.untouched === undefined) {
      say(`expiring WAL of incarnation ${surveyed.life.incarnation}`);
      counts.push((await expireWal(surveyed.store, plan.kept, plan.forgotten, signal)).segments);
    } else counts.push(0);
  }
  return counts;
}

/** Backups that were completed meanwhile stay; so does the WAL of those that are gone, but are being read or built on. */
async function presentVerdicts(cluster: ClusterRepository, { verdicts }: ExpirySurvey): Promise<Verdict[]> {
  const claimed = new Set((await readClaims(cluster)).flatMap(({ references }) => references));
  const known = new Set(verdicts.map(({ backup }) => backup.id));
  const stays = (backup: BackupRecord, text: string): Verdict => ({
    backup,
    stays: true,
    reasons: [{ rule: 'newest', text }],
  });
  const added = (await cluster.listBackups({ onDamaged: () => undefined })).filter(({ id }) => !known.has(id));
  return [
    ...verdicts.map((verdict) => (claimed.has(verdict.backup.id) ? stays(verdict.backup, 'in use') : verdict)),
    ...added.map((backup) => stays(backup, 'the newest backup')),
  ];
}

async function sweepUnlessDamaged(
  damaged: readonly DamagedPart[],
  cluster: ClusterRepository,
  alone: boolean,
  { signal, say }: ExpireOptions,
): Promise<Swept | undefined> {
  if (damaged.some(({ id }) => id !== null)) return undefined;
  return sweep(cluster, { alone, signal, say });
}
