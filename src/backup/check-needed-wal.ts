import { doubtsOfWal } from '../archive/changed-blocks.ts';
import type { WalStore } from '../archive/wal-store.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn } from '../postgres/lsn.ts';
import type { NeededRange } from './make-record.ts';

/**
 * Holds a backup against the archived WAL that it needs. That segments of the right names are there does not say that they are
 * this server's: one whose disk was put back to an earlier state writes other WAL under the names that it had used before, and
 * the archive keeps the first. So the archived WAL must have the checkpoint that the backup began with, where the server says,
 * and be one piece up to the backup's end. Throws `wal-other-content`; gives a warning where the WAL cannot be read.
 */
export async function checkNeededWal(
  store: WalStore,
  { timeline, startLsn, endLsn, checkpointLsn }: NeededRange,
  signal: AbortSignal,
): Promise<string | undefined> {
  const from = { timeline, lsn: startLsn, checkpointLsn };
  const history = { timeline, parents: [] };
  const doubts = await doubtsOfWal({ store, history, from, to: { timeline, lsn: endLsn }, signal });
  if (!doubts) return undefined;
  if (doubts.otherWal !== true) {
    // Up to where a standby's last segment goes was seen to when it was stored.
    if (doubts.missing !== undefined) return undefined;
    return `the archived WAL of this backup could not be held against it: ${doubts.unfit}`;
  }
  throw new PgrecallError(
    'wal-other-content',
    `the archived WAL from ${formatLsn(startLsn)} to ${formatLsn(endLsn)} is not what this server wrote: ${doubts.unfit}`,
    {
      hint: 'another server archives under this name, or the disk of this one was put back to an earlier state: archive it under a name of its own (pgrecall init)',
      details: { timeline, startLsn: formatLsn(startLsn), endLsn: formatLsn(endLsn) },
    },
  );
}
