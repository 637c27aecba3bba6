import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../errors/pgrecall-error.ts';
import type { LoadEntry } from './load-entry.ts';
import { findNamedEntries } from './name-entries.ts';

function relation(schema: string, tag: string, dumpId = 1, kind = 'TABLE'): LoadEntry {
  return {
    ...{ dumpId, kind, schema, tag, owner: undefined, tablespace: undefined, dependencies: [], file: undefined },
    ...{ section: 'pre-data' as const, hasData: false, dataBytes: undefined, grantees: [] },
  };
}
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const names = fc.string({ minLength: 1, maxLength: 8, unit: fc.constantFrom(...'ab.".*\n é고'.split('')) });

describe('--only', () => {
  it('finds exactly the relation whose name is given in quotes, whatever is in it', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(names, names), { minLength: 1, selector: String }), (pairs) => {
        const entries = pairs.map(([schema, tag], index) => relation(schema, tag, index + 1));
        for (const entry of entries) {
          const isNamed = findNamedEntries([`${quoted(entry.schema ?? '')}.${quoted(entry.tag)}`], entries);
          const found = entries.filter(isNamed);
          assert.deepEqual(
            found.map(({ schema, tag }) => [schema, tag]),
            entries
              .filter(({ schema, tag }) => schema === entry.schema && tag === entry.tag)
              .map(({ schema, tag }) => [schema, tag]),
          );
        }
      }),
    );
  });

  it('takes a schema with all that is in it, and a relation with its rows', () => {
    const entries = [
      relation('a', 'film'),
      relation('a', 'film', 2, 'TABLE DATA'),
      relation('b', 'film', 3),
      relation('b', 'f(integer)', 4, 'FUNCTION'),
    ];
    const find = (...words: readonly string[]): number[] =>
      entries.filter(findNamedEntries(words, entries)).map(({ dumpId }) => dumpId);
    assert.deepEqual(find('a.film'), [1, 2]);
    assert.deepEqual(find('b'), [3, 4]);
    assert.deepEqual(find('b.*'), [3, 4]);
    assert.deepEqual(find('b', 'a.film'), [1, 2, 3, 4]);
  });

  it('refuses what is unknown with the nearest, and what may be several things with all of them', () => {
    const entries = [relation('a', 'film'), relation('b', 'film', 2), relation('c', 'a', 3)];
    const refusal = (word: string, pattern: RegExp): void =>
      assert.throws(
        () => findNamedEntries([word], entries),
        (error) => hasCode(error, 'object-unknown') && pattern.test(`${error.message} ${error.hint}`),
      );
    refusal('flim', /no table or schema "flim" did you mean "film"/);
    refusal('film', /a\.film or b\.film/);
    refusal('a', /a\.\* or c\.a/);
    refusal('"a', /no table or schema/);
    refusal('', /no table or schema/);
  });
});
