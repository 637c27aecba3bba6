import { readFileSync, readdirSync, unlinkSync } from 'node:fs';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import type { Database } from './selected-databases.ts';

/*
 * What becomes of databases whose files were left out of a restore (selected-databases.ts): once recovery is done they are
 * dropped, by pgrecall where it starts the server or resumes it, else by the administrator with the statements that lie in
 * the directory.
 *
 * Recovery meets them with ignore_invalid_pages on (runtime-config-developer.html): some records change a page without
 * bringing an image of it (hash indexes; the visibility map without checksums), and PostgreSQL would stop at a page that
 * is empty. The setting hides such pages in the databases that are kept as well, so the log is searched for them.
 */

/** For recovery; a server that has been promoted takes no notice of it. */
export const leftOutSettings: Readonly<Record<string, string>> = { ignore_invalid_pages: 'on' };

/** Where the statements lie that drop what was left out: in pg_wal, which pg_verifybackup leaves alone. */
export function leftOutNotePath(directory: string): string {
  return `${directory}/pg_wal/pgrecall/drop-left-out.sql`;
}

/** For psql, once the server has been promoted. */
export function leftOutNote(databases: readonly Database[]): string {
  const comment = databases.map(({ oid, name }) => `--   ${oid}  ${name.replaceAll(/[\r\n]/g, ' ')}`);
  const which = `FROM pg_database WHERE oid IN (${databases.map(({ oid }) => oid).join(', ')})`;
  return [
    '-- Made by pgrecall restore --database: these databases were left out, their files are empty.',
    ...comment,
    '-- When the server is out of recovery, drop them: psql -f this-file postgres',
    `DELETE FROM pg_subscription WHERE subdbid IN (SELECT oid ${which});`,
    `SELECT format('ALTER DATABASE %I IS_TEMPLATE false', datname) ${which} \\gexec`,
    `SELECT format('DROP DATABASE %I WITH (FORCE)', datname) ${which} \\gexec`,
    'ALTER SYSTEM RESET ignore_invalid_pages;',
    '',
  ].join('\n');
}

/**
 * Numbers of the databases in a data directory that were left out, and of copies of those: their PG_VERSION is empty. That
 * tells it of databases that have been renamed since, or made from one that was left out.
 */
export function findLeftOut(dataDirectory: string): number[] {
  const tablespaces = `${dataDirectory}/pg_tblspc`;
  const parents = [
    `${dataDirectory}/base`,
    ...namesIn(tablespaces).flatMap((link) =>
      namesIn(`${tablespaces}/${link}`)
        .filter((name) => name.startsWith('PG_'))
        .map((name) => `${tablespaces}/${link}/${name}`),
    ),
  ];
  return parents
    .flatMap((parent) => namesIn(parent).filter((name) => /^[1-9]\d*$/.test(name) && isLeftOut(`${parent}/${name}`)))
    .map(Number)
    .toSorted((a, b) => a - b);
}

function isLeftOut(databaseDirectory: string): boolean {
  try {
    const version = readFileSync(`${databaseDirectory}/PG_VERSION`);
    return version.length > 0 && version.every((byte) => byte === 0);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

/**
 * Drops what was left out of the data directory of a server that has been promoted; gives the names. Throws
 * `server-refused` where the server does not let it, with what to do by hand.
 */
export async function dropLeftOut(uri: string, dataDirectory: string): Promise<string[]> {
  const numbers = findLeftOut(dataDirectory);
  if (numbers.length === 0) return [];
  await using session = await SqlSession.connect(uri, { applicationName: 'pgrecall' });
  try {
    const databases = await session.query<{ oid: string; name: string; quoted: string; template: boolean }>(
      `SELECT oid::text, datname AS name, quote_ident(datname) AS quoted, datistemplate AS template
         FROM pg_database WHERE oid = ANY ($1::oid[]) ORDER BY oid`,
      [numbers],
    );
    for (const { oid, quoted, template } of databases) {
      // It keeps its database from being dropped, and cannot be dropped from elsewhere.
      await session.query('DELETE FROM pg_subscription WHERE subdbid = $1::oid', [oid]);
      if (template) await session.query(`ALTER DATABASE ${quoted} IS_TEMPLATE false`);
      await session.query(`DROP DATABASE ${quoted} WITH (FORCE)`);
    }
    for (const name of Object.keys(leftOutSettings)) await session.query(`ALTER SYSTEM RESET ${name}`);
    removeNote(dataDirectory);
    return databases.map(({ name }) => name);
  } catch (error) {
    if (!(error instanceof Error) || error instanceof PgrecallError) throw error;
    throw new PgrecallError('server-refused', `cannot drop the databases that were left out: ${error.message}`, {
      hint: `as a superuser: psql -f ${leftOutNotePath(dataDirectory)} postgres`,
      cause: error,
    });
  }
}

function removeNote(dataDirectory: string): void {
  try {
    unlinkSync(leftOutNotePath(dataDirectory));
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

/** A relation's file as PostgreSQL names it in messages; the numbers are those of its database. */
const relationPath = /\b(?:base\/(\d+)|pg_tblspc\/\d+\/PG_[^/\s"]+\/(\d+)|global)\/\d+(?:_[a-z]+)?(?:\.\d+)?/g;

/** The files that a recovery's log mentions and that are no one's that was left out, in order; at most `limit`. */
export function keptFilesInLog(log: string, leftOut: readonly number[], limit = 20): string[] {
  const found = new Set<string>();
  for (const match of log.matchAll(relationPath)) {
    const database = match[1] ?? match[2];
    if (database !== undefined && leftOut.includes(Number(database))) continue;
    found.add(match[0]);
    if (found.size >= limit) break;
  }
  return [...found];
}
