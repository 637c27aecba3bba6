import { PgrecallError } from '../errors/pgrecall-error.ts';

/** How an error reads on stderr, what it is in `--json`, and the exit status. */
export interface ErrorReport {
  readonly text: string;
  readonly json: unknown;
  readonly exitStatus: number;
}

/**
 * Errors of ours are facts with a hint, without a stack. Anything else is either the operating
 * system's (its message says enough) or a bug of ours, which alone shows where it happened.
 */
export function reportError(error: unknown): ErrorReport {
  const known = error instanceof PgrecallError ? error : fromForeign(error);
  const lines = [`error[${known.code}]: ${known.message}`];
  for (const cause of causes(known)) lines.push(`  because: ${cause}`);
  if (known.hint !== undefined) lines.push(`  hint: ${known.hint}`);
  if (known.code === 'bug' && known.cause instanceof Error) lines.push(known.cause.stack ?? '');
  return {
    text: lines.join('\n'),
    json: {
      error: { code: known.code, message: known.message, hint: known.hint ?? null, details: known.details },
    },
    exitStatus: known.exitStatus,
  };
}

function fromForeign(error: unknown): PgrecallError {
  if (error instanceof Error && 'syscall' in error) return new PgrecallError('io', error.message, { cause: undefined });
  if (error instanceof Error && error.name === 'AbortError') {
    return new PgrecallError('cancelled', 'interrupted before it was done');
  }
  return new PgrecallError('bug', error instanceof Error ? error.message : String(error), { cause: error });
}

function causes(error: PgrecallError): string[] {
  const found: string[] = [];
  let cause = error.cause;
  while (cause instanceof Error && found.length < 5 && error.code !== 'bug') {
    if (!error.message.includes(cause.message)) found.push(cause.message);
    cause = cause.cause;
  }
  return found;
}
