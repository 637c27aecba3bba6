import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PgrecallError, hasCode, isErrno } from '../errors/pgrecall-error.ts';
import { decodeControlFile, type ControlFile } from '../postgres/control-file.ts';

/** A reader may meet the server's write half done; it takes microseconds, so that this often it is damage. */
const attempts = 10;
const pauseMs = 20;

export interface ReadControlFile {
  readonly control: ControlFile;
  /** The whole file, as it was when its CRC was right. */
  readonly bytes: Uint8Array;
}

/**
 * Reads global/pg_control, again where its CRC is wrong, as PostgreSQL's own programs do (get_controlfile).
 * Throws `data-directory` where it cannot, `decode` where it is damaged.
 */
export function readControlFile(dataDirectory: string): ReadControlFile {
  for (let attempt = 1; ; attempt += 1) {
    const bytes = readBytes(join(dataDirectory, 'global', 'pg_control'));
    try {
      return { control: decodeControlFile(bytes), bytes };
    } catch (error) {
      if (!hasCode(error, 'decode') || attempt === attempts) throw error;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
  }
}

function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const hint = isErrno(error, 'EACCES')
      ? 'run pgrecall as the user that owns the data directory, or as root'
      : 'set data_directory to the cluster’s data directory on this machine';
    throw new PgrecallError('data-directory', `cannot read "${path}"`, { hint, cause: error });
  }
}
