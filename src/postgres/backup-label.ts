import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, parseLsn, type Lsn } from './lsn.ts';
import { isTimeline, type Timeline } from './timeline.ts';

/*
 * backup_label, after access/transam/xlogbackup.c (build_backup_content); lines in this order:
 *
 *   START WAL LOCATION: 0/2000028 (file 000000010000000000000002)
 *   CHECKPOINT LOCATION: 0/2000060
 *   BACKUP METHOD: streamed
 *   BACKUP FROM: primary
 *   START TIME: 2026-11-23 08:38:34 UTC
 *   LABEL: anything up to the end of the line
 *   START TIMELINE: 1
 */
export interface BackupLabel {
  readonly startLsn: Lsn;
  readonly startSegment: string;
  readonly checkpointLsn: Lsn;
  readonly method: string;
  readonly from: 'primary' | 'standby';
  readonly startTime: string;
  readonly label: string;
  readonly startTimeline: Timeline;
}

const lsnPattern = '([0-9A-F]{1,8}/[0-9A-F]{1,8})';

/** Throws `decode` where a line is missing or is not as PostgreSQL writes it, or the last one has no end. */
export function parseBackupLabel(text: string): BackupLabel {
  if (!text.endsWith('\n')) throw new PgrecallError('decode', 'backup_label: its last line is cut');
  const start = take(text, 'START WAL LOCATION', new RegExp(`^${lsnPattern} \\(file ([0-9A-F]{24})\\)$`));
  const from = take(text, 'BACKUP FROM', /^(primary|standby)$/)[1];
  return {
    startLsn: parseLsn(start[1] ?? ''),
    startSegment: start[2] ?? '',
    checkpointLsn: parseLsn(take(text, 'CHECKPOINT LOCATION', new RegExp(`^${lsnPattern}$`))[1] ?? ''),
    method: take(text, 'BACKUP METHOD', /^(.+)$/)[1] ?? '',
    from: from === 'standby' ? 'standby' : 'primary',
    startTime: take(text, 'START TIME', /^(.+)$/)[1] ?? '',
    label: take(text, 'LABEL', /^([^]*)$/)[1] ?? '',
    startTimeline: takeTimeline(text),
  };
}

function takeTimeline(text: string): Timeline {
  const value = Number(take(text, 'START TIMELINE', /^(\d+)$/)[1]);
  if (!isTimeline(value)) throw new PgrecallError('decode', `backup_label: ${value} is not a timeline`);
  return value;
}

function take(text: string, name: string, pattern: RegExp): RegExpExecArray {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name}: `));
  const match = line === undefined ? null : pattern.exec(line.slice(name.length + 2));
  if (!match) {
    throw new PgrecallError(
      'decode',
      `backup_label: ${line === undefined ? `no line "${name}"` : `cannot read "${line}"`}`,
    );
  }
  return match;
}

export function formatBackupLabel(label: BackupLabel): string {
  return [
    `START WAL LOCATION: ${formatLsn(label.startLsn)} (file ${label.startSegment})`,
    `CHECKPOINT LOCATION: ${formatLsn(label.checkpointLsn)}`,
    `BACKUP METHOD: ${label.method}`,
    `BACKUP FROM: ${label.from}`,
    `START TIME: ${label.startTime}`,
    `LABEL: ${label.label}`,
    `START TIMELINE: ${label.startTimeline}`,
    '',
  ].join('\n');
}
