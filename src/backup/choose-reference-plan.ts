import { parseLsn, type Lsn } from '../postgres/lsn.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import type { BackupRecord } from '../repository/backup-record.ts';

/*
 * On which backup another one builds. A file map names the blobs that hold a file, whoever wrote them; so a backup that
 * finds a page unchanged names the blob that an earlier one, its reference, stored it in.
 *
 * What WAL tells of changes since the reference holds only where the cluster is a direct continuation of what the reference
 * copied: an ancestor. Contents can be compared with any reference.
 */

/** Where a backup starts, or a position before that. */
export interface StartPlace {
  /** Of the timeline that the server is on. */
  readonly history: TimelineHistory;
  readonly startLsn: Lsn;
  readonly dataChecksums: boolean;
}

export interface WantedBackup extends StartPlace {
  readonly type: BackupRecord['type'];
  /** Builds on nothing. */
  readonly independent: boolean;
  readonly incarnation: number;
}

export interface BackupPlan {
  /** A differential or incremental backup that has nothing to build on is a full one. */
  readonly type: BackupRecord['type'];
  readonly reference: BackupRecord | undefined;
  /** Why it is not of the type that was wanted. */
  readonly instead: string | undefined;
}

/** `backups`: complete ones, oldest first. */
export function chooseReference(backups: readonly BackupRecord[], wanted: WantedBackup): BackupPlan {
  const { type } = wanted;
  if (wanted.independent) return { type: 'full', reference: undefined, instead: undefined };
  const candidates = backups.filter(
    (record) =>
      record.kind === 'physical' &&
      record.incarnation === wanted.incarnation &&
      (type !== 'differential' || record.type === 'full'),
  );
  const ancestor = latestBy(
    candidates.filter((record) => isAncestor(record, wanted)),
    (record) => parseLsn(record.startLsn),
  );
  // A full backup reads everything and compares, with whatever came last.
  const reference = type === 'full' ? candidates.at(-1) : (ancestor ?? candidates.at(-1));
  if (reference) return { type, reference, instead: undefined };
  if (type === 'full') return { type, reference: undefined, instead: undefined };
  const missing = type === 'differential' ? 'no full backup' : 'no backup';
  return { type: 'full', reference: undefined, instead: `there is ${missing} of this incarnation to build on` };
}

function latestBy<T>(items: readonly T[], key: (item: T) => bigint): T | undefined {
  let latest: T | undefined;
  for (const item of items) if (!latest || key(item) >= key(latest)) latest = item;
  return latest;
}

/** Whether the cluster, where the backup starts, has everything that the reference copied behind it. */
function isAncestor(record: BackupRecord, { history, startLsn }: StartPlace): boolean {
  const endLsn = parseLsn(record.endLsn);
  if (endLsn > startLsn) return false;
  if (record.timeline === history.timeline) return true;
  const left = history.parents.find(({ timeline }) => timeline === record.timeline);
  return left !== undefined && endLsn <= left.switchLsn;
}

/** Why what WAL and times of files say of changes since `record` does not count, if it does not; contents are compared then. */
export function unfitness(record: BackupRecord, start: StartPlace): string | undefined {
  const { history, startLsn, dataChecksums } = start;
  if (!isAncestor(record, start)) {
    const past = record.timeline === history.timeline && parseLsn(record.endLsn) > startLsn;
    return past
      ? `${record.id} ends at ${record.endLsn}, behind where this backup starts`
      : `the server’s timeline ${history.timeline} does not come from where ${record.id} ended (timeline ${record.timeline}, ${record.endLsn})`;
  }
  if (record.dataChecksums !== dataChecksums) {
    return `data checksums were switched ${dataChecksums ? 'on' : 'off'} since ${record.id}, which WAL does not tell of`;
  }
  return undefined;
}
