import type { WalStore } from '../archive/wal-store.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { parseLsn } from '../postgres/lsn.ts';
import {
  formatHistoryName,
  formatSegmentName,
  segmentBefore,
  segmentNumber,
  segmentOf,
  segmentStart,
} from '../postgres/segment-name.ts';
import { timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';

export type BackupWalStore = Pick<WalStore, 'getSegment' | 'getPartial' | 'getHistory'>;

/** A segment, or the history of a timeline. */
export interface BackupWalFile {
  readonly name: string;
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
 * the archive has of its last segment by now: there a server goes on to write, or begins to look for its target. With it
 * comes the history of its timeline, without which a server does not read what that has copied of the one before. Throws
 * `wal-gap`.
 */
export async function* readBackupWal(
  store: BackupWalStore,
  backup: BackupRecord,
  segmentBytes: number,
): AsyncGenerator<BackupWalFile> {
  const endLsn = parseLsn(backup.endLsn);
  if (backup.temperature === 'cold' && backup.timeline > 1) yield await readHistory(store, backup);
  const last = segmentBefore(endLsn, segmentBytes);
  for (
    let number = segmentOf(parseLsn(backup.startLsn), segmentBytes);
    number <= last;
    number = segmentNumber(number + 1n)
  ) {
    const name = formatSegmentName({ timeline: timeline(backup.timeline), number }, segmentBytes);
    const whole = await store.getSegment(name);
    const bytes = whole ?? (await store.getPartial(name));
    if (!bytes) throw missing(name, backup);
    const usedBytes = Number(endLsn - segmentStart(number, segmentBytes));
    const isCut = backup.temperature === 'cold' && usedBytes < segmentBytes;
    if (isCut) yield { name, bytes: Buffer.from(bytes).fill(0, usedBytes), whole: false };
    else yield { name, bytes, whole: whole !== undefined };
  }
}

async function readHistory(store: BackupWalStore, backup: BackupRecord): Promise<BackupWalFile> {
  const name = formatHistoryName(timeline(backup.timeline));
  const bytes = await store.getHistory(name);
  if (!bytes) throw missing(name, backup);
  return { name, bytes, whole: true };
}

function missing(name: string, backup: BackupRecord): PgrecallError {
  const what = name.endsWith('.history') ? name : `segment ${name}`;
  return new PgrecallError('wal-gap', `${what}, which ${backup.id} needs, is not in the repository`, {
    hint: 'pgrecall verify says what else is missing; another backup may be whole',
    details: { segment: name, backup: backup.id },
  });
}
