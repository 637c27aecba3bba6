import { PgrecallError } from '../errors/pgrecall-error.ts';
import { beginsOneOf, connectionWord } from './dump-arguments.ts';
import type { RoleMap } from './map-roles.ts';
import type { DumpFacts, DumpedDatabase, DumpFormat } from '../repository/dump-facts.ts';

/** What decides where a dump goes and where it comes from; pg_restore takes the beginning of a word for the word: `--cre`. */
const ours = new Set([
  ...['file', 'format', 'jobs', 'dbname', 'host', 'port', 'username', 'password', 'no-password'],
  ...['create', 'list', 'use-list', 'verbose', 'role'],
]);
/** Alone, or in a bundle behind letters without values: `-eC`. */
const oursShort = /^-[aceORsx1]*[fFjdhpUWwClLv]/;
/** What takes the next word for its value. */
const withValue =
  /^(?:-[aceORsx1]*[InNPStT]|--(?:index|schema|exclude-schema|function|superuser|table|trigger|section|filter|transaction-size))$/;

/** Throws `usage` for options that pgrecall sets itself, and for any where there is no pg_restore to take them. */
export function checkRestoreOptions(options: readonly string[], format: DumpFormat): void {
  if (format === 'plain' && options.length > 0) {
    throw new PgrecallError(
      'usage',
      `"${options[0]}" after --: a plain dump is loaded by psql as it is, without options`,
      {
        hint: 'parts, owners and privileges can be left out of the other formats',
      },
    );
  }
  const wrong = options.find((word) => beginsOneOf(ours, word) || oursShort.test(word));
  if (wrong !== undefined) {
    throw new PgrecallError('usage', `"${wrong}" after --: pgrecall sets that itself`, {
      hint: 'the server is --to, the database --database, a new one --create, parts are --only, SET ROLE is --role, parallel is --jobs',
    });
  }
  const stray = options.find((word, at) => !word.startsWith('-') && !withValue.test(options[at - 1] ?? ''));
  if (stray !== undefined) {
    throw new PgrecallError('usage', `"${stray}" after --: pg_restore would read a file of that name`, {
      hint: 'options of pg_restore begin with -, and a value may go with its option: --table=film',
    });
  }
}

/** Whether pg_restore is told to load all or nothing. */
export function isSingleTransaction(options: readonly string[]): boolean {
  return options.some((word) => /^(?:--single-t|-[aceORsx]*1)/.test(word));
}

/** Whose the objects are to be. */
export interface LoadRights {
  /** Everything belongs to whoever loads, or to `role`. */
  readonly noOwner: boolean;
  readonly noPrivileges: boolean;
  /** `SET ROLE` before anything is made. */
  readonly role: string | undefined;
}

export interface MappedRights extends LoadRights {
  /** Roles that are called otherwise at the target, as owners and where something is granted to them. */
  readonly map: RoleMap;
}

export interface RestoreCommand {
  readonly format: Exclude<DumpFormat, 'plain'>;
  readonly database: string;
  readonly rights: LoadRights;
  readonly options: readonly string[];
  /** A file with the ids of the entries that are wanted. */
  readonly listFile: string | undefined;
  /** A file or directory; without one it is standard input. */
  readonly from?: { readonly path: string; readonly jobs: number };
}

/** Of pg_restore. */
export function restoreArguments({ format, database, rights, options, listFile, from }: RestoreCommand): string[] {
  const letter = { custom: 'c', directory: 'd', tar: 't' }[format];
  return [
    `-F${letter}`,
    '--no-password',
    // What it does is told by that.
    '--verbose',
    `--dbname=${connectionWord(database)}`,
    ...(rights.noOwner ? ['--no-owner'] : []),
    ...(rights.noPrivileges ? ['--no-privileges'] : []),
    ...(rights.role === undefined ? [] : [`--role=${rights.role}`]),
    ...(listFile === undefined ? [] : [`--use-list=${listFile}`]),
    ...(from ? [`--jobs=${from.jobs}`] : []),
    ...options,
    ...(from ? [from.path] : []),
  ];
}

/** Of psql, for a script from its standard input: ~/.psqlrc is not read, and the first error ends it. */
export const scriptArguments: readonly string[] = [
  ...['--no-psqlrc', '--quiet', '--no-password', '--set=ON_ERROR_STOP=1', '--file=-'],
];

/** The database of a dump that is to be loaded. Throws `database-unknown`, `usage`. */
export function chooseSource(
  dump: DumpFacts,
  wanted: { readonly source?: string; readonly target: string },
): DumpedDatabase {
  const { databases } = dump;
  const known = databases.map(({ name }) => `"${name}"`).join(', ');
  const [only] = databases;
  if (!only) throw new PgrecallError('usage', 'the dump has no database, the globals alone');
  const name = wanted.source ?? (databases.length === 1 ? only.name : wanted.target);
  const found = databases.find((database) => database.name === name);
  if (found) return found;
  throw new PgrecallError('database-unknown', `the dump has no database "${name}"`, {
    hint: `it has ${known}; name one with --source`,
    details: { database: name, known: databases.map((database) => database.name) },
  });
}

/** Throws `usage` for what cannot be asked of a plain dump, and for one that would not stay in the database that it is loaded into. */
export function checkScript(
  { options = [] }: DumpFacts,
  asked: { readonly jobs: number; readonly only: readonly string[]; readonly rights: MappedRights },
): void {
  const creating = options.find((word) => /^(?:--cr|-[abBcCEnNOsStTvxwW]*C)/.test(word));
  if (creating !== undefined) {
    throw new PgrecallError(
      'usage',
      `the dump was made with "${creating}": it would make a database of its own name, and go there`,
      { hint: 'dump again without that option; load --create makes the database' },
    );
  }
  if (asked.jobs > 1) {
    throw new PgrecallError('usage', `--jobs ${asked.jobs}: a plain dump is one script, which one connection runs`, {
      hint: 'dump in another format to load in parallel',
    });
  }
  const { noOwner, noPrivileges, role, map } = asked.rights;
  const chosen = [
    ...(asked.only.length > 0 ? ['--only'] : []),
    ...(noOwner ? ['--no-owner'] : []),
    ...(noPrivileges ? ['--no-privileges'] : []),
    ...(role === undefined ? [] : ['--role']),
    ...(map.size > 0 ? ['--owner'] : []),
  ];
  if (chosen.length === 0) return;
  throw new PgrecallError(
    'usage',
    `${chosen.join(', ')}: a plain dump has no table of contents to choose from, and is loaded whole`,
    {
      hint: 'dump in another format, or choose when dumping (dump --table, --schema, -- --no-owner)',
    },
  );
}
