import { parseLsn, type Lsn } from '../postgres/lsn.ts';
import { segmentOf, segmentStart } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { unexplained } from './expired-wal.ts';
import type { WalCatalogue, WalRange } from './wal-catalogue.ts';

/*
 * What backups and archived WAL together can bring back, and where WAL is missing in between. All of one
 * incarnation: LSNs of another have nothing to do with these.
 */

/** A run of WAL positions, each of which can be recovered to. Times: microseconds since 2000-01-01 UTC. */
export interface RecoverableSpan {
  readonly timeline: Timeline;
  readonly fromLsn: Lsn;
  readonly toLsn: Lsn;
  /** The backup that it begins with; `undefined` where it goes on from an earlier timeline. */
  readonly backup: BackupRecord | undefined;
  readonly firstCommitTime: bigint | undefined;
  readonly lastCommitTime: bigint | undefined;
}

export interface WalGap {
  readonly timeline: Timeline;
  readonly fromLsn: Lsn;
  readonly toLsn: Lsn;
}

/**
 * Each archived range from the first moment in it that a backup leads to; before and after a barrier for itself. From a
 * backup of a server whose wal_level was minimal nothing is replayed.
 */
export function recoverableSpans(
  backups: readonly BackupRecord[],
  archived: WalCatalogue,
  segmentBytes: number,
): RecoverableSpan[] {
  const found: RecoverableSpan[] = [];
  const leading = backups.filter(({ walLevel }) => walLevel !== 'minimal');
  const catalogue = { ...archived, ranges: archived.ranges.flatMap(betweenBarriers) };
  for (const range of catalogue.ranges) {
    const from = reachedFrom(range, leading, catalogue, segmentBytes);
    if (!from) continue;
    const { timeline, endLsn: toLsn, firstCommitTime, lastCommitTime } = range;
    found.push({ timeline, fromLsn: from.lsn, toLsn, backup: from.backup, firstCommitTime, lastCommitTime });
  }
  return found;
}

function betweenBarriers(range: WalRange): WalRange[] {
  const { barriers = [], ...whole } = range;
  const pieces: WalRange[] = [];
  let { startLsn, firstCommitTime } = whole;
  for (const { lsn, lastCommitTime } of barriers) {
    pieces.push({ ...whole, startLsn, endLsn: lsn, firstCommitTime, lastCommitTime });
    startLsn = lsn;
    firstCommitTime = undefined;
  }
  return [...pieces, { ...whole, startLsn, firstCommitTime }];
}

interface Reached {
  readonly lsn: Lsn;
  readonly backup: BackupRecord | undefined;
}

function reachedFrom(
  range: WalRange,
  backups: readonly BackupRecord[],
  catalogue: WalCatalogue,
  segmentBytes: number,
): Reached | undefined {
  return fromParent(range, backups, catalogue, segmentBytes) ?? fromBackup(range, backups);
}

function fromBackup(range: WalRange, backups: readonly BackupRecord[]): Reached | undefined {
  let first: Reached | undefined;
  for (const backup of backups) {
    if (!liesIn(backup, range)) continue;
    const lsn = parseLsn(backup.endLsn);
    if (!first || lsn < first.lsn) first = { lsn, backup };
  }
  return first;
}

/** Whether the range has all the WAL that a backup needs to become consistent. */
export function liesIn(backup: BackupRecord, range: WalRange): boolean {
  return (
    backup.kind === 'physical' &&
    backup.timeline === range.timeline &&
    parseLsn(backup.startLsn) >= range.startLsn &&
    parseLsn(backup.endLsn) <= range.endLsn
  );
}

/**
 * A timeline goes on from where it left its parent. Its first segment begins with the parent's WAL up to there, so
 * that the parent's own last segment is not needed.
 */
function fromParent(
  range: WalRange,
  backups: readonly BackupRecord[],
  catalogue: WalCatalogue,
  segmentBytes: number,
): Reached | undefined {
  const parent = catalogue.histories.get(range.timeline)?.parents.at(-1);
  if (!parent) return undefined;
  const branch = segmentStart(segmentOf(parent.switchLsn, segmentBytes), segmentBytes);
  if (range.startLsn > branch || range.endLsn <= parent.switchLsn) return undefined;
  for (const other of catalogue.ranges) {
    if (other.timeline !== parent.timeline || other.startLsn > branch || other.endLsn < branch) continue;
    const reached = reachedFrom(other, backups, catalogue, segmentBytes);
    if (reached && reached.lsn <= parent.switchLsn) return { lsn: parent.switchLsn, backup: undefined };
  }
  return undefined;
}

/** Where WAL is missing that nobody expired, from the first backup on; without any backup from the first segment on. */
export function findGaps(backups: readonly BackupRecord[], catalogue: WalCatalogue, segmentBytes: number): WalGap[] {
  const starts = backups.filter(({ kind }) => kind === 'physical').map((backup) => parseLsn(backup.startLsn));
  const first = starts.reduce<Lsn | undefined>(
    (least, lsn) => (least === undefined || lsn < least ? lsn : least),
    undefined,
  );
  return [...withinTimelines(backups, catalogue, segmentBytes), ...atBranches(catalogue, segmentBytes)]
    .filter(({ toLsn }) => first === undefined || toLsn > first)
    .flatMap((gap) => unexplained(gap, catalogue.expired?.get(gap.timeline) ?? [], segmentBytes))
    .toSorted((a, b) => a.timeline - b.timeline || Number(a.fromLsn - b.fromLsn));
}

function withinTimelines(backups: readonly BackupRecord[], { ranges }: WalCatalogue, segmentBytes: number): WalGap[] {
  const cold = backups.filter(({ temperature }) => temperature === 'cold');
  const isColdBackups = (range: WalRange): boolean => cold.some((backup) => isAllOf(range, backup, segmentBytes));
  return ranges.flatMap((range, i) => {
    const next = ranges[i + 1];
    if (next?.timeline !== range.timeline) return [];
    // Between two cold backups of a server that nobody archives nothing is missing: nothing was to be there.
    if (isColdBackups(range) && isColdBackups(next)) return [];
    return [{ timeline: range.timeline, fromLsn: range.endLsn, toLsn: next.startLsn }];
  });
}

/** Whether a run of WAL is what a cold backup has brought of itself, and no more. */
function isAllOf(range: WalRange, { timeline, startLsn, endLsn }: BackupRecord, segmentBytes: number): boolean {
  return (
    timeline === range.timeline &&
    parseLsn(endLsn) === range.endLsn &&
    segmentStart(segmentOf(parseLsn(startLsn), segmentBytes), segmentBytes) === range.startLsn
  );
}

/** Between a timeline and the one that it left: the end of the parent's WAL, and the beginning of its own. */
function atBranches({ ranges, histories }: WalCatalogue, segmentBytes: number): WalGap[] {
  const gaps = new Map<string, WalGap>();
  const add = (timeline: Timeline, fromLsn: Lsn, toLsn: Lsn): void => {
    if (fromLsn < toLsn) gaps.set(`${timeline} ${fromLsn} ${toLsn}`, { timeline, fromLsn, toLsn });
  };
  for (const [timeline, history] of histories) {
    const parent = history.parents.at(-1);
    const firstOwn = ranges.find((range) => range.timeline === timeline);
    const lastBefore = ranges.findLast((range) => range.timeline === parent?.timeline);
    if (!parent || !firstOwn) continue;
    const branch = segmentStart(segmentOf(parent.switchLsn, segmentBytes), segmentBytes);
    if (firstOwn.startLsn > branch) add(timeline, parent.switchLsn, firstOwn.startLsn);
    if (lastBefore && lastBefore.endLsn < branch) add(parent.timeline, lastBefore.endLsn, branch);
  }
  return [...gaps.values()];
}
