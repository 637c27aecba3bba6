import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { WalStore } from '../archive/wal-store.ts';
import { refuseRecovered } from '../recover/recovery-journal.ts';
import { planDeltaTablespaces } from '../restore/delta-tablespaces.ts';
import { inspectDeltaTarget } from '../restore/delta-target.ts';
import type { RestoreOver, RestoreReport } from '../restore/restore-over.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import { findUnarchivedWal, refuseUnarchived, type UnarchivedSegment } from '../restore/unarchived-wal.ts';
import { formatBytes } from './format.ts';

/** A restore over a directory that is not empty: `--delta`. */
export interface InPlace {
  readonly over: RestoreOver;
  readonly tablespaces: ReadonlyMap<number, string>;
  /** WAL of the directory that the repository does not have; it is given up. */
  readonly discarded: readonly UnarchivedSegment[];
  readonly warnings: readonly string[];
}

export interface InPlaceOptions {
  readonly directory: string;
  readonly plan: RestorePlan;
  readonly store: WalStore;
  readonly mappings: readonly string[];
  readonly configured: string | undefined;
  readonly discardWal: boolean;
  /** Says what is in the way of nothing being lost, instead of refusing. */
  readonly onlyPlan: boolean;
}

/** `planOver`; throws also `recovery-unfinished`, since what a recovery in place keeps may lie in the directory's own places. */
export async function planInPlace(options: InPlaceOptions): Promise<InPlace> {
  refuseRecovered(options.directory);
  return planOver(options);
}

/**
 * Looks at the directory, reads no more than pg_control and WAL, and refuses what must not be written over. Throws
 * `delta-target`, `cluster-mismatch`, `postgres-version`, `server-running`, `tablespace-mapping`, `wal-not-archived`.
 */
export async function planOver(options: InPlaceOptions): Promise<InPlace> {
  const { directory, plan } = options;
  const target = inspectDeltaTarget(directory, plan.backup);
  const { places, superfluous, warnings } = planDeltaTablespaces({
    ...options,
    backup: plan.backup,
    replayed: plan.replayedTablespaces,
  });
  const discarded = await findUnarchivedWal(directory, options.store);
  if (!options.discardWal && !options.onlyPlan) refuseUnarchived(directory, discarded);
  return { over: { ...target, superfluous }, tablespaces: places, discarded, warnings };
}

/** What differs, in words. */
export function describeDifference(report: RestoreReport): string {
  const { comparedBytes, changedBytes, newFiles, newBytes, removedFiles, removedBytes } = report;
  return [
    `of ${formatBytes(comparedBytes)} that are there ${formatBytes(changedBytes)} differ`,
    `${countFiles(newFiles)} of the backup (${formatBytes(newBytes)}) missing`,
    `${countFiles(removedFiles)} (${formatBytes(removedBytes)}) not in the backup`,
  ].join(', ');
}

function countFiles(count: number): string {
  return count === 1 ? '1 file' : `${count} files`;
}

/** Options that exclude each other, or need each other. Throws `usage`. */
export function checkDeltaOptions(options: {
  readonly delta: boolean;
  readonly discardWal: boolean;
  readonly databases: readonly string[];
}): void {
  if (options.discardWal && !options.delta) {
    throw new PgrecallError('usage', '--discard-wal means WAL of a directory that --delta restores in place');
  }
  if (options.delta && options.databases.length > 0) {
    throw new PgrecallError('usage', '--delta and --database exclude each other', {
      hint: 'restore some databases to an empty directory, and take from there what you need',
    });
  }
}
