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
  /** Of one that was made elsewhere, and imported. */
  readonly imported?: {
    /** What it was called. */
    readonly file: string;
    /** As its archive says, on the clock of where it was made: `2026-11-23T08:38:34`. */
    readonly dumpedAt?: string;
  };
}

export interface DumpedDatabase {
  /** Of one that was imported, made from its name: above 4,000,000,000. */
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
  imported: optional(fields({ file: text(), dumpedAt: optional(text(64)) })),
});
