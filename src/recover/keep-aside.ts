import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  rmdirSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { syncDirectory } from '../restore/durable.ts';
import { isMountPoint } from './mount-points.ts';
import { journalDirectory, type EmptiedPlace, type Move } from './recovery-journal.ts';

/*
 * The old data directory and its tablespaces are kept by new names on their own file systems: nothing is copied, and the
 * old names bring back what was there, to the byte.
 *
 * The first move takes away what no server starts without, and is taken back last: as long as anything else is out of its
 * place, or made anew, nobody can start the old server, a unit at boot for instance. Where the first is not made, all is old.
 */

/** In a directory that stays, for what was in it. */
const keptName = 'pgrecall-kept';

export interface KeepPlan {
  readonly moves: readonly Move[];
  readonly emptied: readonly EmptiedPlace[];
  readonly walPlace: string | null;
  readonly mode: number;
}

/** Of a stopped server: what goes where. `versionDirectory` is the one in each tablespace, such as PG_15_202209061. */
export function planKeep(directory: string, tablespaces: readonly string[], versionDirectory: string): KeepPlan {
  const moves: Move[] = [];
  const emptied: EmptiedPlace[] = [];
  const empty = (path: string, names: readonly string[], isWhole: boolean): void => {
    emptied.push({ path, modified: modifiedOf(path), isWhole });
    for (const name of names) moves.push({ from: join(path, name), to: join(path, keptName, name) });
  };
  const wal = join(directory, 'pg_wal');
  const walPlace = lstatSync(wal).isSymbolicLink() ? realpathSync(wal) : null;
  // A mount point cannot be renamed.
  if (!isMountPoint(directory)) {
    moves.push({ from: directory, to: join(journalDirectory(directory), 'kept') });
  } else empty(directory, ['global', ...contentsOf(directory).filter((name) => name !== 'global')], true);
  // What lies within the directory goes with it.
  const isOutside = (path: string): boolean => !path.startsWith(`${directory}/`);
  if (walPlace !== null && isOutside(walPlace)) empty(walPlace, contentsOf(walPlace), true);
  for (const place of tablespaces.filter(isOutside))
    if (existsSync(join(place, versionDirectory))) empty(place, [versionDirectory], false);
  return { moves, emptied, walPlace, mode: statSync(directory).mode & 0o777 };
}

function contentsOf(path: string): readonly string[] {
  return readdirSync(path).filter((name) => name !== keptName && name !== 'lost+found');
}

/** Where the old data directory lies. */
export function keptDirectory(directory: string, moves: readonly Move[]): string {
  const whole = moves.find(({ from }) => from === directory);
  return whole?.to ?? join(directory, keptName);
}

/** Whether the directory itself stays where it is, and what was in it is kept there. */
export function isKeptWithin(directory: string, moves: readonly Move[]): boolean {
  return !moves.some(({ from }) => from === directory);
}

/** Whether the old directory is out of its place. */
export function isAside([first]: readonly Move[]): boolean {
  return first !== undefined && look(first.to);
}

/** Done again, it goes on. Throws `keep-failed`. */
export function keepAside({ moves }: Pick<KeepPlan, 'moves'>): void {
  moveAside(moves.slice(0, 1));
  moveAside(moves.slice(1));
}

function moveAside(moves: readonly Move[]): void {
  for (const { from, to } of moves) {
    if (look(to)) continue;
    try {
      mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
      renameSync(from, to);
    } catch (error) {
      throw new PgrecallError('keep-failed', `"${from}" cannot be kept aside as "${to}": ${wordsOf(error)}`, {
        hint: 'pgrecall recover --undo brings back what was moved; run it as a user who may rename there, as root for instance',
        details: { from, to },
        cause: error,
      });
    }
  }
  syncAround(moves);
}

/** Takes away what was made since, as far as it would be in the way; what was kept stays. */
export function clearMade({ moves, emptied }: Pick<KeepPlan, 'moves' | 'emptied'>): void {
  // Then what is there is of the old server, also what it has written since.
  if (!isAside(moves)) return;
  for (const { from, to } of moves) if (look(to)) rmSync(from, { recursive: true, force: true });
  clearEmptied({ moves, emptied });
}

/** The same within the directories that stay. */
export function clearEmptied({ moves, emptied }: Pick<KeepPlan, 'moves' | 'emptied'>): void {
  for (const { path, isWhole } of emptied) {
    // A tablespace may hold other versions' directories.
    if (!isWhole) continue;
    for (const name of contentsOfEmptied(path)) {
      const move = moves.find(({ from }) => from === join(path, name));
      // One that lies at its old name again is old.
      if (!move || look(move.to)) rmSync(join(path, name), { recursive: true, force: true });
    }
  }
}

function contentsOfEmptied(path: string): readonly string[] {
  try {
    return contentsOf(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Everything by its old name again. Done again, it goes on. */
export function putBack(kept: Pick<KeepPlan, 'moves' | 'emptied'>): void {
  clearMade(kept);
  moveBack(kept.moves.slice(1));
  moveBack(kept.moves.slice(0, 1));
  for (const { path, modified } of kept.emptied) {
    removeEmpty(join(path, keptName));
    setModified(path, modified);
  }
}

function moveBack(moves: readonly Move[]): void {
  for (const { from, to } of moves) if (look(to)) renameSync(to, from);
  syncAround(moves);
}

/** One in which something is left is no case to be guessed at. */
function removeEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

/** A power cut in between leaves each of them at one of its two places. */
function syncAround(moves: readonly Move[]): void {
  const directories = new Set(moves.flatMap(({ from, to }) => [dirname(from), dirname(to)]));
  for (const directory of directories) if (existsSync(directory)) syncDirectory(directory);
}

function modifiedOf(path: string): string {
  const nanoseconds = statSync(path, { bigint: true }).mtimeNs;
  return `${nanoseconds / 1_000_000_000n}.${String(nanoseconds % 1_000_000_000n).padStart(9, '0')}`;
}

/** Node has only a number for it, which is some hundred nanoseconds off. */
function setModified(path: string, modified: string): void {
  try {
    execFileSync('touch', ['-m', '-d', `@${modified}`, '--', path], { stdio: 'ignore' });
  } catch {
    utimesSync(path, Number(modified), Number(modified));
  }
}

/** Removes what was kept. */
export function removeKept({ moves, emptied }: Pick<KeepPlan, 'moves' | 'emptied'>): void {
  for (const { to } of moves) rmSync(to, { recursive: true, force: true });
  for (const { path } of emptied) rmSync(join(path, keptName), { recursive: true, force: true });
}

function look(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
