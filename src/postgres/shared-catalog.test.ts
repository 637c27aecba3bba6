import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { namesInHeap, parseRelationMap, placeOfStatus } from './shared-catalog.ts';

interface Row {
  readonly oid: number;
  readonly name: string;
  readonly xmin?: number;
  readonly xmax?: number;
  readonly infomask?: number;
  /** Of its line pointer; 1 for a row. */
  readonly state?: number;
}

/** One page of a heap. */
function heap(rows: readonly Row[]): Buffer {
  const page = Buffer.alloc(8192);
  let at = 8192;
  for (const [i, { oid, name, xmin = 700, xmax = 0, infomask = 0x0100, state = 1 }] of rows.entries()) {
    at -= 128;
    page.writeUInt32LE((at | (state << 15) | (96 << 17)) >>> 0, 24 + i * 4);
    page.writeUInt32LE(xmin, at);
    page.writeUInt32LE(xmax, at + 4);
    page.writeUInt16LE(infomask, at + 20);
    page.writeUInt8(24, at + 22);
    page.writeUInt32LE(oid, at + 24);
    page.write(name, at + 28);
  }
  page.writeUInt16LE(24 + rows.length * 4, 12);
  return page;
}

const names = (rows: readonly Row[], committed: readonly number[] = []): string[] =>
  namesInHeap(heap(rows), (xid) => committed.includes(xid)).map(({ oid, name }) => `${oid} ${name}`);

describe('names in a shared catalog', () => {
  const rows: readonly (readonly [string, Omit<Row, 'oid' | 'name'>, boolean])[] = [
    ['made, and said to be', { infomask: 0x0100 }, true],
    ['frozen', { infomask: 0x0300, xmin: 3 }, true],
    ['made by initdb', { infomask: 0, xmin: 1 }, true],
    ['made by who committed', { infomask: 0, xmin: 800 }, true],
    ['made by who did not', { infomask: 0, xmin: 801 }, false],
    ['known to be made by who did not', { infomask: 0x0200, xmin: 800 }, false],
    ['removed, and said to be', { infomask: 0x0500, xmax: 801 }, false],
    ['removed by who committed', { infomask: 0x0100, xmax: 800 }, false],
    ['removed by who did not', { infomask: 0x0100, xmax: 801 }, true],
    ['known not to be removed', { infomask: 0x0900, xmax: 800 }, true],
    ['locked', { infomask: 0x0180, xmax: 800 }, true],
    ['dead', { state: 3 }, false],
    ['redirected', { state: 2 }, false],
  ];
  for (const [what, row, expected] of rows) {
    it(`${expected ? 'are' : 'are not'} those of a row that is ${what}`, () => {
      assert.deepEqual(names([{ oid: 16_384, name: 'shop', ...row }], [800]), expected ? ['16384 shop'] : []);
    });
  }

  it('are read to the zero behind them, by number', () => {
    const long = 'n'.repeat(63);
    assert.deepEqual(
      names([
        { oid: 20_000, name: '상점' },
        { oid: 5, name: long },
      ]),
      [`5 ${long}`, '20000 상점'],
    );
  });

  it('are none of pages that are empty or make no sense', () => {
    assert.deepEqual(
      namesInHeap(new Uint8Array(8192), () => true),
      [],
    );
    assert.deepEqual(
      namesInHeap(Buffer.alloc(8192, 0xff), () => true),
      [],
    );
    assert.deepEqual(
      namesInHeap(heap([{ oid: 1, name: 'cut' }]).subarray(0, 8000), () => true),
      [],
    );
  });
});

describe('pg_filenode.map', () => {
  const map = Buffer.alloc(512);
  map.writeUInt32LE(0x592717, 0);
  map.writeUInt32LE(2, 4);
  for (const [i, value] of [1262, 1262, 1213, 16_400].entries()) map.writeUInt32LE(value, 8 + i * 4);

  it('says which file a catalog is', () => {
    assert.deepEqual(
      [...parseRelationMap(map)],
      [
        [1262, 1262],
        [1213, 16_400],
      ],
    );
  });

  it('is refused where it is something else', () => {
    for (const change of [
      (bytes: Buffer) => bytes.writeUInt32LE(1, 0),
      (bytes: Buffer) => bytes.writeUInt32LE(999, 4),
    ]) {
      const bytes = Buffer.from(map);
      change(bytes);
      assert.throws(
        () => parseRelationMap(bytes),
        (error) => hasCode(error, 'decode'),
      );
    }
  });
});

it('pg_xact has two bits of each transaction', () => {
  assert.deepEqual(placeOfStatus(0), { file: '0000', offset: 0, shift: 0 });
  assert.deepEqual(placeOfStatus(703), { file: '0000', offset: 175, shift: 6 });
  assert.deepEqual(placeOfStatus(1_048_577), { file: '0001', offset: 0, shift: 2 });
  assert.deepEqual(placeOfStatus(0xffff_ffff), { file: '0FFF', offset: 262_143, shift: 6 });
});
