import type { RetentionSettings } from '../../src/config/retention-settings.ts';
import { lsn, formatLsn } from '../../src/postgres/lsn.ts';
import { formatSegmentName, segmentNumber, segmentOf } from '../../src/postgres/segment-name.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { planExpiry, type ExpiryInput, type ExpiryPlan } from '../../src/retention/expiry-plan.ts';
import type { Life } from '../../src/retention/recovery-window.ts';
import { mebibyte } from './test-archive.ts';
import { backupRecord } from './test-repository.ts';

/* Backups and policies for tests of what stays. Time counts in days; WAL grows by 64 MiB a day. */

export const dayMs = 86_400_000;

/** The day 1000. */
export const nowMs = Date.parse('2026-11-23T12:00:00Z');

export interface MadeBackup {
  /** When it ended, in days before now. */
  readonly ago: number;
  readonly type?: BackupRecord['type'];
  readonly kind?: BackupRecord['kind'];
  readonly keep?: boolean;
  readonly bad?: boolean;
  readonly incarnation?: number;
  readonly timeline?: number;
  /** Of a dump: what it is of. */
  readonly databases?: readonly string[];
  readonly schemaOnly?: boolean;
}

/** Where WAL was so many days before now. */
export function lsnAgo(ago: number): bigint {
  return BigInt(Math.round((1000 - ago) * 64 * mebibyte));
}

export function madeBackup(made: MadeBackup): BackupRecord {
  const { ago, type = 'full', kind = 'physical', keep = false, bad = false, incarnation = 1 } = made;
  const endedAt = new Date(nowMs - ago * dayMs);
  const onTimeline = timeline(made.timeline ?? 1);
  const [startLsn, endLsn] = [lsn(lsnAgo(ago + 0.05)), lsn(lsnAgo(ago))];
  const segment = (position: typeof endLsn): string =>
    formatSegmentName({ timeline: onTimeline, number: segmentOf(position, mebibyte) }, mebibyte);
  const isPhysical = kind === 'physical';
  return backupRecord(`${endedAt.toISOString().replaceAll(/[-:]|\.\d+/g, '')}-${isPhysical ? type : 'dump'}`, {
    kind,
    type,
    keep,
    incarnation,
    timeline: onTimeline,
    startedAt: new Date(nowMs - (ago + 0.05) * dayMs).toISOString(),
    stoppedAt: endedAt.toISOString(),
    startLsn: isPhysical ? formatLsn(startLsn) : '',
    endLsn: isPhysical ? formatLsn(endLsn) : '',
    checkpointLsn: isPhysical ? formatLsn(startLsn) : '',
    startSegment: isPhysical ? segment(startLsn) : '',
    stopSegment: isPhysical ? segment(lsn(endLsn - 1n)) : '',
    badPages: bad ? [{ path: 'base/5/1259', blocks: [7] }] : [],
    ...(made.databases ? { dump: dumpOf(made.databases, made.schemaOnly === true) } : {}),
  });
}

function dumpOf(names: readonly string[], schemaOnly: boolean): NonNullable<BackupRecord['dump']> {
  return {
    format: 'custom',
    databases: names.map((name, i) => ({ oid: 16_384 + i, name, sizeBytes: 0, encoding: 'UTF8' })),
    globals: false,
    content: schemaOnly ? 'schema' : 'all',
    serverVersion: '15.18',
    dumpVersion: '15.18',
  };
}

const none = { hourly: undefined, daily: undefined, weekly: undefined, monthly: undefined, yearly: undefined };

export interface Policy {
  readonly full?: number;
  readonly differential?: number;
  readonly incremental?: number;
  readonly forDays?: number;
  readonly periods?: Partial<RetentionSettings['physical']['periods']>;
  readonly walDays?: number | 'all';
  readonly dumps?: number;
  readonly dumpsForDays?: number;
  readonly dumpPeriods?: Partial<RetentionSettings['physical']['periods']>;
}

export function policy(made: Policy): RetentionSettings {
  const span = (days: number | undefined): number | undefined => (days === undefined ? undefined : days * dayMs);
  return {
    physical: {
      full: made.full,
      differential: made.differential,
      incremental: made.incremental,
      forMs: span(made.forDays),
      periods: { ...none, ...made.periods },
    },
    dumps: {
      count: made.dumps,
      forMs: span(made.dumpsForDays),
      periods: { ...none, ...made.dumpPeriods },
    },
    wal: made.walDays === 'all' ? 'all' : span(made.walDays),
  };
}

/** The present incarnation, with one timeline, whose WAL goes on. */
export function presentLife(changes: Partial<Life> = {}): Life {
  return {
    incarnation: 1,
    segmentBytes: mebibyte,
    endedMs: undefined,
    timelines: [{ timeline: timeline(1), lastCommitMs: nowMs }],
    histories: new Map(),
    ...changes,
  };
}

export function plan(backups: readonly BackupRecord[], made: Policy, changes: Partial<ExpiryInput> = {}): ExpiryPlan {
  return planExpiry({
    backups,
    lackWal: new Set(),
    lives: [presentLife()],
    settings: policy(made),
    nowMs,
    localOffset: () => 0,
    force: false,
    ...changes,
  });
}

/** Those that stay, in days before now. */
export function staying(expiry: ExpiryPlan): number[] {
  return expiry.verdicts
    .filter(({ stays }) => stays)
    .map(({ backup }) => Math.round(((nowMs - Date.parse(backup.stoppedAt)) / dayMs) * 1000) / 1000);
}

export function segmentAgo(ago: number): ReturnType<typeof segmentNumber> {
  return segmentOf(lsn(lsnAgo(ago)), mebibyte);
}
