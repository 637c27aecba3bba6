import { directoryPath, dumpPath, globalsPath } from '../logical/dump-arguments.ts';
import type { DumpFacts, DumpedDatabase, DumpFormat } from '../repository/dump-facts.ts';

/* What an export of a dump consists of, and what it is called. */

/** A dump of one database, or the globals, on its way out. */
export interface DumpExport {
  /** Absent for the globals. */
  readonly database?: DumpedDatabase;
  readonly format: DumpFormat;
  /** Of the file, or the directory, where several go into one. */
  readonly name: string;
  /** Where it lies in the manifest: a file, or what the names of files begin with. */
  readonly stored: string;
}

/** What a file name ends with; pg_restore does not care, people do. */
const endings: Readonly<Record<DumpFormat, string>> = { plain: '.sql', custom: '.dump', tar: '.tar', directory: '' };

/** `databases`: of the dump, those that are wanted. */
export function planDumpExport(
  { format }: Pick<DumpFacts, 'format'>,
  databases: readonly DumpedDatabase[],
  globals: boolean,
): readonly DumpExport[] {
  const taken = new Set(globals ? [globalsPath] : []);
  return [
    ...databases.map((database): DumpExport => {
      const name = fileNameOf(database.name, endings[format], taken);
      taken.add(name);
      const stored = format === 'directory' ? directoryPath(database.oid, '') : dumpPath(database.oid, format);
      return { database, format, name, stored };
    }),
    ...(globals ? [{ format: 'plain', name: globalsPath, stored: globalsPath } as const] : []),
  ];
}

/**
 * A name of a file that tells the database and leads nowhere else: slashes, control characters, a dot or a dash in front, and
 * the percent sign are written as URLs have them. One that is taken gets another ending.
 */
function fileNameOf(database: string, ending: string, taken: ReadonlySet<string>): string {
  // eslint-disable-next-line no-control-regex
  const safe = database.replaceAll(/[%/\\\u0000-\u001F\u007F-\u009F\u2028\u2029]|^[.-]/g, (letter) => {
    return [...Buffer.from(letter)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
  });
  let name = `${safe}${ending}`;
  for (let number = 2; taken.has(name); number += 1) name = `${safe}-${number}${ending}`;
  return name;
}
