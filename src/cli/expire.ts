import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { LockOptions } from '../repository/lock.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { isGood } from '../retention/keep-rules.ts';
import { LocalStorage } from '../storage/local.ts';
import { findBackup, openCluster, type ClusterAccess } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { executeExpiry, expireNamed, type ExpireOptions } from './expire-cluster.ts';
import { planFreedPacks, planFreedWal } from './expire-freeing.ts';
import { describeExpiry, describeNamed, writeExpiry, type ExpireDocument } from './expire-report.ts';
import { flagOption, requiredPositional, textOption } from './options.ts';
import { startProgress } from './progress.ts';
import { surveyExpiry, type DamagedPart, type ExpirySubject } from './survey-expiry.ts';

/** `pgrecall expire CLUSTER`: exit 3 where something that was to be judged is damaged. */
export const runExpire: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const access = await openCluster(context, requiredPositional(arguments_, 'cluster'));
  const named = textOption(options, 'backup');
  const asked: Asked = { plan: flagOption(options, 'plan'), force: flagOption(options, 'force') };
  const document =
    named === undefined ? await byRules(access, asked, context) : await byName(named, access, asked, context);
  writeExpiry(document, context);
  // Of a backup that is damaged it was said by name that it goes.
  const left = document.damaged.filter(({ id }) => id === null || document.backups.every((backup) => backup.id !== id));
  return left.length > 0 ? new PgrecallError('object-damaged', '').exitStatus : 0;
};

interface Asked {
  readonly plan: boolean;
  readonly force: boolean;
}

async function byRules(access: ClusterAccess, asked: Asked, context: CliContext): Promise<ExpireDocument> {
  const { cluster, incarnations, config } = access;
  const settings = config.retention;
  const subject: ExpirySubject = { cluster, incarnations, settings, now: context.now(), force: asked.force };
  if (asked.plan) {
    const survey = await surveyExpiry(subject);
    const packs = await planFreedPacks(cluster, survey.verdicts);
    const plan = { ...packs, walSegments: await planFreedWal(survey, settings) };
    return describeExpiry(config.name, settings, survey, { plan });
  }
  return whileExpiring(access, context, async (options) => {
    const survey = await surveyExpiry(subject);
    return describeExpiry(config.name, settings, survey, { outcome: await executeExpiry(subject, survey, options) });
  });
}

/** Under the lock `expire`, which keeps everyone else from changing records. */
async function whileExpiring(
  access: ClusterAccess,
  context: CliContext,
  action: (options: ExpireOptions) => Promise<ExpireDocument>,
): Promise<ExpireDocument> {
  const lock: LockOptions = { purpose: 'expire', now: context.now, randomBytes: context.randomBytes };
  await using held = await access.cluster.lock('expire', lock);
  void held;
  const progress = startProgress(context, `expire ${access.config.name}`);
  try {
    const document = await action({ lock, signal: context.signal, say: progress.say });
    const { storage } = access.repository;
    // Packs and manifests that were being written when their writer died are no objects: nobody lists them.
    if (storage instanceof LocalStorage) {
      for (const folder of ['packs', 'backups', 'claims']) {
        await storage.sweepTemporaries(access.cluster.keyOf(folder));
      }
    }
    return document;
  } finally {
    progress.end();
  }
}

async function byName(
  named: string,
  access: ClusterAccess,
  asked: Asked,
  context: CliContext,
): Promise<ExpireDocument> {
  const { cluster, config } = access;
  if (asked.plan) {
    const { id, found, backups, damaged } = await findNamed(named, cluster, asked.force);
    const packs = await planFreedPacks(
      cluster,
      backups.map((backup) => ({ backup, stays: backup !== found })),
    );
    return describeNamed(config.name, id, found, { plan: { ...packs, walSegments: [] } }, damaged);
  }
  return whileExpiring(access, context, async (options) => {
    const { id, found, damaged } = await findNamed(named, cluster, asked.force);
    const others = damaged.filter((part) => part.id !== id);
    const swept = await expireNamed(cluster, id, context.now(), { ...options, damaged: others });
    return describeNamed(config.name, id, found, { outcome: { swept, walSegments: [] } }, damaged);
  });
}

interface Named {
  readonly id: string;
  /** `undefined` where its record cannot be read. */
  readonly found: BackupRecord | undefined;
  readonly backups: readonly BackupRecord[];
  readonly damaged: readonly DamagedPart[];
}

/** Throws `backup-unknown`, `backup-ambiguous`, `backup-kept`. */
async function findNamed(named: string, cluster: ClusterRepository, force: boolean): Promise<Named> {
  const { backups, damaged } = await listAll(cluster);
  if (damaged.some(({ id }) => id === named)) return { id: named, found: undefined, backups, damaged };
  const found = findBackup(backups, named);
  if (!force) refuseKept(found, backups);
  return { id: found.id, found, backups, damaged };
}

async function listAll(
  cluster: ClusterRepository,
): Promise<{ readonly backups: readonly BackupRecord[]; readonly damaged: readonly DamagedPart[] }> {
  const damaged: DamagedPart[] = [];
  const backups = await cluster.listBackups({
    onDamaged: (id, error) => {
      if (!(error instanceof PgrecallError)) throw error;
      damaged.push({ id, code: error.code, message: error.message });
    },
  });
  return { backups, damaged };
}

/** What a name may be a slip for. */
function refuseKept(backup: BackupRecord, backups: readonly BackupRecord[]): void {
  if (backup.keep) throw new PgrecallError('backup-kept', `${backup.id} is marked to be kept`);
  const good = backups.filter((other) => other.kind === backup.kind && isGood(other));
  if (good.length > 1 || good[0] !== backup) return;
  const what = backup.kind === 'physical' ? 'backup from which the cluster can be restored' : 'dump';
  throw new PgrecallError('backup-kept', `${backup.id} is the last ${what}`, { hint: 'say --force if it is to go' });
}
