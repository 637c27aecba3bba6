import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { chooseEntries } from './choose-entries-plan.ts';
import { relationKinds, type LoadEntry } from './load-entry.ts';

function entry(
  dumpId: number,
  kind: string,
  tag: string,
  dependencies: readonly number[] = [],
  schema = 'public',
): LoadEntry {
  return {
    ...{ dumpId, kind, schema, tag, dependencies, owner: undefined, tablespace: undefined, file: undefined },
    ...{ section: 'pre-data' as const, hasData: false, dataBytes: undefined, grantees: [] },
  };
}

/** In the order of a table of contents: what an entry depends on mostly comes before it. */
const shop = [
  entry(1, 'TYPE', 'mood'),
  entry(2, 'FUNCTION', 'stamp()'),
  entry(3, 'TABLE', 'film', [1]),
  entry(4, 'ACL', 'TABLE film', [3]),
  entry(5, 'SEQUENCE', 'film_id_seq', [3]),
  entry(6, 'SEQUENCE OWNED BY', 'film_id_seq', [5]),
  entry(7, 'TABLE', 'rent'),
  entry(8, 'VIEW', 'seen', [3]),
  entry(9, 'DEFAULT', 'film id', [5, 3]),
  entry(10, 'TABLE DATA', 'film', [3]),
  entry(11, 'TABLE DATA', 'rent', [7]),
  entry(12, 'SEQUENCE SET', 'film_id_seq', [5]),
  entry(13, 'CONSTRAINT', 'film film_pkey', [3]),
  entry(14, 'INDEX', 'film_m', [3]),
  entry(15, 'COMMENT', 'INDEX film_m', [14]),
  entry(16, 'TRIGGER', 'film tr', [2, 3]),
  entry(17, 'FK CONSTRAINT', 'rent rent_film', [13, 7, 3]),
  entry(18, 'TABLE', 'film too', [1]),
  entry(19, 'CONSTRAINT', 'film too too_check', [18]),
  entry(20, 'DEFAULT', 'rent film_id', [5, 7]),
];
const choose = (...tags: readonly string[]): ReturnType<typeof chooseEntries> =>
  chooseEntries(shop, ({ kind, tag }) => relationKinds.has(kind) && tags.includes(tag));

describe('what is chosen from a table of contents', () => {
  it('is a table with its parts and its needs, and nothing of others', () => {
    const { ids, needed, leftOut, lacking } = choose('film');
    assert.deepEqual(
      [...ids].toSorted((a, b) => a - b),
      [1, 2, 3, 4, 5, 6, 9, 10, 12, 13, 14, 15, 16],
    );
    assert.deepEqual(needed.map(({ tag }) => tag).toSorted(), ['mood', 'stamp()']);
    assert.deepEqual([leftOut, lacking], [[], []]);
  });

  it('leaves out a foreign key to what is not, and a sequence’s owner that is another table', () => {
    const { ids, needed, leftOut, lacking } = choose('rent');
    assert.deepEqual(
      [...ids].toSorted((a, b) => a - b),
      [5, 7, 11, 12, 20],
    );
    assert.deepEqual(
      [needed.map(({ tag }) => tag), leftOut.map(({ tag }) => tag)],
      [['film_id_seq'], ['rent rent_film']],
    );
    assert.deepEqual(lacking, []);
    assert.ok(choose('rent', 'film').ids.has(17));
  });

  it('tells a table from one whose name begins alike, and what a view lacks', () => {
    assert.deepEqual(
      [...choose('film too').ids].toSorted((a, b) => a - b),
      [1, 18, 19],
    );
    const { lacking } = choose('seen');
    assert.deepEqual(
      lacking.map(({ relation, for: view }) => [relation.tag, view.tag]),
      [['film', 'seen']],
    );
    assert.deepEqual(choose('seen', 'film').lacking, []);
  });

  it('needs nothing that is at the target', () => {
    const { ids, needed, leftOut } = chooseEntries(
      shop,
      ({ dumpId }) => dumpId === 7,
      ({ dumpId }) => dumpId !== 7,
    );
    assert.deepEqual(
      [...ids].toSorted((a, b) => a - b),
      [7, 11, 17, 20],
    );
    assert.deepEqual([needed, leftOut], [[], []]);
  });

  it('has all that it refers to, or says what it lacks, however the entries depend on each other', () => {
    const kinds = [
      'TABLE',
      'VIEW',
      'SEQUENCE',
      'TYPE',
      'FUNCTION',
      'INDEX',
      'FK CONSTRAINT',
      'ACL',
      'TABLE DATA',
      'DEFAULT',
    ];
    const graph = fc.array(
      fc.record({
        kind: fc.constantFrom(...kinds),
        tag: fc.constantFrom('a', 'b', 'a b', 'b a'),
        dependencies: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 3 }),
        root: fc.boolean(),
      }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(graph, (drawn) => {
        const entries = drawn.map(({ kind, tag, dependencies }, index) => entry(index + 1, kind, tag, dependencies));
        const byId = new Map(entries.map((one) => [one.dumpId, one]));
        const isRoot = ({ dumpId, kind }: LoadEntry): boolean =>
          relationKinds.has(kind) && drawn[dumpId - 1]?.root === true;
        const { ids, needed, leftOut, lacking } = chooseEntries(entries, isRoot);
        const told = new Set(lacking.map(({ relation }) => relation.dumpId));
        for (const one of entries) {
          if (isRoot(one)) assert.ok(ids.has(one.dumpId), 'what is named is there');
          if (!ids.has(one.dumpId)) continue;
          for (const other of one.dependencies.flatMap((id) => byId.get(id) ?? [])) {
            const isTable = ['TABLE', 'VIEW'].includes(other.kind);
            if (['TYPE', 'FUNCTION'].includes(other.kind))
              assert.ok(ids.has(other.dumpId), 'types and functions come along');
            if (isTable && ['TABLE', 'VIEW', 'FUNCTION', 'TYPE'].includes(one.kind)) {
              assert.ok(ids.has(other.dumpId) || told.has(other.dumpId), 'a table that is not there is told');
            }
            if (isTable && one.kind === 'FK CONSTRAINT') assert.ok(ids.has(other.dumpId));
          }
          if (['TABLE', 'VIEW'].includes(one.kind)) assert.ok(isRoot(one), 'no table comes unasked');
        }
        for (const { dumpId } of [...leftOut, ...lacking.map(({ relation }) => relation)]) assert.ok(!ids.has(dumpId));
        for (const { dumpId } of needed) assert.ok(ids.has(dumpId));
      }),
    );
  });
});
