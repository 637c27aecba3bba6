import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ControlFile } from '../postgres/control-file.ts';
import type { Lsn } from '../postgres/lsn.ts';

/*
 * What pg_control says about a cluster that is at rest: how its server ended, and from where and up to where a copy of
 * its files needs WAL to become consistent. After access/transam/xlogrecovery.c (InitWalRecovery, CheckRecoveryConsistency),
 * which starts from pg_control alone where there is no backup_label; so a cold backup needs none.
 */

export type ColdCopy =
  /** Shut down: consistent by itself. It starts at its last checkpoint, behind which there is nothing. */
  | { readonly kind: 'clean' }
  /** A standby, or a server in recovery, stopped or crashed: consistent where `consistentLsn` is replayed. */
  | { readonly kind: 'standby'; readonly consistentLsn: Lsn }
  /** It was not shut down: consistent where all WAL of its pg_wal is replayed. */
  | { readonly kind: 'crashed' };

/** Throws `data-directory` for a cluster of which a copy of its files would not start, or not as what it was. */
export function judgeControlFile(control: ControlFile, dataDirectory: string): ColdCopy {
  if (control.backupStartLsn !== 0n || control.backupEndRequired) {
    throw unfit(dataDirectory, 'it was restored from a backup, and its recovery has not yet become consistent', {
      hint: 'start its server and let it replay, then stop it again',
    });
  }
  if (control.minRecoveryTimeline > control.timeline) {
    const [from, to] = [control.timeline, control.minRecoveryTimeline];
    throw unfit(dataDirectory, `it went over from timeline ${from} to ${to} after its last checkpoint`, {
      hint: 'start its server, let it make a checkpoint (CHECKPOINT), and stop it again',
    });
  }
  switch (control.state) {
    case 'shut down':
      return { kind: 'clean' };
    case 'shut down in recovery':
    case 'in archive recovery':
      return { kind: 'standby', consistentLsn: control.minRecoveryLsn };
    case 'starting up':
    case 'shutting down':
    case 'in crash recovery':
    case 'in production':
      return { kind: 'crashed' };
  }
}

/** Throws `data-directory` where the files in it say more than pg_control, which a copy would go without. */
export function refuseUnfinished(names: readonly string[], dataDirectory: string): void {
  if (!names.includes('backup_label')) return;
  throw unfit(dataDirectory, 'it has a backup_label: what it was restored from has never been started', {
    hint: 'start its server once. Where it crashed during an exclusive backup, remove backup_label, as its log says',
  });
}

function unfit(dataDirectory: string, why: string, options: { readonly hint: string }): PgrecallError {
  return new PgrecallError('data-directory', `no cold backup can be made of "${dataDirectory}": ${why}`, options);
}
