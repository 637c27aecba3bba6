import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../errors/pgrecall-error.ts';
import {
  DatabaseNames,
  RelationNames,
  describeRelation,
  encodeRelationNames,
  relationKinds,
  type NamedRelation,
} from './relation-names.ts';

const oid = fc.integer({ min: 1, max: 0xffff_ffff });
const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });

const relation = fc.record(
  {
    oid,
    tablespaceOid: fc.constantFrom(1663, 1664, 16_400, 0xffff_ffff),
    fileNumber: oid,
    kind: fc.constantFrom(...relationKinds),
    unlogged: fc.boolean(),
    schema: fc.oneof(fc.constantFrom('public', 'pg_catalog', 'pg_toast'), name),
    name,
    tableOid: oid,
  },
  { noNullPrototype: true, requiredKeys: ['oid', 'tablespaceOid', 'fileNumber', 'kind', 'unlogged', 'schema', 'name'] },
);

function inOrder(relations: readonly NamedRelation[]): NamedRelation[] {
  return relations.toSorted((a, b) => a.tablespaceOid - b.tablespaceOid || a.fileNumber - b.fileNumber);
}

const relations = fc
  .uniqueArray(relation, { maxLength: 30, selector: (one) => `${one.tablespaceOid}/${one.fileNumber}` })
  .map(inOrder);

const databases = fc
  .uniqueArray(fc.tuple(fc.oneof(fc.constant(0), oid), relations), { maxLength: 4, selector: ([database]) => database })
  .map((parts) => new Map(parts));

function encode(of: ReadonlyMap<number, readonly NamedRelation[]>): Uint8Array {
  const parts = new Map<number, DatabaseNames>();
  for (const [database, named] of of) {
    const names = new DatabaseNames();
    for (const one of named) names.add(one);
    parts.set(database, names);
  }
  return encodeRelationNames(parts);
}

function lookUp(names: RelationNames, database: number, { tablespaceOid, fileNumber }: NamedRelation): unknown {
  return names.find({ databaseOid: database, tablespaceOid, relfilenode: fileNumber });
}

/** Relations as tests speak of them. */
function made(changes: Partial<NamedRelation>): NamedRelation {
  const number = changes.oid ?? 16_455;
  return {
    oid: number,
    tablespaceOid: 1663,
    fileNumber: number,
    kind: 'table',
    unlogged: false,
    schema: 'public',
    name: 'rental',
    ...changes,
  };
}

describe('names of relations', () => {
  it('come back as they went in', () => {
    fc.assert(
      fc.property(databases, (all) => {
        const names = new RelationNames(encode(all));
        for (const [database, named] of all) {
          for (const one of named) {
            const { table, ...found } = (lookUp(names, database, one) ?? {}) as { table?: unknown };
            assert.deepEqual(found, one);
            const isNamed = named.some((other) => other.oid === one.tableOid);
            assert.equal(table !== undefined, isNamed);
          }
        }
      }),
    );
  });

  it('are looked up by database, tablespace and file number', () => {
    const names = new RelationNames(encode(new Map([[16_384, [made({})]]])));
    const file = { databaseOid: 16_384, tablespaceOid: 1663, relfilenode: 16_455 };
    assert.ok(names.find(file));
    for (const other of [{ databaseOid: 5 }, { databaseOid: 0 }, { tablespaceOid: 1664 }, { relfilenode: 16_456 }]) {
      assert.equal(names.find({ ...file, ...other }), undefined, JSON.stringify(other));
    }
  });

  it('are damaged where they end too early, or have a byte too many', () => {
    const bytes = encode(new Map([[5, [made({}), made({ oid: 16_460, tableOid: 16_455, kind: 'index' })]]]));
    const readAll = (some: Uint8Array): unknown =>
      new RelationNames(some).find({ databaseOid: 5, tablespaceOid: 1, relfilenode: 1 });
    readAll(bytes);
    for (let length = 0; length < bytes.length; length += 1) {
      assert.throws(
        () => readAll(bytes.subarray(0, length)),
        (error) => hasCode(error, 'decode'),
      );
    }
    assert.throws(
      () => readAll(Buffer.concat([bytes, Buffer.alloc(1)])),
      (error) => hasCode(error, 'decode'),
    );
  });

  it('whatever is wrong with them, end in a decoding error', () => {
    const bytes = encode(new Map([[5, [made({}), made({ oid: 16_460, tableOid: 16_455, schema: 'other' })]]]));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const changed = Buffer.from(bytes);
        changed[at] = value;
        try {
          new RelationNames(changed).find({ databaseOid: 5, tablespaceOid: 1663, relfilenode: 1 });
        } catch (error) {
          assert.ok(hasCode(error, 'decode'), String(error));
        }
      }),
    );
  });

  it('say what a file is to an administrator', () => {
    const table = { schema: 'public', name: 'rental' };
    const cases: [Partial<NamedRelation> & { table?: typeof table }, string][] = [
      [{}, 'public.rental'],
      [{ kind: 'materialized view' }, 'public.rental'],
      [{ schema: 'Sales', name: 'a "b"' }, '"Sales"."a ""b"""'],
      [{ kind: 'sequence', name: 'rental_id_seq' }, 'sequence public.rental_id_seq'],
      [{ kind: 'index', name: 'rental_pkey', table }, 'index public.rental_pkey of public.rental'],
      [{ kind: 'index', name: 'rental_pkey' }, 'index public.rental_pkey'],
      [{ kind: 'TOAST table', schema: 'pg_toast', name: 'pg_toast_16455', table }, 'TOAST of public.rental'],
      [{ kind: 'TOAST table', schema: 'pg_toast', name: 'pg_toast_16455' }, 'pg_toast.pg_toast_16455'],
      [{ kind: 'index', schema: 'pg_toast', name: 'pg_toast_16455_index', table }, 'TOAST index of public.rental'],
    ];
    for (const [changes, text] of cases) assert.equal(describeRelation(made(changes)), text);
  });
});
