import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';

/** Why something of a restored directory could not be written: `disk-full`, else `io`. An error of ours stays as it is. */
export function writeError(error: unknown, path: string): PgrecallError {
  if (error instanceof PgrecallError) return error;
  if (isErrno(error, 'ENOSPC', 'EDQUOT')) {
    return new PgrecallError('disk-full', `no space left while writing "${path}"`, {
      hint: 'free space, or restore to a larger disk; the repository has not been touched, and PostgreSQL refuses to start on what was written',
      details: { path },
      cause: error,
    });
  }
  return new PgrecallError('io', `cannot write "${path}"`, { details: { path }, cause: error });
}

/** Does one thing of the file system to a restored path. Throws `disk-full`, `io`. */
export function writing<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw writeError(error, path);
  }
}
