import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatTablespaceMap, parseTablespaceMap, type TablespaceLink } from './tablespace-map.ts';

const known: readonly (readonly [string, string, readonly TablespaceLink[]])[] = [
  ['none', '', []],
  ['one', '16384 /mnt/fast\n', [{ oid: 16_384, path: '/mnt/fast' }]],
  [
    'two',
    '16384 /mnt/fast\n16385 /mnt/big disk\n',
    [
      { oid: 16_384, path: '/mnt/fast' },
      { oid: 16_385, path: '/mnt/big disk' },
    ],
  ],
  ['a line break in a path', '16384 /mnt/a\\\nb\n', [{ oid: 16_384, path: '/mnt/a\nb' }]],
  ['a carriage return in a path', '16384 /mnt/a\\\rb\n', [{ oid: 16_384, path: '/mnt/a\rb' }]],
  ['a backslash in a path, and at its end', '16384 /mnt/a\\\\b\\\\\n', [{ oid: 16_384, path: '/mnt/a\\b\\' }]],
  ['spaces at both ends of a path', '4294967295  /mnt/x \n', [{ oid: 4_294_967_295, path: ' /mnt/x ' }]],
  ['letters of every kind', '16384 /자료/ä𝄞\n', [{ oid: 16_384, path: '/자료/ä𝄞' }]],
];

describe('tablespace_map', () => {
  for (const [what, text, links] of known) {
    it(`with ${what} is read and written`, () => {
      assert.deepEqual(parseTablespaceMap(text), links);
      assert.equal(formatTablespaceMap(links), text);
    });
  }

  it('may have come through a system that ends lines with two characters', () => {
    assert.deepEqual(parseTablespaceMap('16384 /a\r\n16385 /b\r\n'), [
      { oid: 16_384, path: '/a' },
      { oid: 16_385, path: '/b' },
    ]);
  });

  it('is refused where it is cut: half a path leads elsewhere', () => {
    const text = '16384 /mnt/fa\\\nst\n16385 /mnt/big\\\\\n';
    for (let cut = 0; cut < text.length; cut += 1) {
      const part = text.slice(0, cut);
      const whole = part === '' || part === '16384 /mnt/fa\\\nst\n';
      if (whole) assert.equal(parseTablespaceMap(part).length, cut === 0 ? 0 : 1);
      else assert.throws(() => parseTablespaceMap(part), { code: 'decode' }, `cut at ${cut}`);
    }
  });

  it('is refused where a line is something else', () => {
    for (const line of [
      '16384',
      '16384 ',
      ' /mnt',
      'x /mnt',
      '-1 /mnt',
      '0 /mnt',
      '0x10 /mnt',
      '16384\t/mnt',
      '4294967296 /mnt',
    ]) {
      assert.throws(() => parseTablespaceMap(`${line}\n`), { code: 'decode' }, line);
    }
  });

  it('is read or refused, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'016 /\\\n\rab') }), (text) => {
        try {
          const links = parseTablespaceMap(text);
          assert.deepEqual(parseTablespaceMap(formatTablespaceMap(links)), links);
        } catch (error) {
          assert.ok(error instanceof PgrecallError && error.code === 'decode');
        }
      }),
    );
  });

  it('is what it was after being written and read', () => {
    const path = fc.oneof(
      fc.string({ minLength: 1 }),
      fc.string({ unit: fc.constantFrom(...'\\\n\r/ a'), minLength: 1 }),
    );
    const links = fc.array(
      fc.record({ oid: fc.integer({ min: 1, max: 0xffff_ffff }), path }, { noNullPrototype: true }),
    );
    fc.assert(fc.property(links, (list) => assert.deepEqual(parseTablespaceMap(formatTablespaceMap(list)), list)));
  });
});
