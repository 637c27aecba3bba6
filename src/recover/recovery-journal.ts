import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { syncDirectory, writeDurably } from '../restore/durable.ts';
import type { TargetOptions } from '../restore/target.ts';
import type { InterruptedServer } from '../server/stop-and-start.ts';
import type { StepName } from './recover-plan.ts';

/*
 * The journal of a recovery in place: one document in a directory of its own beside the data directory, durable before a
 * step acts and after. What pgrecall leaves when it is killed is found there, and gone on with or undone.
 */

/** One thing that lies aside. Both names are on one file system. */
export interface Move {
  readonly from: string;
  readonly to: string;
}

/** A directory that stays while what is in it is put aside, with the time that it had. */
export interface EmptiedPlace {
  readonly path: string;
  /** Seconds since 1970, to the nanosecond: more than a number holds. */
  readonly modified: string;
  /** Whether all that is in it was put aside. */
  readonly isWhole: boolean;
}

export interface RecoveryJournal {
  readonly version: 1;
  readonly cluster: string;
  readonly directory: string;
  /**
   * `undoing` is not turned back; `over` is a recovery that came to its end, of which the old directory is still there;
   * `forgetting`: what of it is there is not whole any more.
   */
  readonly phase: 'forward' | 'undoing' | 'over' | 'forgetting';
  readonly begun: StepName | null;
  readonly done: readonly StepName[];
  readonly server: InterruptedServer;
  readonly wasRunning: boolean;
  readonly target: TargetOptions;
  readonly port: number | null;
  /** The kept directory is cloned, and brought to the backup by what differs. */
  readonly delta: boolean;
  /** A target before this one was looked at: its directory is brought to the backup by what differs. */
  readonly again: boolean;
  readonly backup: string | null;
  readonly timeline: number | null;
  readonly moves: readonly Move[];
  readonly emptied: readonly EmptiedPlace[];
  /** Paths that go with an undo, of tablespaces that the old directory had not. */
  readonly made: readonly string[];
  /** Where pg_wal leads, if it is a link. */
  readonly walPlace: string | null;
  readonly mode: number;
  /** Where the server stood when it was looked at last. */
  readonly replayedLsn: string | null;
}

/** Beside the data directory. */
export function journalDirectory(directory: string): string {
  return `${directory}.pgrecall-recovery`;
}

function pathOf(directory: string): string {
  return join(journalDirectory(directory), 'journal.json');
}

/** `undefined` where no recovery of the directory has begun. Throws `recovery-unfinished` for one that cannot be read. */
export function readJournal(directory: string): RecoveryJournal | undefined {
  const path = pathOf(directory);
  if (!existsSync(path)) return undefined;
  let journal: RecoveryJournal | undefined;
  try {
    journal = JSON.parse(readFileSync(path, 'utf8')) as RecoveryJournal;
  } catch (error) {
    throw new PgrecallError('recovery-unfinished', `"${path}" is no journal of a recovery`, { cause: error });
  }
  if (journal.version === 1 && journal.directory === directory) return journal;
  throw new PgrecallError(
    'recovery-unfinished',
    `"${path}" is the journal of another recovery, or of a newer pgrecall`,
    {
      details: { version: journal.version, directory: journal.directory },
    },
  );
}

/** Throws `recovery-unfinished` where one has begun, or its old directory is still kept. */
export function refuseRecovered(directory: string): void {
  if (!existsSync(pathOf(directory))) return;
  throw new PgrecallError('recovery-unfinished', `a recovery in place of "${directory}" keeps its old state`, {
    hint: 'pgrecall recover CLUSTER --status says how far it is; --undo brings the old state back, --forget removes it',
    details: { directory },
  });
}

export function makeJournalDirectory(directory: string): void {
  const place = journalDirectory(directory);
  mkdirSync(place, { recursive: true, mode: 0o700 });
  syncDirectory(dirname(place));
}

/** Durable on return. */
export function writeJournal(journal: RecoveryJournal): void {
  writeDurably(pathOf(journal.directory), `${JSON.stringify(journal, undefined, 2)}\n`);
}

/** With all that lies beside it. */
export function removeJournal(directory: string): void {
  const place = journalDirectory(directory);
  // First: without it the rest is rubbish, not a recovery.
  rmSync(pathOf(directory), { force: true });
  syncDirectory(place);
  rmSync(place, { recursive: true, force: true });
  syncDirectory(dirname(place));
}
