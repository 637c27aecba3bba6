import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ClientEnding } from './client-process.ts';
import { explainFailure } from './explain-failure.ts';
import { explainFailedLoad } from './explain-load.ts';
import type { RestoreFailure } from './restore-lines.ts';

/* Which end of a copy has failed, and what that leaves. */

export interface CopyState {
  readonly source: string;
  /** The role at the source. */
  readonly user: string;
  readonly target: string;
  /** Whether nothing of it is in the target. */
  readonly undone: boolean;
  /** Whether the target was made for the copy, and is dropped. */
  readonly made: boolean;
  readonly errors: number;
  readonly failures: readonly RestoreFailure[];
  readonly onlyUnknownSettings: boolean;
}

/** Pg_dump that nobody reads from any more, or that was ended for that. */
const lostReader = /could not write|Broken pipe|terminated by user/;

/** Gives the error, rather than throwing it; none where all went well. */
export function explainFailedCopy(
  { dump, restore }: { readonly dump: ClientEnding; readonly restore: ClientEnding },
  state: CopyState,
): PgrecallError | undefined {
  const restoreFailed = restore.exitStatus !== 0 && !state.onlyUnknownSettings;
  const victim = restoreFailed && (dump.killedBy !== null || dump.lines.some((line) => lostReader.test(line)));
  // What the reader makes of half an archive tells nothing.
  if (dump.exitStatus !== 0 && !victim) return explainFailedSource(dump, state);
  if (!restoreFailed) return undefined;
  const { target, undone, made, errors, failures } = state;
  const error = explainFailedLoad({
    ...{ name: 'pg_restore', database: target, ending: restore, undone, failures },
    // One that ends at its first error counts none.
    errors: Math.max(errors, 1),
  });
  return told(error, made ? '; it was made for the copy, and is dropped' : '', hintFor(error));
}

/** Of pg_dump alone. */
export function explainFailedSource(dump: ClientEnding, state: CopyState): PgrecallError {
  const { source, user, target, undone, made } = state;
  const error = explainFailure({ name: 'pg_dump', of: `database "${source}"`, user, ending: dump });
  const what = made ? 'was made for the copy, and is dropped' : undone ? 'is as it was' : 'is incomplete';
  return told(error, `; "${target}" ${what}`, error.hint);
}

/** Of one that was interrupted; others tell it. */
export function sayIncomplete(error: unknown, target: string): unknown {
  return error instanceof PgrecallError ? told(error, `; "${target}" is incomplete`, error.hint) : error;
}

function told(error: PgrecallError, more: string, hint: string | undefined): PgrecallError {
  const { code, message, details } = error;
  return new PgrecallError(code, message + more, { ...(hint === undefined ? {} : { hint }), details });
}

/** What goes after -- is pg_dump's here, and options of pg_restore are of no use. */
const hints: readonly { readonly pattern: RegExp; readonly hint: (found: RegExpExecArray) => string }[] = [
  {
    pattern: /out of shared memory/,
    hint: () =>
      'one transaction locks every object: raise max_locks_per_transaction at the target, or say --jobs 2, which has no such transaction',
  },
  {
    pattern: /unrecognized parameter "pg_/,
    hint: () =>
      'the source has a fix that this pg_dump does not know yet: bring the client programs to their last minor version',
  },
  {
    pattern: /role "(.+)" does not exist/,
    hint: ([, role = '']) =>
      `CREATE ROLE "${role}" in the target first, or leave owners and privileges out: --no-owner --no-privileges`,
  },
  {
    pattern: /tablespace "(.+)" does not exist/i,
    hint: ([, name = '']) =>
      `make the tablespace "${name}" at the target first, or leave tablespaces out: -- --no-tablespaces`,
  },
  { pattern: /already exists/, hint: () => 'copy into an empty database' },
];

function hintFor({ hint, details }: PgrecallError): string | undefined {
  const lines = Array.isArray(details['lines']) ? details['lines'].join('\n') : '';
  for (const own of hints) {
    const found = own.pattern.exec(lines);
    if (found) return own.hint(found);
  }
  return hint;
}
