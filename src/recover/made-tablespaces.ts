import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/*
 * Tablespaces that the backup has, or that its WAL makes, and the old directory had not. What is written for them is in the
 * journal before it is, and goes with an undo: a directory that was there, empty, stays, it may be a mount point.
 */

/** Of places that are in no list yet, checked to be free. `versionDirectory` is what a server makes in each. */
export function planMade(places: readonly string[], versionDirectory: string): readonly string[] {
  return places.map((place) => (existsSync(place) ? join(place, versionDirectory) : place));
}

export function isMade(made: readonly string[], place: string, versionDirectory: string): boolean {
  return made.includes(place) || made.includes(join(place, versionDirectory));
}

/** Done again, it goes on. */
export function removeMade(made: readonly string[]): void {
  for (const path of made) rmSync(path, { recursive: true, force: true });
}
