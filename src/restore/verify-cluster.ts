import { lastingGaps } from '../archive/lasting-gaps.ts';
import { liesIn, type WalGap } from '../archive/recoverable.ts';
import type { WalDamage } from '../archive/verify-wal-items.ts';
import { isContentDamage, verifyWal, type VerifiedWal } from '../archive/verify-wal.ts';
import { readWalCatalogue, type WalCatalogue } from '../archive/wal-catalogue.ts';
import { WalStore } from '../archive/wal-store.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository, Incarnation } from '../repository/cluster-repository.ts';
import { parsePackId } from '../repository/pack-id.ts';
import type { RepositoryAccess } from '../repository/repository.ts';
import { verifyBackup, type Damage } from './verify-backup.ts';

/*
 * Reads what a repository holds of a cluster, and says what of it is not as it was written, and which backups that
 * harms. Every backup is read as a restore would read it; besides, everything that no file leads to: the lists of
 * packs and manifests, and the WAL.
 */

export interface VerifyClusterOptions {
  readonly cluster: ClusterRepository;
  readonly incarnations: readonly Incarnation[];
  readonly access: RepositoryAccess;
  /** Only this backup, and the WAL that it needs. */
  readonly only?: BackupRecord;
  readonly jobs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
  /** How much there is to read, as files and WAL. */
  readonly onTotal: (bytes: number) => void;
  readonly say: (text: string) => void;
}

export interface BackupVerdict {
  readonly backup: string;
  readonly files: number;
  readonly sizeBytes: number;
  readonly damage: readonly Damage[];
}

export interface WalVerdict extends VerifiedWal {
  readonly incarnation: number;
  readonly gaps: readonly WalGap[];
}

export interface ClusterVerdict {
  readonly backups: readonly BackupVerdict[];
  readonly wal: readonly WalVerdict[];
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
  options.onTotal(totalBytes(backups, lives, only !== undefined));

  const packs = new PackCheck(cluster);
  const verdicts: BackupVerdict[] = [...unreadable];
  for (const record of backups) {
    options.signal.throwIfAborted();
    options.say(`reading ${record.id}`);
    verdicts.push(await readBackup(record, packs, options));
  }
  const wal: WalVerdict[] = [];
  for (const life of lives) {
    options.say(`reading WAL of incarnation ${life.store.incarnation.number}`);
    wal.push(await readWal(life, options));
  }
  const notes = only ? [] : await readNotes(cluster, backups);
  return { backups: verdicts.map((verdict) => withWal(verdict, backups, lives, wal)), wal, notes };
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

function totalBytes(backups: readonly BackupRecord[], lives: readonly Life[], only: boolean): number {
  const files = backups.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (only) return files;
  const ranges = lives.flatMap(({ catalogue }) => catalogue.ranges);
  return ranges.reduce((sum, { startLsn, endLsn }) => sum + Number(endLsn - startLsn), files);
}

function withoutRecord(backup: string, error: unknown): BackupVerdict {
  if (!(error instanceof PgrecallError)) throw error;
  const { code, message } = error;
  return { backup, files: 0, sizeBytes: 0, damage: [{ backup, path: 'record.json', code, message }] };
}

async function readBackup(
  record: BackupRecord,
  packs: PackCheck,
  options: VerifyClusterOptions,
): Promise<BackupVerdict> {
  const damage: Damage[] = [];
  for (const pack of record.packs) {
    options.signal.throwIfAborted();
    const problem = await packs.check(pack);
    if (problem) damage.push({ backup: record.id, path: `packs/${pack}`, ...problem });
  }
  const { cluster, access, jobs, signal, onProgress } = options;
  const manifest = await asDamage(async () => {
    await using reader = await cluster.openManifest(record.id);
    await reader.verify();
  });
  if (manifest) {
    damage.push({ backup: record.id, path: 'manifest', ...manifest });
    return { backup: record.id, files: record.files, sizeBytes: record.sizeBytes, damage };
  }
  const read = await verifyBackup(record, { cluster, access, jobs, signal, onProgress });
  return { ...read, damage: [...damage, ...read.damage] };
}

interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
}

/** Looks at each pack once, however many backups share it: its header and its lists, which no file map leads to. */
class PackCheck {
  readonly #cluster: ClusterRepository;
  readonly #known = new Map<string, Problem | undefined>();

  constructor(cluster: ClusterRepository) {
    this.#cluster = cluster;
  }

  async check(name: string): Promise<Problem | undefined> {
    if (this.#known.has(name)) return this.#known.get(name);
    const problem = await asDamage(async () => {
      await using pack = await this.#cluster.openPack(parsePackId(name));
      await pack.blobs();
    });
    this.#known.set(name, problem);
    return problem;
  }
}

async function asDamage(read: () => Promise<void>): Promise<Problem | undefined> {
  try {
    await read();
    return undefined;
  } catch (error) {
    if (!(error instanceof PgrecallError) || !(error.exitStatus === 3 || hasCode(error, 'storage'))) throw error;
    return { code: error.code, message: error.message };
  }
}

async function readWal(life: Life, options: VerifyClusterOptions): Promise<WalVerdict> {
  const { access, jobs, signal, only } = options;
  const { store, catalogue, backups } = life;
  const verified = await verifyWal(store, {
    access,
    jobs,
    signal,
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
    if (needed) damage.push({ backup: record.id, path: `WAL ${one.name}`, code: one.code, message: one.message });
  }
  if (damage.length === 0 && !life.problem && !life.catalogue.ranges.some((range) => liesIn(record, range))) {
    const message = `the WAL from ${record.startLsn} to ${record.endLsn}, which the backup needs, is not all archived`;
    damage.push({ backup: record.id, path: `WAL ${record.startSegment}`, code: 'wal-gap', message });
  }
  return damage.length === 0 ? verdict : { ...verdict, damage: [...verdict.damage, ...damage] };
}

async function readNotes(cluster: ClusterRepository, backups: readonly BackupRecord[]): Promise<string[]> {
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
