import { formatSpan } from '../config/duration.ts';
import type { RetentionSettings } from '../config/retention-settings.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { parseLsn } from '../postgres/lsn.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { seriesOfDumps } from './dump-series.ts';
import { hasPeriods, isGood, keepNewest, keepPeriods, keepYoung, Reasons } from './keep-rules.ts';
import type { Dated, Reason } from './keep-rules.ts';
import { parseInstant, type LocalOffset } from './periods.ts';
import { refusePause } from './clock-pause.ts';
import { applyPhysicalRules } from './physical-rules.ts';
import { findAnchors, type Life } from './recovery-window.ts';

/*
 * Which backups stay, and why; which go. A backup goes only where the configuration has rules for its type, none of them
 * keeps it, and no safeguard does. What cannot be judged stays.
 */

export interface ExpiryInput {
  /** All whose record can be read. */
  readonly backups: readonly BackupRecord[];
  /** Identifiers of those that cannot become consistent, since WAL that they need is missing. */
  readonly lackWal: ReadonlySet<string>;
  /** One for each incarnation, in order. */
  readonly lives: readonly Life[];
  readonly settings: RetentionSettings;
  /** Milliseconds since 1970, as all times here. */
  readonly nowMs: number;
  readonly localOffset: LocalOffset;
  /** Takes the clock's word where it would let nearly everything go. */
  readonly force: boolean;
}

export type Verdict =
  | { readonly backup: BackupRecord; readonly stays: true; readonly reasons: readonly Reason[] }
  | { readonly backup: BackupRecord; readonly stays: false; readonly why: string };

export interface ExpiryPlan {
  /** In the order of the backups given. */
  readonly verdicts: readonly Verdict[];
  /** From when on every moment can be recovered; `undefined` where all WAL counts that a backup leads to. */
  readonly windowFromMs: number | undefined;
}

/** Clocks of two hosts may differ by this much. */
const skewMs = 600_000;

/**
 * Throws `clock-suspect` where backups are from the future, or where much would go that lies before a pause such as there
 * was none: then the clock is wrong, or was.
 */
export function planExpiry(input: ExpiryInput): ExpiryPlan {
  const { settings, nowMs, localOffset } = input;
  const reasons = new Reasons();
  const dated = dateBackups(input.backups, reasons);
  refuseFuture(dated, nowMs);
  const [physical, dumps] = [
    dated.filter(({ backup }) => backup.kind === 'physical'),
    dated.filter(({ backup }) => backup.kind === 'logical'),
  ];
  for (const { backup } of dated) if (backup.keep) reasons.add(backup, 'keep', 'marked to be kept');

  applyPhysicalRules(physical, settings.physical, { nowMs, localOffset }, reasons);
  const series = seriesOfDumps(dumps);
  for (const alike of series) applyDumpRules(alike, settings.dumps, { nowMs, localOffset }, reasons);
  const windowFromMs = keepAnchors(physical, input, reasons);
  keepLast(physical, input.lackWal, 'backup', reasons);
  for (const alike of series) keepLast(alike, input.lackWal, 'dump', reasons);
  if (!input.force) {
    refusePause(physical, [settings.physical.forMs, windowOf(settings)], nowMs, reasons);
    refusePause(dumps, [settings.dumps.forMs], nowMs, reasons);
  }
  return {
    verdicts: input.backups.map((backup) => {
      const why = reasons.of(backup);
      if (why.length > 0) return { backup, stays: true as const, reasons: why };
      return { backup, stays: false as const, why: whyItGoes(backup, settings) };
    }),
    windowFromMs,
  };
}

/** In order of time. One whose time cannot be read stays. */
function dateBackups(backups: readonly BackupRecord[], reasons: Reasons): Dated[] {
  const dated: Dated[] = [];
  for (const backup of backups) {
    const endedMs = parseInstant(backup.stoppedAt);
    if (endedMs === undefined) {
      reasons.add(backup, 'not-judged', `its end "${backup.stoppedAt}" is no time: it cannot be judged`);
    } else dated.push({ backup, endedMs });
  }
  return dated.toSorted((a, b) => a.endedMs - b.endedMs || (a.backup.id < b.backup.id ? -1 : 1));
}

function refuseFuture(dated: readonly Dated[], nowMs: number): void {
  const future = dated.filter(({ endedMs }) => endedMs > nowMs + skewMs).map(({ backup }) => backup.id);
  if (future.length === 0) return;
  throw new PgrecallError(
    'clock-suspect',
    `backups are from the future: ${future.slice(-3).join(', ')}${future.length > 3 ? ' and more' : ''}`,
    {
      hint: 'the clock of this machine is wrong now, or the clock was wrong when they were taken: set it right, or expire these by name (--backup)',
      details: { backups: future },
    },
  );
}

function applyDumpRules(
  dated: readonly Dated[],
  settings: RetentionSettings['dumps'],
  clock: { readonly nowMs: number; readonly localOffset: LocalOffset },
  reasons: Reasons,
): void {
  const { count, forMs, periods } = settings;
  if (count === undefined && forMs === undefined && !hasPeriods(periods)) {
    for (const { backup } of dated) reasons.add(backup, 'no-rule', 'there is no rule for dumps');
  }
  keepNewest(dated, count, 'keep_dumps', 'dump', reasons);
  keepYoung(dated, forMs, clock.nowMs, 'keep_dumps_for', reasons);
  keepPeriods(dated, periods, 'keep_dumps', clock.localOffset, reasons);
}

function windowOf({ wal, physical }: RetentionSettings): number | undefined {
  return wal === 'all' ? undefined : (wal ?? physical.forMs);
}

/** Gives the beginning of the window. */
function keepAnchors(physical: readonly Dated[], input: ExpiryInput, reasons: Reasons): number | undefined {
  const windowMs = windowOf(input.settings);
  if (windowMs === undefined) return undefined;
  const fromMs = input.nowMs - windowMs;
  const usable = physical.filter(({ backup }) => isGood(backup) && !input.lackWal.has(backup.id));
  for (const backup of findAnchors(usable, fromMs, input.lives)) {
    reasons.add(
      backup,
      'keep_wal',
      `the last before the ${formatSpan(windowMs)} in which every moment can be recovered`,
    );
  }
  return fromMs;
}

/** No policy removes the newest, nor the newest that is known to be good. */
function keepLast(dated: readonly Dated[], lackWal: ReadonlySet<string>, what: string, reasons: Reasons): void {
  const newest = dated.at(-1)?.backup;
  const good = dated.findLast(({ backup }) => isGood(backup) && !lackWal.has(backup.id))?.backup;
  if (newest) reasons.add(newest, 'newest', `the newest ${what}`);
  if (good && good !== newest) reasons.add(good, 'last-good', `the newest ${what} that is known to be good`);
  // A clock that was set back makes the latest look older than others.
  const latest = dated
    .map(({ backup }) => backup)
    .filter(({ endLsn }) => endLsn !== '')
    .toSorted(byPlaceInWal)
    .at(-1);
  if (latest && latest !== newest) reasons.add(latest, 'newest', `the newest ${what} by its place in WAL`);
}

function byPlaceInWal(a: BackupRecord, b: BackupRecord): number {
  const lsn = Number(parseLsn(a.endLsn) - parseLsn(b.endLsn));
  return a.incarnation - b.incarnation || a.timeline - b.timeline || lsn;
}

function whyItGoes({ kind, type }: BackupRecord, settings: RetentionSettings): string {
  const rules = kind === 'physical' ? settings.physical : settings.dumps;
  const count = kind === 'physical' ? settings.physical[type] : settings.dumps.count;
  const why = [
    ...(count === undefined ? [] : [`not one of the newest ${count}`]),
    ...(rules.forMs === undefined ? [] : [`older than ${formatSpan(rules.forMs)}`]),
    ...(hasPeriods(rules.periods) ? ['not the last of a period that counts'] : []),
    ...(kind === 'physical' && count === undefined && type !== 'full' ? ['the one before it does not stay'] : []),
  ];
  return why.join(', ');
}
