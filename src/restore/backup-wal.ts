import type { WalStore } from '../archive/wal-store.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { parseLsn } from '../postgres/lsn.ts';
import { formatSegmentName, segmentBefore, segmentNumber, segmentOf, segmentStart } from '../postgres/segment-name.ts';
import { timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';

export interface BackupSegment {
  readonly name: string;
  /** As many as segments have. */
  readonly bytes: Uint8Array;
  /** Finished: the server does not write on in it, nor archive it again. */
  readonly whole: boolean;
}

/** How many segments the backup itself needs. */
export function countBackupWal({ startLsn, endLsn }: BackupRecord, segmentBytes: number): bigint {
  return segmentBefore(parseLsn(endLsn), segmentBytes) - segmentOf(parseLsn(startLsn), segmentBytes) + 1n;
}

/**
 * Whether all of it has to be in pg_wal: of a cold backup that is started without recovery, or as after a crash, which
 * replays what lies there before it asks for more (xlogrecovery.c, InitWalRecovery).
 */
export function needsBackupWal({ temperature, fromStandby }: BackupRecord): boolean {
  return temperature === 'cold' && !fromStandby;
}

/**
 * The WAL of the backup itself, which makes it consistent. That of a cold backup ends where the backup does, whatever
 * the archive has of its last segment by now: there a server goes on to write, or begins to look for its target. Throws
 * `wal-gap`.
 */
export async function* readBackupWal(
  store: Pick<WalStore, 'getSegment' | 'getPartial'>,
  backup: BackupRecord,
  segmentBytes: number,
): AsyncGenerator<BackupSegment> {
  const endLsn = parseLsn(backup.endLsn);
  const last = segmentBefore(endLsn, segmentBytes);
  for (
    let number = segmentOf(parseLsn(backup.startLsn), segmentBytes);
    number <= last;
    number = segmentNumber(number + 1n)
  ) {
    const name = formatSegmentName({ timeline: timeline(backup.timeline), number }, segmentBytes);
    const whole = await store.getSegment(name);
    const bytes = whole ?? (await store.getPartial(name));
    if (!bytes) {
      throw new PgrecallError('wal-gap', `segment ${name}, which ${backup.id} needs, is not in the repository`, {
        hint: 'pgrecall verify says what else is missing; another backup may be whole',
        details: { segment: name, backup: backup.id },
      });
    }
    const usedBytes = Number(endLsn - segmentStart(number, segmentBytes));
    const isCut = backup.temperature === 'cold' && usedBytes < segmentBytes;
    if (isCut) yield { name, bytes: Buffer.from(bytes).fill(0, usedBytes), whole: false };
    else yield { name, bytes, whole: whole !== undefined };
  }
}
