import type { TocHeader } from './toc-header.ts';
import type { TocReader } from './toc-reader.ts';

const sections = ['none', 'pre-data', 'data', 'post-data'] as const;

/** One object, or the rows of one, in the words of pg_dump. */
export interface TocEntry {
  readonly dumpId: number;
  /** Whether the archive was to have rows, or large objects, for it. */
  readonly hasData: boolean;
  /** Of the catalogue that the object is in, and in it; 0 where it is no object of its own. */
  readonly tableOid: number;
  readonly oid: number;
  /** Its name, of a function with its arguments, of a comment with what it is on. */
  readonly tag: string;
  /** What it is: `TABLE`, `TABLE DATA`, `FK CONSTRAINT`… */
  readonly kind: string;
  readonly section: (typeof sections)[number];
  readonly definition: string | undefined;
  readonly dropStatement: string | undefined;
  readonly copyStatement: string | undefined;
  readonly schema: string | undefined;
  readonly tablespace: string | undefined;
  readonly accessMethod: string | undefined;
  /** The letter of pg_class, of tables and their like since pg_dump 17. */
  readonly relationKind: string | undefined;
  readonly owner: string | undefined;
  /** The dump ids that have to be there before. */
  readonly dependencies: readonly number[];
  /** The file beside the table of contents that has the rows; none in a custom archive. */
  readonly file: string | undefined;
  /** Where the rows begin in a custom archive; one that was written to a pipe does not tell. */
  readonly dataOffset: number | undefined;
}

/** After the loop of ReadToc in src/bin/pg_dump/pg_backup_archiver.c, and _ReadExtraToc of each format. */
export function decodeTocEntry(reader: TocReader, { version, format }: TocHeader): TocEntry {
  const dumpId = reader.int();
  if (dumpId <= 0) reader.fail(`an entry with the id ${dumpId}`);
  return {
    dumpId,
    hasData: reader.int() !== 0,
    tableOid: decodeNumber(reader, 'an OID', 0xffff_ffff),
    oid: decodeNumber(reader, 'an OID', 0xffff_ffff),
    tag: reader.text() ?? '',
    kind: reader.text() || reader.fail('an entry that does not say what it is'),
    section: decodeSection(reader),
    definition: reader.text(),
    dropStatement: reader.text(),
    copyStatement: reader.text(),
    schema: reader.text() || undefined,
    tablespace: reader.text() || undefined,
    accessMethod: reader.text() || undefined,
    relationKind: version >= 16 ? decodeRelationKind(reader) : undefined,
    owner: reader.text() || undefined,
    dependencies: decodeDependencies(reader),
    ...(format === 'custom' ? { file: undefined, dataOffset: decodeOffset(reader) } : decodeFile(reader)),
  };
}

function decodeNumber(reader: TocReader, what: string, most: number): number {
  const text = reader.text();
  return parseNumber(reader, text, what, most);
}

function parseNumber(reader: TocReader, text: string | undefined, what: string, most: number): number {
  const number = text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : -1;
  if (number < 0 || number > most) reader.fail(`no ${what.replace(/^an? /, '')}`);
  return number;
}

function decodeSection(reader: TocReader): TocEntry['section'] {
  const code = reader.int();
  return sections[code - 1] ?? reader.fail(`unknown section ${code}`);
}

function decodeRelationKind(reader: TocReader): string | undefined {
  const code = reader.int();
  if (code < 0 || code > 0x7f) reader.fail(`unknown kind of relation ${code}`);
  return code === 0 ? undefined : String.fromCodePoint(code);
}

/** After the owner "false", for the OIDs that tables once had; then ids up to a text that is none. */
function decodeDependencies(reader: TocReader): number[] {
  const withOids = reader.text();
  if (withOids !== 'false') reader.fail('a table with OIDs, which no server has had since 12,');
  const dependencies: number[] = [];
  for (let text = reader.text(); text !== undefined; text = reader.text()) {
    dependencies.push(parseNumber(reader, text, 'a dump id', 0x7fff_ffff));
  }
  return dependencies;
}

/** 1: not told; 2: here; 3: has none. */
function decodeOffset(reader: TocReader): number | undefined {
  const state = reader.byte();
  if (state < 1 || state > 3) reader.fail(`unknown state ${state} of an offset`);
  const offset = reader.offset();
  return state === 2 ? offset : undefined;
}

function decodeFile(reader: TocReader): { file: string | undefined; dataOffset: undefined } {
  return { file: reader.text() || undefined, dataOffset: undefined };
}
