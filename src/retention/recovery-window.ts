import { parseLsn, type Lsn } from '../postgres/lsn.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { Dated } from './keep-rules.ts';

/** One incarnation of a cluster, as its WAL is archived. */
export interface Life {
  readonly incarnation: number;
  readonly segmentBytes: number;
  /** When the next one began; `undefined` of the present one. */
  readonly endedMs: number | undefined;
  /** Those of which there is WAL. */
  readonly timelines: readonly ArchivedTimeline[];
  readonly histories: ReadonlyMap<Timeline, TimelineHistory>;
}

export interface ArchivedTimeline {
  readonly timeline: Timeline;
  /** `undefined` where that is not known. */
  readonly lastCommitMs: number | undefined;
}

/** Whether a backup lies on the way to a timeline: on it, or on one that it came from, before it was left. */
function leadsTo(backup: BackupRecord, timeline: Timeline, histories: ReadonlyMap<Timeline, TimelineHistory>): boolean {
  if (backup.timeline === timeline) return true;
  const parent = histories.get(timeline)?.parents.find((one) => one.timeline === backup.timeline);
  return parent !== undefined && endOf(backup) <= parent.switchLsn;
}

function endOf({ endLsn }: BackupRecord): Lsn {
  return endLsn === '' ? parseLsn('0/0') : parseLsn(endLsn);
}

/**
 * The backups from which the beginning of the window is recovered: of each timeline that was written within it, the last
 * one before. `usable` is in order of time.
 */
export function findAnchors(usable: readonly Dated[], fromMs: number, lives: readonly Life[]): Set<BackupRecord> {
  const anchors = new Set<BackupRecord>();
  for (const { incarnation, endedMs, timelines, histories } of lives) {
    if (endedMs !== undefined && endedMs <= fromMs) continue;
    const before = usable.filter(({ backup, endedMs: ms }) => backup.incarnation === incarnation && ms <= fromMs);
    const newest = timelines.at(-1)?.timeline;
    for (const { timeline, lastCommitMs } of timelines) {
      const isQuiet = lastCommitMs !== undefined && lastCommitMs < fromMs && timeline !== newest;
      const anchor = isQuiet ? undefined : before.findLast(({ backup }) => leadsTo(backup, timeline, histories));
      if (anchor) anchors.add(anchor.backup);
    }
    // Where nothing is known of the WAL, each timeline of a backup counts.
    if (timelines.length > 0) continue;
    for (const { backup } of before) {
      const last = before.findLast((other) => other.backup.timeline === backup.timeline);
      if (last) anchors.add(last.backup);
    }
  }
  return anchors;
}
