import { lastingGaps } from '../archive/lasting-gaps.ts';
import { liesIn, type WalGap } from '../archive/recoverable.ts';
import type { WalDamage } from '../archive/verify-wal-items.ts';
import { isContentDamage, verifyWal, type VerifiedWal } from '../archive/verify-wal.ts';
import { readWalCatalogue, type WalCatalogue } from '../archive/wal-catalogue.ts';
import { WalStore } from '../archive/wal-store.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository, Incarnation } from '../repository/cluster-repository.ts';
import type { RepositoryAccess } from '../repository/repository.ts';
import { VerifiedNotes } from '../repository/verified-notes.ts';
import type { Damage } from './find-harm.ts';
import { asDamage } from './as-damage.ts';
import type { BackupVerdict, CountedPacks } from './backups-verification.ts';
import { verifyBackups, type VerifiedBackups } from './verify-backups.ts';
import type { Problem, Verifying } from './verify-items.ts';

/*
 * Reads what a repository holds of a cluster, and says what of it is not as it was written, and which backups that
 * harms: what the files of backups lie in, once, however many of them share it; everything that no file leads to, the lists
 * of packs and manifests; and the WAL.
 */

export interface VerifyClusterOptions {
  readonly cluster: ClusterRepository;
  readonly incarnations: readonly Incarnation[];
  readonly access: RepositoryAccess;
  /** Only this backup, and the WAL that it needs. */
  readonly only?: BackupRecord;
  readonly jobs: number;
  /** Starts who reads what backups refer to. */
  readonly startVerifying: () => Verifying;
  /** What was found good within so long is only looked for; everything is read where absent. */
  readonly sinceMs?: number | undefined;
  readonly now: () => Date;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
  /** How much there is to read, as files and WAL. */
  readonly onTotal: (bytes: number) => void;
  readonly say: (text: string) => void;
}

export interface WalVerdict extends VerifiedWal {
  readonly incarnation: number;
  readonly gaps: readonly WalGap[];
}

export interface ClusterVerdict {
  readonly backups: readonly BackupVerdict[];
  readonly wal: readonly WalVerdict[];
  /** How many packs were read, and how many were found good not long ago. */
  readonly packs: CountedPacks;
  /** What is odd, and harms nothing. */
  readonly notes: readonly string[];
}

export async function verifyCluster(options: VerifyClusterOptions): Promise<ClusterVerdict> {
  const { cluster, only } = options;
  const unreadable: BackupVerdict[] = [];
  const backups = only
    ? [only]
    : await cluster.listBackups({ onDamaged: (id, error) => unreadable.push(withoutRecord(id, error)) });
  const lives = await readLives(options, backups);
  const notes = await VerifiedNotes.open(cluster, { now: options.now, sinceMs: options.sinceMs });
  try {
    return await verifyNoting(options, { backups, unreadable, lives, notes });
  } catch (error) {
    // What was read until now need not be read again.
    await saveNotes(notes);
    throw error;
  }
}

interface Begun {
  readonly backups: readonly BackupRecord[];
  readonly unreadable: readonly BackupVerdict[];
  readonly lives: readonly Life[];
  readonly notes: VerifiedNotes;
}

async function verifyNoting(options: VerifyClusterOptions, begun: Begun): Promise<ClusterVerdict> {
  const { cluster, only } = options;
  const { backups, unreadable, lives, notes } = begun;
  const read = await readBackups(options, begun);
  const wal: WalVerdict[] = [];
  for (const life of lives) {
    options.say(`reading WAL of incarnation ${life.store.incarnation.number}`);
    wal.push(await readWal(life, notes, options));
  }
  const odd = only ? [] : await findOdd(cluster, backups);
  const expired = read.expired.map((id) => `${id} was expired meanwhile`);
  const saved = await saveNotes(notes);
  const verdicts = read.verdicts.map((verdict) => withWal(verdict, backups, lives, wal));
  return { backups: [...unreadable, ...verdicts], wal, packs: read.packs, notes: [...odd, ...expired, ...saved] };
}

async function readBackups(options: VerifyClusterOptions, { backups, lives, notes }: Begun): Promise<VerifiedBackups> {
  const { cluster, only, signal, onProgress, say } = options;
  // Its threads have ended, and given their memory back, before those that read WAL begin.
  const verifying = options.startVerifying();
  try {
    return await verifyBackups({
      cluster,
      records: backups,
      alsoElsewhere: only ? await packsOfOthers(cluster, only) : new Set(),
      notes,
      verifying,
      signal,
      onProgress,
      onTotal: (bytes) => options.onTotal(bytes + (only ? 0 : walBytes(lives))),
      say,
    });
  } finally {
    await verifying.close();
  }
}

/** A repository that nobody may write to can be verified all the same. */
async function saveNotes(notes: VerifiedNotes): Promise<string[]> {
  try {
    await notes.save();
    return [];
  } catch (error) {
    if (!(error instanceof PgrecallError)) throw error;
    return [`what was verified could not be noted for --since: ${error.message}`];
  }
}

async function packsOfOthers(cluster: ClusterRepository, only: BackupRecord): Promise<Set<string>> {
  const all = await cluster.listBackups({ onDamaged: () => undefined });
  return new Set(all.filter(({ id }) => id !== only.id).flatMap(({ packs }) => packs));
}

/** What was archived of one incarnation. */
interface Life {
  readonly store: WalStore;
  readonly catalogue: WalCatalogue;
  /** Why the catalogue could not be read; it is empty then. */
  readonly problem: Problem | undefined;
  readonly backups: readonly BackupRecord[];
}

async function readLives(options: VerifyClusterOptions, backups: readonly BackupRecord[]): Promise<Life[]> {
  const lives: Life[] = [];
  for (const incarnation of options.incarnations) {
    const own = backups.filter((backup) => backup.incarnation === incarnation.number);
    if (options.only && own.length === 0) continue;
    const store = new WalStore(options.cluster, incarnation);
    let catalogue: WalCatalogue = { ranges: [], histories: new Map() };
    const problem = await asDamage(async () => {
      catalogue = await readWalCatalogue(store);
    });
    lives.push({ store, catalogue, problem, backups: own });
  }
  return lives;
}

function walBytes(lives: readonly Life[]): number {
  const ranges = lives.flatMap(({ catalogue }) => catalogue.ranges);
  return ranges.reduce((sum, { startLsn, endLsn }) => sum + Number(endLsn - startLsn), 0);
}

function withoutRecord(backup: string, error: unknown): BackupVerdict {
  if (!(error instanceof PgrecallError)) throw error;
  const { code, message } = error;
  return { backup, files: 0, sizeBytes: 0, damage: [{ path: 'record.json', code, message }], moreDamage: 0 };
}

async function readWal(life: Life, notes: VerifiedNotes, options: VerifyClusterOptions): Promise<WalVerdict> {
  const { access, jobs, signal, only } = options;
  const { store, catalogue, backups } = life;
  const verified = await verifyWal(store, {
    access,
    jobs,
    signal,
    notes,
    onProgress: only ? () => undefined : options.onProgress,
    ...(only ? { only: { first: only.startSegment, last: only.stopSegment } } : {}),
  });
  const { gaps } = only || life.problem ? { gaps: [] } : await lastingGaps(store, backups, { catalogue, signal });
  return { incarnation: store.incarnation.number, gaps, ...verified, damage: withCatalogue(verified.damage, life) };
}

/** What keeps the catalogue from being read is most often found again where it lies. */
function withCatalogue(damage: readonly WalDamage[], { problem }: Life): readonly WalDamage[] {
  if (!problem || damage.some(({ message }) => message === problem.message)) return damage;
  return [...damage, { timeline: timeline(1), name: 'catalogue', what: 'index', ...problem }];
}

/** A backup whose own WAL is damaged or missing cannot become consistent. */
function withWal(
  verdict: BackupVerdict,
  backups: readonly BackupRecord[],
  lives: readonly Life[],
  wal: readonly WalVerdict[],
): BackupVerdict {
  const record = backups.find(({ id }) => id === verdict.backup);
  const life = lives.find(({ store }) => store.incarnation.number === record?.incarnation);
  if (!record || !life || record.kind !== 'physical') return verdict;
  const damage: Damage[] = [];
  const found = wal.find(({ incarnation }) => incarnation === record.incarnation)?.damage ?? [];
  for (const one of found.filter(isContentDamage)) {
    const needed = one.name >= record.startSegment && one.name <= record.stopSegment;
    if (needed) damage.push({ path: `WAL ${one.name}`, code: one.code, message: one.message });
  }
  if (damage.length === 0 && !life.problem && !life.catalogue.ranges.some((range) => liesIn(record, range))) {
    const message = `the WAL from ${record.startLsn} to ${record.endLsn}, which the backup needs, is not all archived`;
    damage.push({ path: `WAL ${record.startSegment}`, code: 'wal-gap', message });
  }
  return damage.length === 0 ? verdict : { ...verdict, damage: [...verdict.damage, ...damage] };
}

async function findOdd(cluster: ClusterRepository, backups: readonly BackupRecord[]): Promise<string[]> {
  const referred = new Set(backups.flatMap(({ packs }) => packs));
  const orphans = (await cluster.listPacks()).filter((pack) => !referred.has(pack));
  const unfinished = await cluster.listUnfinished();
  return [
    ...(orphans.length === 0
      ? []
      : [`${orphans.length} pack(s) belong to no backup: left by one that was interrupted, or of one that is running`]),
    ...unfinished.map((id) => `${id} was never finished: it runs, or it was interrupted`),
  ];
}
