import { mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkLockHolder, systemProcesses, type LockHolder, type ProcessTable } from '../repository/lock-holder.ts';

/*
 * Where a dump in the directory format passes through, in the state directory: `dump-<random>`, which nobody else can look into.
 * It can be large, and a dump that is killed leaves it; so who made it is noted in it, and the next dump removes those of the dead.
 */

const holderFile = 'holder.json';

/** A new one; those that nobody has any more are removed. */
export function makePassingDirectory(stateDirectory: string, processes: ProcessTable = systemProcesses): string {
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const parent = realpathSync(stateDirectory);
  for (const name of readdirSync(parent)) {
    if (!/^dump-[A-Za-z0-9]{6}$/.test(name)) continue;
    const holder = readHolder(join(parent, name));
    if (holder && processes.stateOf(holder) === 'dead') rmSync(join(parent, name), { recursive: true, force: true });
  }
  const directory = mkdtempSync(join(parent, 'dump-'));
  writeFileSync(join(directory, holderFile), JSON.stringify(processes.self()));
  return directory;
}

function readHolder(directory: string): LockHolder | undefined {
  try {
    const holder: unknown = JSON.parse(readFileSync(join(directory, holderFile), 'utf8'));
    return checkLockHolder(holder, 'holder') === undefined ? (holder as LockHolder) : undefined;
  } catch {
    return undefined;
  }
}
