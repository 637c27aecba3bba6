import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { dumpFormats } from '../repository/dump-facts.ts';
import { planDumpExport } from './export-dump-plan.ts';
import { digitsFor } from './part-output.ts';

const named = (name: string, oid: number): { oid: number; name: string; sizeBytes: number; encoding: string } => ({
  oid,
  name,
  sizeBytes: 0,
  encoding: 'UTF8',
});

describe('files of an exported dump', () => {
  it('have names that differ, and lead nowhere else, whatever the databases are called', () => {
    const name = fc.string({
      minLength: 1,
      maxLength: 63,
      unit: fc.constantFrom('/', '.', '-', '%', '\n', 'ö', 'a', '2'),
    });
    fc.assert(
      fc.property(
        fc.constantFrom(...dumpFormats),
        fc.uniqueArray(fc.oneof(name, fc.constantFrom('globals', '..', '.', 'globals-2')), { maxLength: 8 }),
        fc.boolean(),
        (format, names, globals) => {
          const plan = planDumpExport({ format }, names.map(named), globals);
          const files = plan.map((one) => one.name);
          assert.equal(new Set(files).size, names.length + (globals ? 1 : 0));
          // eslint-disable-next-line no-control-regex
          for (const file of files) assert.doesNotMatch(file, /[/\u0000-\u001F]|^[.-]/);
        },
      ),
    );
  });

  it('tell the database where that is possible', () => {
    const plan = planDumpExport(
      { format: 'plain' },
      [named('globals', 1), named('日本 shop', 2), named('../x', 3)],
      true,
    );
    assert.deepEqual(
      plan.map((one) => one.name),
      ['globals-2.sql', '日本 shop.sql', '%2E.%2Fx.sql', 'globals.sql'],
    );
  });
});

describe('numbers of parts', () => {
  it('have digits for the last one, also where nothing can be compressed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 40 }), fc.integer({ min: 1000, max: 2 ** 31 }), (most, part) => {
        const last = Math.ceil((most + most / 1000 + 20) / part);
        assert.ok(String(last).length <= digitsFor(most, part));
      }),
    );
  });
});
