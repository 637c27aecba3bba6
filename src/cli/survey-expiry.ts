import { clipCatalogue } from '../archive/clip-ranges.ts';
import { liesIn, recoverableSpans, type RecoverableSpan } from '../archive/recoverable.ts';
import { readWalCatalogue, type WalCatalogue } from '../archive/wal-catalogue.ts';
import { WalStore } from '../archive/wal-store.ts';
import type { RetentionSettings } from '../config/retention-settings.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository, Incarnation } from '../repository/cluster-repository.ts';
import { planExpiry, type Verdict } from '../retention/expiry-plan.ts';
import { parseInstant } from '../retention/periods.ts';
import type { Life } from '../retention/recovery-window.ts';
import { planWalExpiry, type WalExpiryPlan } from '../retention/wal-expiry-plan.ts';
import { toUnixMillis } from '../wal/transaction-time.ts';

export interface ExpirySubject {
  readonly cluster: ClusterRepository;
  readonly incarnations: readonly Incarnation[];
  readonly settings: RetentionSettings;
  readonly now: Date;
  /** Takes the clock's word. */
  readonly force: boolean;
}

/** What is there, and what of it the rules let go. */
export interface ExpirySurvey {
  readonly verdicts: readonly Verdict[];
  /** From when on every moment can be recovered, in milliseconds since 1970. */
  readonly windowFromMs: number | undefined;
  /** Of each incarnation, oldest first. */
  readonly lives: readonly SurveyedLife[];
  readonly damaged: readonly DamagedPart[];
}

export interface SurveyedLife {
  readonly store: WalStore;
  readonly life: Life;
  readonly catalogue: WalCatalogue;
  /** Why its WAL cannot be judged. */
  readonly unknown: string | undefined;
}

export interface DamagedPart {
  /** Of the backup; `null` where it is the catalogue of WAL. */
  readonly id: string | null;
  readonly code: string;
  readonly message: string;
}

/** Reads, and changes nothing. Throws `clock-suspect`, and what reading throws but for damage. */
export async function surveyExpiry(subject: ExpirySubject): Promise<ExpirySurvey> {
  const { cluster, incarnations, settings, now, force } = subject;
  const damaged: DamagedPart[] = [];
  const note = (id: string | null, error: unknown): void => {
    if (!(error instanceof PgrecallError) || error.exitStatus !== 3) throw error;
    damaged.push({ id, code: error.code, message: error.message });
  };
  const backups = await cluster.listBackups({ onDamaged: note });
  const unreadable =
    damaged.length > 0 ? 'the record of a backup cannot be read: what WAL it needs is not known' : undefined;
  const lives: SurveyedLife[] = [];
  for (const [i, incarnation] of incarnations.entries()) {
    const store = new WalStore(cluster, incarnation);
    lives.push(await surveyLife(store, incarnations[i + 1], unreadable, (error) => note(null, error)));
  }
  const { verdicts, windowFromMs } = planExpiry({
    backups,
    lackWal: new Set(backups.filter((backup) => lacksWal(backup, lives)).map(({ id }) => id)),
    lives: lives.map(({ life }) => life),
    settings,
    nowMs: now.getTime(),
    localOffset: (unixMs) => new Date(unixMs).getTimezoneOffset() * -60_000,
    force,
  });
  return { verdicts, windowFromMs, lives, damaged };
}

async function surveyLife(
  store: WalStore,
  next: Incarnation | undefined,
  unreadable: string | undefined,
  onDamaged: (error: unknown) => void,
): Promise<SurveyedLife> {
  let catalogue: WalCatalogue = { ranges: [], histories: new Map() };
  let unknown = unreadable;
  try {
    catalogue = await readWalCatalogue(store);
  } catch (error) {
    onDamaged(error);
    unknown ??= 'the catalogue of WAL cannot be read';
  }
  const lastCommit = (of: number): bigint | undefined => {
    const times = catalogue.ranges.filter(({ timeline }) => timeline === of).map((range) => range.lastCommitTime);
    return times
      .filter((time) => time !== undefined)
      .toSorted((a, b) => Number(a - b))
      .at(-1);
  };
  const timelines = (await store.listTimelines()).map((timeline) => {
    const last = lastCommit(timeline);
    return { timeline, lastCommitMs: last === undefined ? undefined : toUnixMillis(last) };
  });
  return {
    store,
    catalogue,
    unknown,
    life: {
      incarnation: store.incarnation.number,
      segmentBytes: store.segmentBytes,
      endedMs: next && parseInstant(next.since),
      timelines,
      histories: catalogue.histories,
    },
  };
}

/** Whether a backup cannot become consistent; where the WAL is not known, it can. */
function lacksWal(backup: BackupRecord, lives: readonly SurveyedLife[]): boolean {
  const own = lives.find(({ life }) => life.incarnation === backup.incarnation);
  if (backup.kind !== 'physical' || backup.startSegment === '' || !own || own.unknown !== undefined) return false;
  return !own.catalogue.ranges.some((range) => liesIn(backup, range));
}

/** What of an incarnation's WAL goes, once those backups are gone that go. */
export function planLife(
  { life, unknown }: SurveyedLife,
  survey: Pick<ExpirySurvey, 'verdicts' | 'windowFromMs'>,
  settings: RetentionSettings,
  backupRuns: boolean,
): WalExpiryPlan {
  if (unknown !== undefined) return { untouched: unknown };
  return planWalExpiry({ life, settings, backupRuns, verdicts: survey.verdicts, windowFromMs: survey.windowFromMs });
}

/** What can be recovered afterwards. */
export function spansAfter(
  { life, catalogue }: SurveyedLife,
  plan: WalExpiryPlan,
  verdicts: readonly Verdict[],
): readonly RecoverableSpan[] {
  const { incarnation, segmentBytes } = life;
  const staying = verdicts
    .filter(({ stays, backup }) => stays && backup.incarnation === incarnation)
    .map(({ backup }) => backup);
  const left = plan.untouched === undefined ? clipCatalogue(catalogue, plan.kept, segmentBytes) : catalogue;
  return recoverableSpans(staying, left, segmentBytes);
}
