import { existsSync, realpathSync } from 'node:fs';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { presentTablespaces } from './delta-target.ts';
import type { ReplayedTablespace } from './restore-plan.ts';
import {
  mapTablespaces,
  namedPlaces,
  refuseNested,
  requireEmptyTablespaces,
  requireUnusedReplayed,
} from './target-directory.ts';

/*
 * Tablespaces of a directory that is restored in place. The links in it do not prove that what they lead to is the
 * directory's own: a data directory that was copied with cp has links that lead to the tablespaces of the original, whose
 * server may run. So a tablespace is written in place only where
 *
 * - the administrator has named its place with --tablespace;
 * - or the directory is the cluster's own, as configured;
 * - or the cluster's own is known, and it does not have that place, or is not on this machine.
 */

export interface DeltaTablespaces {
  /** Where each of the backup's goes. */
  readonly places: ReadonlyMap<number, string>;
  /** Those that the directory has and the backup has not: their files go. By number, with where they lie. */
  readonly superfluous: ReadonlyMap<number, string>;
  readonly warnings: readonly string[];
}

export interface DeltaTablespacesOptions {
  readonly directory: string;
  readonly backup: BackupRecord;
  readonly mappings: readonly string[];
  /** The cluster's own data directory, where it is configured. */
  readonly configured: string | undefined;
  readonly replayed: readonly ReplayedTablespace[];
}

/** Throws `tablespace-mapping`. */
export function planDeltaTablespaces(options: DeltaTablespacesOptions): DeltaTablespaces {
  const { directory, backup, mappings } = options;
  const present = presentTablespaces(directory);
  const places = mapTablespaces(backup, mappings, present);
  const named = namedPlaces(backup, mappings);
  const elsewhere = new Map<number, string>();
  const warnings: string[] = [];
  for (const [oid, place] of places) {
    refuseNested(oid, realPath(place), realPath(directory));
    const there = present.get(oid);
    if (there === undefined || !isSame(there, place)) {
      elsewhere.set(oid, place);
      if (there !== undefined) warnings.push(`what is in "${there}" (tablespace ${oid}) is left as it is`);
    } else if (!named.has(oid)) {
      requireOwn(options, oid, place);
    }
  }
  requireEmptyTablespaces(elsewhere, directory);
  const superfluous = new Map<number, string>();
  for (const [oid, place] of present) {
    if (places.has(oid)) continue;
    if (whoseElse(options, place) === undefined) superfluous.set(oid, place);
    else warnings.push(`what is in "${place}" (tablespace ${oid}) is left as it is: it may be another's`);
  }
  const emptied = [...superfluous.values()];
  requireUnusedReplayed(options.replayed.filter(({ path }) => !emptied.some((place) => isSame(place, path))));
  return { places, superfluous, warnings };
}

function requireOwn(options: DeltaTablespacesOptions, oid: number, place: string): void {
  const why = whoseElse(options, place);
  if (why === undefined) return;
  throw new PgrecallError(
    'tablespace-mapping',
    `tablespace ${oid} of "${options.directory}" lies in "${place}", ${why}`,
    {
      hint: `to write there, say so: --tablespace ${oid}=${place}; else name another directory`,
      details: { oid, path: place },
    },
  );
}

/** Why the place may be another data directory's; `undefined` where it is this one's. */
function whoseElse({ directory, configured }: DeltaTablespacesOptions, place: string): string | undefined {
  if (configured === undefined) {
    return 'which may be another data directory’s: the configuration has no data_directory to compare with';
  }
  if (!existsSync(configured) || isSame(configured, directory)) return undefined;
  const isShared = [...presentTablespaces(configured).values()].some((other) => isSame(other, place));
  return isShared ? `which is that of the cluster in "${configured}", too` : undefined;
}

function isSame(a: string, b: string): boolean {
  return realPath(a) === realPath(b);
}

function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}
