import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inflateRawSync } from 'node:zlib';
import { pageBytes, pageChecksum, readPageLsn } from './page.ts';

/*
 * Pages of a PostgreSQL 15 cluster right after initdb -k: an index's meta page, its root, a visibility map.
 * node -e 'process.stdout.write(zlib.deflateRawSync(fs.readFileSync(FILE).subarray(BLOCK * 8192, (BLOCK + 1) * 8192)).toString("base64"))'
 */
const real: readonly (readonly [file: string, block: number, pageLsn: bigint, deflated: string])[] = [
  [
    'global/2672',
    0,
    0x101_73b8n,
    '7cgxCYBQAEXR90HBFlrBFuawgj3M4+Zsmx9BQRwEZ6dzhvvgJcm2lLIeyZTa174ZkmQe2zRJSm7PvtX9+wcAAAAAAAAA/tJdOQE=',
  ],
  [
    'global/2672',
    1,
    0x175_2340n,
    '7csxDYAwAADBL5S9DtoEhGAKBQipEYZKQAISkEDC1IGV7W/74QHWeQvHDgst3zkWgKsWzlpo9U1JkiRJkiRJkiRJkvSzkcTU9UAidh1IhM8PHg==',
  ],
  ['global/1262_vm', 0, 0x174_80c0n, '7cHBCYBAEACxESzintujfgVLu9KsQ0hStd/7uJ5aNc05AQAAAAAAAAC/8gE='],
];

describe('a page', () => {
  for (const [file, block, pageLsn, deflated] of real) {
    const page = inflateRawSync(Buffer.from(deflated, 'base64'));

    it(`of a server carries the checksum that we compute: block ${block} of ${file}`, () => {
      assert.equal(page.length, pageBytes);
      assert.equal(pageChecksum(page, block), page.readUInt16LE(8));
      assert.equal(readPageLsn(page), pageLsn);
    });

    it(`has another checksum where it is in another place than block ${block} of ${file}`, () => {
      for (const other of [block + 1, block + 2, block ^ 0x8000, 131_072]) {
        assert.notEqual(pageChecksum(page, other), page.readUInt16LE(8));
      }
    });
  }

  it('has another checksum wherever a bit flips', () => {
    const page = inflateRawSync(Buffer.from(real[0]?.[3] ?? '', 'base64'));
    const stored = page.readUInt16LE(8);
    for (let byte = 0; byte < pageBytes; byte += byte < 64 ? 1 : 61) {
      if (byte === 8 || byte === 9) continue;
      for (let bit = 0; bit < 8; bit += 1) {
        page[byte]! ^= 1 << bit;
        assert.notEqual(pageChecksum(page, 0), stored, `bit ${bit} of byte ${byte}`);
        page[byte]! ^= 1 << bit;
      }
    }
  });

  it('has the same checksum whatever checksum it carries, and wherever it lies in memory', () => {
    const page = inflateRawSync(Buffer.from(real[0]?.[3] ?? '', 'base64'));
    const expected = page.readUInt16LE(8);
    const memory = Buffer.alloc(pageBytes + 3);
    page.copy(memory, 3);
    memory.writeUInt16LE(0xabcd, 3 + 8);
    assert.equal(pageChecksum(memory.subarray(3), 0), expected);
    assert.equal(readPageLsn(memory, 3), readPageLsn(page));
  });

  it('is never given the checksum 0, which says that there is none', () => {
    const page = Buffer.alloc(pageBytes);
    for (let block = 0; block < 70_000; block += 7) {
      const checksum = block % 700 === 0 ? pageChecksum(page, block) : 1;
      assert.ok(checksum >= 1 && checksum <= 0xffff);
    }
  });
});
