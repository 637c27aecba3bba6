import { countExpirable } from '../archive/expire-wal.ts';
import type { RetentionSettings } from '../config/retention-settings.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { parsePackId } from '../repository/pack-id.ts';
import { planLife, type ExpirySurvey } from './survey-expiry.ts';

/** What an expiry would free. */
export interface PlannedFreeing {
  /** Packs to which nobody refers but backups that go. */
  readonly packs: number;
  readonly bytes: number;
  /** Those of backups that go to which others refer as well. They may be repacked. */
  readonly sharedPacks: number;
  /** Of each incarnation, in order. */
  readonly walSegments: readonly number[];
}

export async function planFreedPacks(
  cluster: ClusterRepository,
  verdicts: readonly { readonly backup: BackupRecord; readonly stays: boolean }[],
): Promise<Omit<PlannedFreeing, 'walSegments'>> {
  const packsOf = (stay: boolean): Set<string> =>
    new Set(verdicts.filter(({ stays }) => stays === stay).flatMap(({ backup }) => backup.packs));
  const [left, going] = [packsOf(true), packsOf(false)];
  const freed = [...going].filter((pack) => !left.has(pack));
  let bytes = 0;
  for (const pack of freed) bytes += (await cluster.packBytes(parsePackId(pack))) ?? 0;
  return { packs: freed.length, bytes, sharedPacks: going.size - freed.length };
}

/** As long as no backup is running. */
export async function planFreedWal(survey: ExpirySurvey, settings: RetentionSettings): Promise<number[]> {
  const segments: number[] = [];
  for (const life of survey.lives) {
    const plan = planLife(life, survey, settings, false);
    segments.push(plan.untouched === undefined ? await countExpirable(life.store, plan.kept) : 0);
  }
  return segments;
}
