import { lstatSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { syncDirectory, writeDurably } from '../restore/durable.ts';

/*
 * What a rejoin has to know of itself when it was killed: how far it is, and the configuration that the directory had. Both
 * roads write over it: pg_rewind with the source's, a restore with the backup's. One JSON document for each directory, in the
 * state directory of the cluster, durable before the directory is touched.
 */

export type RejoinStep =
  /** pg_rewind, or a restore in place, may have begun to write. */
  | 'changing'
  /** The directory has the contents; settings and signal are still to be put there. */
  | 'settling';

export interface KeptFile {
  /** Below the data directory. */
  readonly path: string;
  readonly mode: number;
  readonly base64: string;
}

export interface RejoinJournal {
  readonly directory: string;
  readonly step: RejoinStep;
  readonly kept: readonly KeptFile[];
}

export function readRejoinJournal(stateDirectory: string, directory: string): RejoinJournal | undefined {
  const path = pathOf(stateDirectory, directory);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  const found = JSON.parse(text) as RejoinJournal;
  if (found.directory === directory && Array.isArray(found.kept)) return found;
  throw new PgrecallError('rejoin-failed', `"${path}" is no journal of "${directory}"`, {
    hint: 'move it away; the configuration that it kept has to be put back by hand then',
  });
}

export function writeRejoinJournal(stateDirectory: string, journal: RejoinJournal): void {
  mkdirSync(folderOf(stateDirectory), { recursive: true, mode: 0o700 });
  writeDurably(pathOf(stateDirectory, journal.directory), `${JSON.stringify(journal)}\n`);
}

export function removeRejoinJournal(stateDirectory: string, directory: string): void {
  rmSync(pathOf(stateDirectory, directory), { force: true });
  syncDirectory(folderOf(stateDirectory));
}

/** The configuration in a data directory: what ends in `.conf`, there and in `conf.d`. */
export function keepConfigurationOf(directory: string): KeptFile[] {
  const kept: KeptFile[] = [];
  for (const folder of ['', 'conf.d']) {
    for (const name of namesIn(join(directory, folder))) {
      const path = join(folder, name);
      const stat = lstatSync(join(directory, path));
      if (!name.endsWith('.conf') || !stat.isFile()) continue;
      kept.push({ path, mode: stat.mode & 0o777, base64: readFileSync(join(directory, path)).toString('base64') });
    }
  }
  return kept;
}

/** Puts it back, and says what postgresql.auto.conf was. */
export function putBackConfiguration(directory: string, kept: readonly KeptFile[]): { readonly autoConf: string } {
  let autoConf = '';
  for (const { path, mode, base64 } of kept) {
    const bytes = Buffer.from(base64, 'base64');
    if (path === 'postgresql.auto.conf') autoConf = bytes.toString('utf8');
    else {
      if (path.startsWith('conf.d/')) mkdirSync(join(directory, 'conf.d'), { recursive: true, mode: 0o700 });
      writeDurably(join(directory, path), bytes, { mode });
    }
  }
  return { autoConf };
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

function folderOf(stateDirectory: string): string {
  return join(stateDirectory, 'rejoin');
}

function pathOf(stateDirectory: string, directory: string): string {
  return join(folderOf(stateDirectory), `${createHash('sha256').update(directory).digest('hex').slice(0, 16)}.json`);
}
