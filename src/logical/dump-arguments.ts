import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { DumpFacts, DumpFormat } from '../repository/dump-facts.ts';

/** What of a database is to be dumped. */
export interface DumpSelection {
  readonly content: DumpFacts['content'];
  readonly tables: readonly string[];
  readonly schemas: readonly string[];
  /** More of pg_dump's own options. */
  readonly options: readonly string[];
}

/** What decides where the dump goes and what it is; pg_dump takes the beginning of a word for the word: `--fil`. */
const ours = new Set([
  ...['file', 'format', 'jobs', 'compress', 'dbname', 'host', 'port', 'username', 'password', 'no-password'],
]);
/** Alone, or in a bundle behind letters without values: `-aW`. */
const oursShort = /^-[abBcCEnNOsStTvxwW]*[FfjZdhpUW]/;

/** Throws `usage` for options that pgrecall sets itself. */
export function checkPassedOptions(options: readonly string[]): void {
  const wrong = options.find(
    (word) =>
      beginsOneOf(ours, word) || /^-[FfjZdhpUW]/.test(word) || (oursShort.test(word) && !/^-[eEnNtTS]./.test(word)),
  );
  if (wrong === undefined) return;
  throw new PgrecallError('usage', `"${wrong}" after --: pgrecall sets that itself`, {
    hint: 'the format is --format, parallel is --jobs, the server and the database are those of the configuration and --database',
  });
}

/** Whether a long option is one of those, in full or as far as it is written. */
export function beginsOneOf(names: ReadonlySet<string>, word: string): boolean {
  const name = /^--([^=]+)/.exec(word)?.[1];
  return name !== undefined && [...names].some((known) => known.startsWith(name));
}

/** What pg_dump takes for an archive, too, and does nothing about: it is for pg_restore to do. */
const forScripts =
  /^(?:-[cOC]|--(?:clean|create|if-exists|no-owner|no-tablespaces|no-table-access-method|disable-triggers|use-set-session-authorization))$/;

/** Options that change nothing in this format. */
export function optionsWithoutEffect(format: DumpFormat, options: readonly string[]): readonly string[] {
  return format === 'plain' ? [] : options.filter((word) => forScripts.test(word));
}

interface DumpedAs {
  readonly format: DumpFormat;
  /** Of pg_dump. */
  readonly major: number;
  readonly database: string;
}

const letters = { plain: 'p', custom: 'c', directory: 'd', tar: 't' } as const;

/** Arguments of pg_dump. A database that is named here is the only one: a stray word among the options would be another. */
export function dumpArguments({ format, major, database }: DumpedAs, selection: DumpSelection): string[] {
  const { content, tables, schemas, options } = selection;
  return [
    `-F${letters[format]}`,
    `--dbname=${connectionWord(database)}`,
    '--no-password',
    // What is compressed twice cannot be told from what has changed. tar and plain text know no other.
    ...(format === 'custom' || format === 'directory' ? [major >= 16 ? '--compress=none' : '--compress=0'] : []),
    ...(content === 'schema' ? ['--schema-only'] : content === 'data' ? ['--data-only'] : []),
    ...tables.map((table) => `--table=${table}`),
    ...schemas.map((schema) => `--schema=${schema}`),
    ...options,
  ];
}

/** A name alone would be taken for a whole connection where it looks like one. */
export function connectionWord(database: string): string {
  return `dbname='${database.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
}

/** Of pg_dumpall. */
export const globalsArguments: readonly string[] = ['--globals-only', '--no-password'];

/** Where a database's dump lies in the manifest; names are ours, never from what a database is called. */
export function dumpPath(oid: number, format: Exclude<DumpFormat, 'directory'>): string {
  return `${oid}/dump.${{ plain: 'sql', custom: 'custom', tar: 'tar' }[format]}`;
}

/** Where the files of a directory dump lie. */
export function directoryPath(oid: number, name: string): string {
  return `${oid}/directory/${name}`;
}

export const globalsPath = 'globals.sql';
