import { parseLsn } from '../postgres/lsn.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { Reach, RecordStop } from './restore-plan.ts';
import type { RecoveryRequest } from './target.ts';

/*
 * What is special about recovering from a cold backup, which has no backup_label: PostgreSQL begins with the checkpoint
 * in pg_control (xlogrecovery.c, InitWalRecovery). Where the server had been shut down nothing of the backup itself is
 * replayed; where it had crashed, all WAL in pg_wal is, and no target counts until that is done.
 */

/** Whether it is of a server that was working, or would have been, not of one that followed another. */
function isOfPrimary({ temperature, fromStandby }: BackupRecord): boolean {
  return temperature === 'cold' && !fromStandby;
}

/**
 * Whether the copy is started as the cluster itself would have been, without recovery and on its own timeline: where
 * nothing is archived that goes on from it and can be replayed, and where PostgreSQL would not let it (wal_level = minimal). A standby's
 * copy would then work beside its primary on one timeline; it always gets one of its own.
 */
export function startsAsItWas(backup: BackupRecord, reach: Reach): boolean {
  if (!isOfPrimary(backup)) return false;
  if (cannotRecover(backup)) return true;
  return reach.lsn === parseLsn(backup.endLsn) && (reach.complete || reach.atBarrier === true);
}

/** Whether WAL can be replayed that goes on from it. */
export function cannotRecover({ walLevel }: BackupRecord): boolean {
  return walLevel === 'minimal';
}

/**
 * Whether the record at which recovery is to stop lies in the backup: it is not replayed, or before targets count. A
 * stop just after a record is where that one ends.
 */
export function liesInCopy(backup: BackupRecord, stop: RecordStop, request: RecoveryRequest): boolean {
  const endLsn = parseLsn(backup.endLsn);
  if (stop.lsn < endLsn) return true;
  const { target, inclusive } = request;
  const isAfter = target.kind === 'name' || (inclusive && target.kind !== 'time');
  return isOfPrimary(backup) && isAfter && stop.lsn === endLsn;
}
