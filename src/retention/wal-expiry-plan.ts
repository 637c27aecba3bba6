import type { RetentionSettings } from '../config/retention-settings.ts';
import { parseLsn } from '../postgres/lsn.ts';
import { parseSegmentName, segmentNumber, segmentOf, type SegmentNumber } from '../postgres/segment-name.ts';
import { timeline as toTimeline, type Timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { Verdict } from './expiry-plan.ts';
import type { KeepRule } from './keep-rules.ts';
import { parseInstant } from './periods.ts';
import { hasPhysicalRules } from './physical-rules.ts';
import type { Life } from './recovery-window.ts';

/*
 * Which WAL of an incarnation stays: what each backup that stays needs to become consistent; and everything after the
 * backups of the recovery window, on their timelines and on those that came from them. The rest goes. The newest WAL always
 * comes after the newest backup, which always stays: what is being archived is never touched.
 */

export interface WalExpiryInput {
  readonly life: Life;
  /** Of all backups; those that go are taken for gone. */
  readonly verdicts: readonly Verdict[];
  readonly settings: RetentionSettings;
  readonly windowFromMs: number | undefined;
  /** Whether a backup is running, which needs WAL that no record names yet. */
  readonly backupRuns: boolean;
}

/** Segments of one timeline, both ends included; `undefined`: whatever comes. */
export interface KeptSegments {
  readonly first: SegmentNumber;
  readonly last: SegmentNumber | undefined;
}

export type WalExpiryPlan =
  | { readonly untouched: string }
  | {
      readonly untouched: undefined;
      /** In order, apart from each other. Of a timeline that is missing nothing stays. */
      readonly kept: ReadonlyMap<Timeline, readonly KeptSegments[]>;
      /** Those whose history files nobody needs any more. */
      readonly forgotten: readonly Timeline[];
    };

const whole: KeptSegments = { first: segmentNumber(0), last: undefined };

export function planWalExpiry(input: WalExpiryInput): WalExpiryPlan {
  const { life, settings, verdicts, backupRuns } = input;
  if (!hasPhysicalRules(settings.physical) && settings.wal === undefined) {
    return { untouched: 'there is no rule for physical backups, and none for WAL' };
  }
  const own = verdicts.filter(({ backup }) => backup.kind === 'physical' && backup.incarnation === life.incarnation);
  const staying = own.flatMap((verdict) => (verdict.stays ? [verdict] : []));
  if (staying.length === 0 && isNeeded(input))
    return { untouched: 'there is no backup from which it could be replayed' };
  const kept = new KeptWal();
  for (const { backup } of staying) kept.add(toTimeline(backup.timeline), ownSegments(backup, life.segmentBytes));
  for (const { backup, reasons } of staying) {
    if (
      !opensWindow(
        backup,
        reasons.map(({ rule }) => rule),
        input,
      )
    )
      continue;
    const first = startOf(backup, life.segmentBytes);
    if (first === undefined) return { untouched: `where ${backup.id} begins in WAL is not known` };
    kept.add(toTimeline(backup.timeline), { first, last: undefined });
    for (const { timeline } of life.timelines) if (comesAfter(timeline, backup, life)) kept.add(timeline, whole);
  }
  const newest = Math.max(0, ...staying.map(({ backup }) => backup.timeline));
  for (const { timeline } of life.timelines) {
    // It began after the newest backup: one that is running may be its first.
    if (timeline > newest && staying.length > 0) kept.add(timeline, whole);
    else if (backupRuns)
      kept.add(
        timeline,
        sinceLastBackup(
          timeline,
          staying.map(({ backup }) => backup),
          life,
        ),
      );
  }
  return { untouched: undefined, kept: kept.ranges, forgotten: forgottenTimelines(kept.ranges, life, newest) };
}

/** Whether WAL without a backup is of use: the first backup of the present incarnation may be running. */
function isNeeded({ life, windowFromMs }: WalExpiryInput): boolean {
  return life.endedMs === undefined || (windowFromMs !== undefined && life.endedMs > windowFromMs);
}

/** Rules that keep a backup for its own sake, not for the moments after it. */
const forItself: ReadonlySet<KeepRule> = new Set(['keep', 'not-judged']);

/** Whether everything that comes after a backup is kept. */
function opensWindow(backup: BackupRecord, rules: readonly KeepRule[], input: WalExpiryInput): boolean {
  if (rules.some((rule) => ['newest', 'last-good', 'keep_wal'].includes(rule))) return true;
  if (input.windowFromMs === undefined) return rules.some((rule) => !forItself.has(rule));
  const endedMs = parseInstant(backup.stoppedAt);
  return endedMs === undefined || endedMs > input.windowFromMs;
}

/** What a backup needs to become consistent; a cold one may need none. */
function ownSegments({ startSegment, stopSegment }: BackupRecord, segmentBytes: number): KeptSegments | undefined {
  if (startSegment === '' || stopSegment === '') return undefined;
  const last = parseSegmentName(stopSegment, segmentBytes).number;
  return { first: parseSegmentName(startSegment, segmentBytes).number, last };
}

function startOf({ startSegment, startLsn }: BackupRecord, segmentBytes: number): SegmentNumber | undefined {
  if (startSegment !== '') return parseSegmentName(startSegment, segmentBytes).number;
  return startLsn === '' ? undefined : segmentOf(parseLsn(startLsn), segmentBytes);
}

/** Whether a timeline came from that of a backup, after it had begun; one without a history file may have. */
function comesAfter(timeline: Timeline, backup: BackupRecord, { histories }: Life): boolean {
  if (timeline <= backup.timeline) return false;
  const history = histories.get(timeline);
  if (!history) return true;
  const parent = history.parents.find((one) => one.timeline === backup.timeline);
  return parent !== undefined && (backup.startLsn === '' || parent.switchLsn >= parseLsn(backup.startLsn));
}

/** A backup that is running began after the last one of its timeline; where there is none, anything may be needed. */
function sinceLastBackup(timeline: Timeline, staying: readonly BackupRecord[], life: Life): KeptSegments {
  const starts = staying
    .filter((backup) => backup.timeline === timeline)
    .map((backup) => startOf(backup, life.segmentBytes))
    .filter((start) => start !== undefined);
  const first = starts.reduce<SegmentNumber>((latest, start) => (start > latest ? start : latest), segmentNumber(0));
  return { first, last: undefined };
}

/**
 * A history goes with the last WAL of its timeline, unless another timeline that stays came from it. Of the present
 * incarnation that of the newest stays: a server that ends a recovery chooses the number after it.
 */
function forgottenTimelines(kept: ReadonlyMap<Timeline, unknown>, life: Life, newest: number): Timeline[] {
  const needed = new Set<Timeline>(kept.keys());
  for (const timeline of kept.keys()) {
    for (const parent of life.histories.get(timeline)?.parents ?? []) needed.add(parent.timeline);
  }
  const last = life.endedMs === undefined ? Math.max(newest, ...life.histories.keys()) : Infinity;
  return [...life.histories.keys()].filter((timeline) => !needed.has(timeline) && timeline < last);
}

/** Ranges that are added in any order, joined. */
class KeptWal {
  readonly ranges = new Map<Timeline, readonly KeptSegments[]>();

  add(timeline: Timeline, range: KeptSegments | undefined): void {
    if (!range) return;
    const sorted = [...(this.ranges.get(timeline) ?? []), range].toSorted((a, b) => Number(a.first - b.first));
    const joined: KeptSegments[] = [];
    for (const one of sorted) {
      const before = joined.at(-1);
      if (!before || (before.last !== undefined && one.first > before.last + 1n)) joined.push(one);
      else joined[joined.length - 1] = { first: before.first, last: laterEnd(before.last, one.last) };
    }
    this.ranges.set(timeline, joined);
  }
}

function laterEnd(a: SegmentNumber | undefined, b: SegmentNumber | undefined): SegmentNumber | undefined {
  if (a === undefined || b === undefined) return undefined;
  return a > b ? a : b;
}
