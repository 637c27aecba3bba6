import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';

/** The errors that every storage raises alike, so that the contract suite can hold them to one wording. */

export function objectMissing(key: string, cause?: unknown): PgrecallError {
  return new PgrecallError('object-missing', `"${key}" is not in the repository`, { details: { key }, cause });
}

export function objectExists(key: string): PgrecallError {
  return new PgrecallError('object-exists', `"${key}" is already there`, { details: { key } });
}

export function objectTooLarge(key: string, sizeBytes: number, limitBytes: number): PgrecallError {
  return new PgrecallError('object-damaged', `"${key}" has ${sizeBytes} bytes; at most ${limitBytes} are expected`, {
    details: { key, sizeBytes, limitBytes },
  });
}

export function objectTooShort(key: string, sizeBytes: number, expectedBytes: number): PgrecallError {
  return new PgrecallError(
    'object-damaged',
    `"${key}" is truncated: it has ${sizeBytes} bytes; at least ${expectedBytes} are expected`,
    { details: { key, sizeBytes, expectedBytes } },
  );
}

/** What the operating system said about `path`, in our words; an error of ours stays as it is. */
export function fromErrno(error: unknown, doing: string, path: string): Error {
  if (error instanceof PgrecallError) return error;
  if (isErrno(error, 'ENOSPC', 'EDQUOT')) {
    return new PgrecallError('disk-full', `no space left to ${doing} "${path}"`, { details: { path }, cause: error });
  }
  const reason = error instanceof Error ? error.message : String(error);
  const hint = isErrno(error, 'EACCES', 'EPERM', 'EROFS')
    ? { hint: 'run pgrecall as the user that owns the repository, with the right to write to it' }
    : {};
  return new PgrecallError('storage', `cannot ${doing} "${path}": ${reason}`, {
    ...hint,
    details: { path },
    cause: error,
  });
}
