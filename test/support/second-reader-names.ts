import { Bytes, check } from './second-reader-sealed.ts';
import { list } from './second-reader-manifest.ts';

/* The second reader's names of relations: docs/repository-format.md, "Names of relations". */

export interface Named {
  readonly database: number;
  readonly tablespace: number;
  readonly file: number;
  readonly oid: number;
  readonly kind: number;
  readonly unlogged: boolean;
  readonly table: number | undefined;
  readonly schema: string;
  readonly name: string;
}

export function readNames(attachment: Buffer): Named[] {
  const reader = new Bytes(attachment);
  check(reader.u8() === 1, 'names of another format');
  const parts = list(reader, () => ({ database: reader.varint(), bytes: reader.varint() }));
  const names = parts.flatMap(({ database, bytes }) => readPart(database, new Bytes(reader.take(bytes))));
  check(reader.left === 0, 'names that are too long');
  return names;
}

function readPart(database: number, reader: Bytes): Named[] {
  const names: Named[] = [];
  const schemas: string[] = [];
  while (reader.left > 0) {
    const head = reader.u8();
    check(head < 128 && (head & 7) < 5, 'a relation of an unknown kind');
    const before = head & 16 ? names.at(-1) : undefined;
    const tablespace = before?.tablespace ?? reader.varint();
    const file = (before?.file ?? 0) + reader.varint();
    const oid = head & 64 ? file : reader.varint();
    const table = head & 32 ? reader.varint() : undefined;
    const place = reader.varint();
    if (place === schemas.length) schemas.push(reader.text());
    const schema = schemas[place];
    check(schema !== undefined, 'a schema that was not named');
    const unlogged = (head & 8) !== 0;
    names.push({ database, tablespace, file, oid, kind: head & 7, unlogged, table, schema, name: reader.text() });
  }
  return names;
}
