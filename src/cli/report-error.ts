import { userInfo } from 'node:os';
import { serverRefusal } from '../connection/server-refusal.ts';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';

/** How an error reads on stderr, what it is in `--json`, and the exit status. */
export interface ErrorReport {
  readonly text: string;
  readonly json: unknown;
  readonly exitStatus: number;
}

/**
 * Errors of ours are facts with a hint, without a stack. Anything else is the operating system's, the
 * server's (their messages say enough), or a bug of ours, which alone shows where it happened.
 */
export function reportError(error: unknown): ErrorReport {
  const known = fromForeign(error);
  const lines = [`error[${known.code}]: ${known.message}`];
  for (const cause of causes(known)) lines.push(`  because: ${cause}`);
  if (known.hint !== undefined) lines.push(`  hint: ${known.hint}`);
  if (known.code === 'bug') lines.push((known.cause instanceof Error ? known.cause : known).stack ?? '');
  return {
    text: lines.join('\n'),
    json: {
      error: { code: known.code, message: known.message, hint: known.hint ?? null, details: known.details },
    },
    exitStatus: known.exitStatus,
  };
}

/** What another has thrown, as an error of ours. */
export function fromForeign(error: unknown): PgrecallError {
  if (error instanceof PgrecallError) return error;
  if (!(error instanceof Error)) return new PgrecallError('bug', String(error));
  if ('syscall' in error) return fromSystem(error);
  if (isAbort(error)) {
    if (error.cause instanceof PgrecallError) return error.cause;
    return new PgrecallError('cancelled', 'interrupted before it was done');
  }
  if (isServerError(error)) {
    const { code, message, detail, hint } = error;
    return serverRefusal({ severity: error.severity, sqlState: code, message, detail, hint }, 'the server was asked');
  }
  return new PgrecallError('bug', error.message, { cause: error });
}

function fromSystem(error: Error): PgrecallError {
  if (isErrno(error, 'ENOSPC', 'EDQUOT')) return new PgrecallError('disk-full', error.message);
  const hint = isErrno(error, 'EACCES', 'EPERM')
    ? { hint: `pgrecall runs as ${userName()}; started as root it becomes the owner of the repository’s directory` }
    : {};
  return new PgrecallError('io', error.message, hint);
}

function isAbort(error: Error): boolean {
  return error.name === 'AbortError';
}

/** What the `pg` library throws where the server reported an error. */
function isServerError(error: Error): error is Error & {
  readonly severity: string;
  readonly code: string;
  readonly detail?: string;
  readonly hint?: string;
} {
  return 'severity' in error && 'code' in error && typeof error.code === 'string' && /^[0-9A-Z]{5}$/.test(error.code);
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `user ${process.getuid?.() ?? '?'}`;
  }
}

function causes(error: PgrecallError): string[] {
  const found: string[] = [];
  let cause = error.cause;
  while (cause instanceof Error && found.length < 5 && error.code !== 'bug') {
    if (!error.message.includes(cause.message) && !found.includes(cause.message)) found.push(cause.message);
    cause = cause.cause;
  }
  return found;
}
