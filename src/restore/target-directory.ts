import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { PgrecallError, hasCode, isErrno } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ReplayedTablespace } from './restore-plan.ts';
import { writing } from './write-error.ts';

/** Throws `target-not-empty` unless the directory is absent, or empty but for what a new file system has. */
export function requireEmptyDirectory(path: string, what: string): void {
  let names: string[];
  try {
    if (!statSync(path).isDirectory()) throw new PgrecallError('target-not-empty', `${what} "${path}" is a file`);
    names = readdirSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  const found = names.filter((name) => name !== 'lost+found');
  if (found.length === 0) return;
  const isCluster = found.includes('PG_VERSION');
  const unfinished = isCluster && !existsSync(join(path, 'global', 'pg_control'));
  const data = unfinished ? ': it holds a restore that was not finished' : ': it holds a PostgreSQL cluster';
  throw new PgrecallError('target-not-empty', `${what} "${path}" is not empty${isCluster ? data : ''}`, {
    ...(unfinished
      ? { hint: 'PostgreSQL refuses to start on it (no pg_control): go on with --delta, or remove it' }
      : {}),
    details: { path, found: found.slice(0, 10) },
  });
}

/** Makes the directory, with its parents, for its owner alone. Throws `disk-full`, `io`. */
export function makePrivateDirectory(path: string): void {
  writing(path, () => mkdirSync(path, { recursive: true, mode: 0o700 }));
}

/**
 * Where each tablespace goes, by its oid: as `--tablespace OLD=NEW` says (OLD a path, a name or an oid), or where it is in
 * the directory that is restored to (`present`), or where it was. Throws `tablespace-mapping` for what fits none, and for
 * two that would share a place.
 */
export function mapTablespaces(
  backup: Pick<BackupRecord, 'id' | 'tablespaces'>,
  mappings: readonly string[],
  present: ReadonlyMap<number, string> = new Map(),
): Map<number, string> {
  const mapped = namedPlaces(backup, mappings);
  const places = new Map(backup.tablespaces.map(({ oid, path }) => [oid, mapped.get(oid) ?? present.get(oid) ?? path]));
  refuseOverlap(places);
  return places;
}

/** What `--tablespace OLD=NEW` says, by oid. Throws `tablespace-mapping`. */
export function namedPlaces(
  backup: Pick<BackupRecord, 'id' | 'tablespaces'>,
  mappings: readonly string[],
): Map<number, string> {
  const places = new Map<number, string>();
  for (const mapping of mappings) {
    const at = mapping.indexOf('=');
    const from = mapping.slice(0, at);
    const to = mapping.slice(at + 1);
    if (at < 1 || to === '') {
      throw new PgrecallError('tablespace-mapping', `--tablespace ${mapping}: expected OLD=NEW`);
    }
    const found = backup.tablespaces.find(
      ({ oid, path, name }) => String(oid) === from || path === from || path === resolve(from) || name === from,
    );
    if (!found) {
      const known = backup.tablespaces.map(({ name, oid, path }) => `${name ?? oid} at ${path}`).join(', ') || 'none';
      throw new PgrecallError('tablespace-mapping', `the backup has no tablespace "${from}"`, {
        hint: `tablespaces of ${backup.id}: ${known}`,
      });
    }
    places.set(found.oid, resolve(to));
  }
  return places;
}

function refuseOverlap(places: ReadonlyMap<number, string>): void {
  const seen = new Map<string, number>();
  for (const [oid, place] of places) {
    if (!isAbsolute(place)) {
      throw new PgrecallError(
        'tablespace-mapping',
        `tablespace ${oid} would go to "${place}", which is not an absolute path`,
      );
    }
    for (const [other, otherOid] of seen) {
      if (!liesIn(place, other) && !liesIn(other, place)) continue;
      throw new PgrecallError('tablespace-mapping', `tablespaces ${otherOid} and ${oid} would share "${place}"`);
    }
    seen.set(place, oid);
  }
}

/** Throws `tablespace-mapping` where a tablespace's place is in use, most likely by the cluster that was backed up. */
export function requireEmptyTablespaces(places: ReadonlyMap<number, string>, directory: string): void {
  for (const [oid, place] of places) {
    refuseNested(oid, place, directory);
    try {
      requireEmptyDirectory(place, 'the tablespace’s directory');
    } catch (error) {
      if (!(error instanceof PgrecallError)) throw error;
      throw new PgrecallError('tablespace-mapping', error.message, {
        hint: `put it elsewhere with --tablespace ${place}=/another/directory`,
        details: { oid, path: place },
        cause: error,
      });
    }
  }
}

/** Throws `tablespace-mapping` where one of the two lies in the other. */
export function refuseNested(oid: number, place: string, directory: string): void {
  if (!liesIn(place, directory) && !liesIn(directory, place)) return;
  throw new PgrecallError(
    'tablespace-mapping',
    `tablespace ${oid} would go to "${place}", which the data directory "${directory}" lies in, or which lies in it`,
    { hint: `put it elsewhere with --tablespace ${place}=/another/directory`, details: { oid, path: place } },
  );
}

/**
 * Throws `tablespace-mapping` where a tablespace that replay makes would come to lie in a directory that is in use:
 * replay would write into what it finds there.
 */
export function requireUnusedReplayed(tablespaces: readonly ReplayedTablespace[]): void {
  for (const { oid, path } of tablespaces) {
    try {
      requireEmptyDirectory(path, 'the directory');
    } catch (error) {
      if (!hasCode(error, 'target-not-empty')) throw error;
      throw new PgrecallError(
        'tablespace-mapping',
        `tablespace ${oid} was made after the backup at "${path}", which is in use; PostgreSQL makes it there again when it replays, and would write into what is there`,
        {
          hint: `restore a backup that was taken after the tablespace was made, which --tablespace can put elsewhere; or restore on a machine where "${path}" is free`,
          details: { oid, path },
          cause: error,
        },
      );
    }
  }
}

function liesIn(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith('/') ? directory : `${directory}/`);
}
