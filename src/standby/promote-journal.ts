import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../errors/pgrecall-error.ts';
import { writeDurably } from '../restore/durable.ts';

/*
 * That a standby is being promoted, in the state directory of the cluster. When pgrecall is killed behind the promotion, the next run
 * knows that the primary that it finds in the directory is the one that it made, and does the rest.
 */

/** The data directory of the standby that is being promoted. */
export function readPromotion(stateDirectory: string): string | undefined {
  try {
    return readFileSync(pathOf(stateDirectory), 'utf8').trim();
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

export function beginPromotion(stateDirectory: string, directory: string): void {
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  writeDurably(pathOf(stateDirectory), `${directory}\n`);
}

export function endPromotion(stateDirectory: string): void {
  rmSync(pathOf(stateDirectory), { force: true });
}

function pathOf(stateDirectory: string): string {
  return join(stateDirectory, 'promotion');
}
