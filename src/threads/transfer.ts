import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ErrorCode } from '../errors/catalogue.ts';

/** What goes to a thread. */
export interface Request {
  readonly id: number;
  readonly task: unknown;
}

/** What comes back. */
export interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: TransferredError;
}

/** An error as it crosses threads: structured cloning would lose the class and its fields. */
export interface TransferredError {
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  readonly cause: string | undefined;
  readonly stack: string | undefined;
}

export function toTransfer(error: unknown): TransferredError {
  const known = error instanceof PgrecallError ? error : undefined;
  const plain = error instanceof Error ? error : new Error(String(error));
  return {
    code: known?.code ?? ('syscall' in plain ? 'io' : undefined),
    message: plain.message,
    hint: known?.hint,
    details: known?.details ?? {},
    cause: plain.cause instanceof Error ? plain.cause.message : undefined,
    stack: plain.stack,
  };
}

export function fromTransfer(error: TransferredError): Error {
  const cause = error.cause === undefined ? undefined : new Error(error.cause);
  if (error.code === undefined) {
    const plain = new Error(error.message, { cause });
    if (error.stack !== undefined) plain.stack = error.stack;
    return plain;
  }
  return new PgrecallError(error.code, error.message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    details: error.details,
    cause,
  });
}
