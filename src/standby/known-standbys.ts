import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../errors/pgrecall-error.ts';
import { writeDurably } from '../restore/durable.ts';

/*
 * Where standbys lie that were made on this host, by their names: the primary does not know their ports, and so they could not
 * be asked anything.
 */

export function noteStandby(stateDirectory: string, name: string, directory: string): void {
  const notes = join(stateDirectory, 'standbys');
  mkdirSync(notes, { recursive: true, mode: 0o700 });
  writeDurably(join(notes, encodeURIComponent(name)), `${directory}\n`);
}

/** Data directories by name; of standbys that may be gone. */
export function notedStandbys(stateDirectory: string): ReadonlyMap<string, string> {
  const notes = join(stateDirectory, 'standbys');
  try {
    return new Map(
      readdirSync(notes).map((file) => [decodeURIComponent(file), readFileSync(join(notes, file), 'utf8').trimEnd()]),
    );
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EACCES')) return new Map();
    throw error;
  }
}

/** One that is a primary by now. */
export function forgetStandby(stateDirectory: string, directory: string): void {
  for (const [name, noted] of notedStandbys(stateDirectory)) {
    if (noted === directory) rmSync(join(stateDirectory, 'standbys', encodeURIComponent(name)), { force: true });
  }
}
