import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';

/*
 * A restore of some databases only. Files of the others become empty ones of the same size, holes without a byte on disk:
 * recovery goes over them without harm, and once it is done these databases are dropped (left-out-databases.ts).
 *
 * Their PG_VERSION is emptied as well: it is the first thing that PostgreSQL reads of a database, so that whoever connects
 * to one is refused. With nothing but its relations emptied, the server would crash (relcache.c, load_critical_index).
 */

export interface Database {
  readonly oid: number;
  readonly name: string;
}

export interface SelectedDatabases {
  readonly kept: readonly Database[];
  readonly leftOut: readonly Database[];
}

/** Databases with smaller numbers were made by initdb (access/transam.h, FirstNormalObjectId). */
const firstNormalOid = 16_384;
/** The first two are what new databases are made from; to the third one connects to drop others. */
const neverLeftOut = new Set(['template0', 'template1', 'postgres']);

/** Those named, and those without which a cluster is none. Throws `database-unknown`. */
export function selectDatabases(backup: BackupRecord, names: readonly string[]): SelectedDatabases {
  const { databases } = backup;
  if (!databases) {
    throw new PgrecallError('database-unknown', `the record of ${backup.id} does not say which databases it has`, {
      hint: 'restore all of it, and drop what is not wanted; a backup of a running server lists its databases',
    });
  }
  const wanted = new Set(names);
  const unknown = names.filter((name) => !databases.some((database) => database.name === name));
  if (unknown.length > 0) {
    const known = databases.map(({ name }) => name);
    throw new PgrecallError(
      'database-unknown',
      `${backup.id} has no database ${unknown.map((name) => `"${name}"`).join(', ')}`,
      { hint: `databases of this backup: ${known.join(', ')}`, details: { backup: backup.id, unknown, known } },
    );
  }
  const isKept = ({ oid, name }: Database): boolean => {
    return wanted.has(name) || neverLeftOut.has(name) || oid < firstNormalOid;
  };
  return {
    kept: databases.filter(isKept),
    leftOut: databases.filter((database) => !isKept(database)),
  };
}

const inDatabase = /^(?:base|pg_tblspc\/\d+\/PG_[^/]+)\/([1-9]\d*)\//;

/** The number of the database whose directory the file lies in. */
export function databaseOf(path: string): number | undefined {
  const match = inDatabase.exec(path);
  return match ? Number(match[1]) : undefined;
}
