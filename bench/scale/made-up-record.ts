import { segmentNumber } from '../../src/postgres/segment-name.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { makeUpRecord } from '../made-up/backups.ts';

const segmentsOfDay = 2880;

/** The WAL of four days. */
export const madeUpRun = {
  timeline: timeline(1),
  first: segmentNumber(1n),
  count: 4 * segmentsOfDay,
  firstOverall: 0,
};

/** A backup a day; only the first is a full one. */
export function madeUpRecord(of: number): BackupRecord {
  return { ...makeUpRecord(madeUpRun, 1000 + of * segmentsOfDay, of), keep: false };
}
