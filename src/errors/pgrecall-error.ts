import { catalogue, exitStatuses, type CatalogueEntry, type ErrorCode } from './catalogue.ts';

export interface ErrorOptions {
  /** What the administrator can do; the catalogue's own hint where absent. */
  readonly hint?: string;
  /** What was found and expected, for scripts: JSON values only, never a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** The one error class: a code of the catalogue, a message that is a fact, a hint, details. */
export class PgrecallError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'PgrecallError';
    this.code = code;
    const entry: CatalogueEntry = catalogue[code];
    this.hint = options.hint ?? entry.hint;
    this.details = options.details ?? {};
  }

  /** 1 to 5, after the contract of the commands. */
  get exitStatus(): number {
    return exitStatuses[catalogue[this.code].kind];
  }
}

/** Whether `error` is one of ours with one of the `codes`. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is PgrecallError {
  return error instanceof PgrecallError && codes.includes(error.code);
}

/** Whether `error` is the operating system's, with that errno name (`ENOENT`). */
export function isErrno(error: unknown, ...names: readonly string[]): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && names.includes(String(error.code));
}

/** Stops on what cannot be unless the program is wrong; never for what a user or a disk can cause. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new PgrecallError('bug', message);
}
