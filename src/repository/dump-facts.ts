import { fields, flag, integer, listOf, oneOf, optional, text, type Check } from './json-shape.ts';

export const dumpFormats = ['plain', 'custom', 'directory', 'tar'] as const;
export type DumpFormat = (typeof dumpFormats)[number];

/** What is known of a logical backup beside what every backup has. */
export interface DumpFacts {
  readonly format: DumpFormat;
  /** Those that were dumped, in the order of their names; none where only globals were. */
  readonly databases: readonly DumpedDatabase[];
  /** Whether roles and tablespaces are there, as `globals.sql`. */
  readonly globals: boolean;
  readonly content: 'all' | 'schema' | 'data';
  /** Patterns as pg_dump takes them; absent where everything was dumped. */
  readonly tables?: readonly string[];
  readonly schemas?: readonly string[];
  /** What else pg_dump was given. */
  readonly options?: readonly string[];
  /** As they print themselves: `15.18`. */
  readonly serverVersion: string;
  readonly dumpVersion: string;
}

export interface DumpedDatabase {
  readonly oid: number;
  readonly name: string;
  /** In the server, when the dump began; 0 where the role may not ask. */
  readonly sizeBytes: number;
  /** As PostgreSQL calls it: `UTF8`. */
  readonly encoding: string;
}

export const checkDumpFacts: Check = fields({
  format: oneOf(...dumpFormats),
  databases: listOf(fields({ oid: integer(1, 0xffff_ffff), name: text(), sizeBytes: integer(), encoding: text(64) })),
  globals: flag,
  content: oneOf('all', 'schema', 'data'),
  tables: optional(listOf(text())),
  schemas: optional(listOf(text())),
  options: optional(listOf(text())),
  serverVersion: text(64),
  dumpVersion: text(64),
});
