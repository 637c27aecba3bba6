import { BoundedReader } from '../bytes/bounded-reader.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';

/*
 * What the files of relations are called: for every database the relations that have files, with their numbers. A backup
 * carries it as its attachment `relations` (docs/repository-format.md, "Names of relations"), since from files alone only a
 * running server can tell.
 *
 *   u8       format, 1
 *   varint   number of databases; then for each varint oid (0 for shared relations), varint bytes of its part
 *   parts    in the same order
 *
 * The part of a database is a run of relations to its end:
 *
 *   u8       bits 0-2 kind, see `relationKinds`; bit 3 unlogged; bit 4 same tablespace as before; bit 5 belongs to
 *            another; bit 6 its oid is its file number; bit 7 zero
 *   varint   without bit 4: oid of the tablespace
 *   varint   file number; with bit 4 the difference to the one before
 *   varint   without bit 6: oid
 *   varint   with bit 5: oid of the relation that it belongs to
 *   varint   schema: its place among those named so far; where it is their number, a text follows, and that is the next
 *   text     name
 *
 * Relations are in ascending order of tablespace and file number.
 */

/** What the attachment is called. */
export const relationNamesAttachment = 'relations';

export const relationKinds = ['table', 'index', 'sequence', 'TOAST table', 'materialized view'] as const;
export type RelationKind = (typeof relationKinds)[number];

/** A relation that has files. */
export interface NamedRelation {
  readonly oid: number;
  /** As WAL has it: 1663 for pg_default, 1664 for pg_global. */
  readonly tablespaceOid: number;
  /** relfilenode; of mapped catalogues what pg_relation_filenode says. */
  readonly fileNumber: number;
  readonly kind: RelationKind;
  readonly unlogged: boolean;
  readonly schema: string;
  readonly name: string;
  /** Of an index, of a TOAST table and of its index: oid of the table. */
  readonly tableOid?: number;
}

const format = 1;
/** A name has at most 63 bytes as PostgreSQL is built, and can be built with more. */
const maxNameBytes = 4096;

/** Takes what one database has, in ascending order of tablespace and file number. */
export class DatabaseNames {
  readonly #bytes = new ByteWriter(4096);
  readonly #schemas = new Map<string, number>();
  #before: { readonly tablespaceOid: number; readonly fileNumber: number } | undefined;

  get sizeBytes(): number {
    return this.#bytes.length;
  }

  add(relation: NamedRelation): void {
    const { oid, tablespaceOid, fileNumber, tableOid } = relation;
    const before = this.#before?.tablespaceOid === tablespaceOid ? this.#before : undefined;
    this.#bytes.u8(
      relationKinds.indexOf(relation.kind) |
        (relation.unlogged ? 8 : 0) |
        (before ? 16 : 0) |
        (tableOid === undefined ? 0 : 32) |
        (oid === fileNumber ? 64 : 0),
    );
    if (!before) this.#bytes.varint(tablespaceOid);
    this.#bytes.varint(fileNumber - (before?.fileNumber ?? 0));
    if (oid !== fileNumber) this.#bytes.varint(oid);
    if (tableOid !== undefined) this.#bytes.varint(tableOid);
    this.#addSchema(relation.schema);
    this.#bytes.text(relation.name);
    this.#before = relation;
  }

  #addSchema(schema: string): void {
    const place = this.#schemas.get(schema);
    this.#bytes.varint(place ?? this.#schemas.size);
    if (place !== undefined) return;
    this.#schemas.set(schema, this.#schemas.size);
    this.#bytes.text(schema);
  }

  view(): Uint8Array {
    return this.#bytes.view();
  }
}

/** By the oid of the database, 0 for shared relations. */
export function encodeRelationNames(databases: ReadonlyMap<number, DatabaseNames>): Uint8Array {
  const whole = new ByteWriter(1024);
  whole.u8(format).varint(databases.size);
  for (const [oid, names] of databases) whole.varint(oid).varint(names.sizeBytes);
  for (const names of databases.values()) whole.bytes(names.view());
  return whole.finish();
}

/** A file's relation, with the table that it belongs to. */
export interface ResolvedRelation extends NamedRelation {
  readonly table?: { readonly schema: string; readonly name: string };
}

/** Looks names up; what a database has is decoded when it is first asked for, and that of one is kept. */
export class RelationNames {
  readonly #parts = new Map<number, Uint8Array>();
  #decoded: { readonly database: number; readonly relations: ReadonlyMap<string, ResolvedRelation> } | undefined;

  /** Throws `decode`. */
  constructor(bytes: Uint8Array) {
    const reader = new BoundedReader(bytes, 'names of relations');
    if (reader.u8() !== format) reader.fail('another format than 1');
    const count = reader.varint();
    if (count > reader.remaining) reader.fail(`${count} databases`);
    const sizes = Array.from({ length: count }, () => ({ oid: reader.varint(), bytes: reader.varint() }));
    for (const { oid, bytes: size } of sizes) this.#parts.set(oid, reader.bytes(size));
    reader.end();
  }

  /** `databaseOid` is 0 in global. Throws `decode`. */
  find(file: {
    readonly databaseOid: number;
    readonly tablespaceOid: number;
    readonly relfilenode: number;
  }): ResolvedRelation | undefined {
    const { databaseOid, tablespaceOid, relfilenode } = file;
    if (this.#decoded?.database !== databaseOid) {
      const part = this.#parts.get(databaseOid);
      this.#decoded = { database: databaseOid, relations: part ? resolve(decodePart(part)) : new Map() };
    }
    return this.#decoded.relations.get(placeOf(tablespaceOid, relfilenode));
  }
}

function placeOf(tablespaceOid: number, fileNumber: number): string {
  return `${tablespaceOid}/${fileNumber}`;
}

function resolve(relations: readonly NamedRelation[]): Map<string, ResolvedRelation> {
  const byOid = new Map(relations.map((relation) => [relation.oid, relation]));
  return new Map(
    relations.map((relation) => {
      const table = relation.tableOid === undefined ? undefined : byOid.get(relation.tableOid);
      const resolved = table ? { ...relation, table: { schema: table.schema, name: table.name } } : relation;
      return [placeOf(relation.tablespaceOid, relation.fileNumber), resolved];
    }),
  );
}

function decodePart(part: Uint8Array): NamedRelation[] {
  const reader = new BoundedReader(part, 'names of a database’s relations');
  const relations: NamedRelation[] = [];
  const schemas: string[] = [];
  let before = { tablespaceOid: 0, fileNumber: 0 };
  while (reader.remaining > 0) {
    const head = reader.u8();
    const kind = relationKinds[head & 7];
    if (kind === undefined || head > 127) return reader.fail('a relation of an unknown kind');
    const sameTablespace = (head & 16) !== 0;
    const tablespaceOid = sameTablespace ? before.tablespaceOid : reader.varint();
    const fileNumber = reader.varint() + (sameTablespace ? before.fileNumber : 0);
    before = { tablespaceOid, fileNumber };
    const oid = (head & 64) === 0 ? reader.varint() : fileNumber;
    const tableOid = (head & 32) === 0 ? undefined : reader.varint();
    const place = reader.varint();
    if (place === schemas.length) schemas.push(reader.text(maxNameBytes));
    const schema = schemas[place];
    if (schema === undefined) return reader.fail('a schema that was not named');
    relations.push({
      oid,
      tablespaceOid,
      fileNumber,
      kind,
      unlogged: (head & 8) !== 0,
      schema,
      name: reader.text(maxNameBytes),
      ...(tableOid === undefined ? {} : { tableOid }),
    });
  }
  return relations;
}

/** As an administrator would say it: `public.rental`, `index public.rental_pkey of public.rental`, `TOAST of public.rental`. */
export function describeRelation({ kind, schema, name, table }: ResolvedRelation): string {
  const own = qualifiedName({ schema, name });
  const of = table && qualifiedName(table);
  switch (kind) {
    case 'table':
    case 'materialized view':
      return own;
    case 'sequence':
      return `sequence ${own}`;
    case 'TOAST table':
      return of === undefined ? own : `TOAST of ${of}`;
    case 'index':
      if (of === undefined) return `index ${own}`;
      return schema === 'pg_toast' ? `TOAST index of ${of}` : `index ${own} of ${of}`;
  }
}

function qualifiedName({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${quoted(schema)}.${quoted(name)}`;
}

/** In quotes where PostgreSQL would read it as another name without them. */
function quoted(name: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}
