import { formatSpan } from '../config/duration.ts';
import type { KeptPeriods } from '../config/retention-settings.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { periodOf, periods, type LocalOffset } from './periods.ts';

/** A backup whose end is known. */
export interface Dated {
  readonly backup: BackupRecord;
  /** Milliseconds since 1970. */
  readonly endedMs: number;
}

/** What keeps a backup: the option of the configuration, or the safeguard. */
export type KeepRule =
  | 'keep'
  | 'keep_full'
  | 'keep_differential'
  | 'keep_incremental'
  | 'keep_for'
  | 'keep_hourly'
  | 'keep_daily'
  | 'keep_weekly'
  | 'keep_monthly'
  | 'keep_yearly'
  | 'keep_wal'
  | 'keep_dumps'
  | 'keep_dumps_for'
  | 'keep_dumps_hourly'
  | 'keep_dumps_daily'
  | 'keep_dumps_weekly'
  | 'keep_dumps_monthly'
  | 'keep_dumps_yearly'
  | 'no-rule'
  | 'newest'
  | 'last-good'
  | 'not-judged';

export interface Reason {
  readonly rule: KeepRule;
  /** For an administrator: "one of the newest 4 full backups". */
  readonly text: string;
}

/** Why backups stay, by their identifiers. */
export class Reasons {
  readonly #of = new Map<string, Reason[]>();

  add({ id }: BackupRecord, rule: KeepRule, text: string): void {
    const reasons = this.#of.get(id);
    if (reasons) reasons.push({ rule, text });
    else this.#of.set(id, [{ rule, text }]);
  }

  of({ id }: BackupRecord): readonly Reason[] {
    return this.#of.get(id) ?? [];
  }

  /** Whether one of these rules keeps it. */
  has(backup: BackupRecord, ...rules: readonly KeepRule[]): boolean {
    return this.of(backup).some(({ rule }) => rules.includes(rule));
  }
}

/** Whether the pages of a backup were all right when they were read. */
export function isGood(backup: BackupRecord): boolean {
  return backup.badPages.length === 0;
}

/** The newest so many; `dated` is in order of time. */
export function keepNewest(
  dated: readonly Dated[],
  count: number | undefined,
  rule: KeepRule,
  what: string,
  reasons: Reasons,
): void {
  if (count === undefined) return;
  const text = count === 1 ? `the newest ${what}` : `one of the newest ${count} ${what}s`;
  for (const { backup } of dated.slice(-count)) reasons.add(backup, rule, text);
}

/** Those that ended within a time before now. */
export function keepYoung(
  dated: readonly Dated[],
  forMs: number | undefined,
  nowMs: number,
  rule: KeepRule,
  reasons: Reasons,
): void {
  if (forMs === undefined) return;
  const text = `not older than ${formatSpan(forMs)}`;
  for (const { backup, endedMs } of dated) if (endedMs >= nowMs - forMs) reasons.add(backup, rule, text);
}

const names = { hourly: 'hour', daily: 'day', weekly: 'week', monthly: 'month', yearly: 'year' } as const;

/** The last of each of the last periods that have one; one without bad pages, where there is one. */
export function keepPeriods(
  dated: readonly Dated[],
  kept: KeptPeriods,
  prefix: 'keep' | 'keep_dumps',
  localOffset: LocalOffset,
  reasons: Reasons,
): void {
  for (const period of periods) {
    const count = kept[period];
    if (count === undefined) continue;
    const last = new Map<string, BackupRecord>();
    for (const { backup, endedMs } of dated) {
      const key = periodOf(period, endedMs, localOffset);
      const before = last.get(key);
      if (!before || isGood(backup) || !isGood(before)) last.set(key, backup);
    }
    const of = count === 1 ? `the last ${names[period]}` : `one of the last ${count} ${names[period]}s`;
    for (const backup of [...last.values()].slice(-count)) {
      reasons.add(backup, `${prefix}_${period}`, `the last of ${of}`);
    }
  }
}

export function hasPeriods(kept: KeptPeriods): boolean {
  return periods.some((period) => kept[period] !== undefined);
}
