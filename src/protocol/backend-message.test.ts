import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import {
  decodeColumnNames,
  decodeCommandTag,
  decodeParameterStatus,
  decodeRow,
  decodeServerReport,
  unexpectedMessage,
} from './backend-message.ts';

const latin = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'utf8'));

const report = latin('SFEHLER\0VERROR\0C58P01\0Mrequested WAL segment 01 has already been removed\0Hfetch it\0\0');

const columns = ((): Uint8Array => {
  const writer = new ByteWriter().u8(0).u8(2);
  for (const name of ['systemid', 'größe']) writer.bytes(latin(`${name}\0`)).bytes(new Uint8Array(18));
  return writer.finish();
})();

const row = new ByteWriter().u8(0).u8(3).u32BE(3).bytes(latin('abc')).u32BE(0xffff_ffff).u32BE(0).finish();

describe('what the server says', () => {
  it('reads an error’s fields, its severity as it is in every language', () => {
    assert.deepEqual(decodeServerReport(report), {
      severity: 'ERROR',
      sqlState: '58P01',
      message: 'requested WAL segment 01 has already been removed',
      detail: undefined,
      hint: 'fetch it',
    });
  });

  it('reads the names of columns', () => {
    assert.deepEqual(decodeColumnNames(columns), ['systemid', 'größe']);
  });

  it('tells null from an empty value in a row', () => {
    const [first, second, third] = decodeRow(row);
    assert.equal(Buffer.from(first ?? []).toString(), 'abc');
    assert.equal(second, undefined);
    assert.equal(third?.length, 0);
  });

  it('reads tags and parameters', () => {
    assert.equal(decodeCommandTag(latin('COPY 0\0')), 'COPY 0');
    assert.deepEqual(decodeParameterStatus(latin('server_version\x0018.4\0')), {
      name: 'server_version',
      value: '18.4',
    });
  });

  const decoders: readonly [string, (body: Uint8Array) => unknown, Uint8Array][] = [
    ['an error', decodeServerReport, report],
    ['columns', decodeColumnNames, columns],
    ['a row', decodeRow, row],
    ['a tag', decodeCommandTag, latin('COPY 0\0')],
    ['a parameter', decodeParameterStatus, latin('a\0b\0')],
  ];
  for (const [what, decode, whole] of decoders) {
    it(`refuses ${what} that is cut off or goes on, at every byte`, () => {
      for (let length = 0; length < whole.length; length += 1) {
        assert.throws(
          () => decode(whole.subarray(0, length)),
          (error) => hasCode(error, 'decode'),
          `${length}`,
        );
      }
      assert.throws(
        () => decode(Uint8Array.of(...whole, 0)),
        (error) => hasCode(error, 'decode'),
      );
    });
  }

  it('names a message that has no place', () => {
    assert.throws(() => unexpectedMessage(0x47, 'the WAL stream'), /the WAL stream: an unexpected message of type 'G'/);
  });
});
