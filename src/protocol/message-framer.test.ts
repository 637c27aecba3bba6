import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { hasCode } from '../errors/pgrecall-error.ts';
import { encodeCopyData, encodeCopyDone, encodeQuery, encodeTerminate } from './frontend-message.ts';
import { describeType, MessageFramer, messageLimitBytes, type BackendMessage } from './message-framer.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

const plain = (messages: readonly BackendMessage[]): [string, string][] =>
  messages.map(({ type, body }) => [String.fromCharCode(type), Buffer.from(body).toString('hex')]);

// CopyData 'abc', CopyDone, ReadyForQuery idle.
const threeMessages = hex('64 00000007 616263  63 00000004  5a 00000005 49');
const threeExpected = [
  ['d', '616263'],
  ['c', ''],
  ['Z', '49'],
];

describe('cutting the server’s bytes into messages', () => {
  it('finds messages that come together', () => {
    assert.deepEqual(plain(new MessageFramer().push(threeMessages)), threeExpected);
  });

  it('finds them when they come one byte at a time', () => {
    const framer = new MessageFramer();
    const found = Array.from(threeMessages, (byte) => framer.push(Uint8Array.of(byte))).flat();
    assert.deepEqual(plain(found), threeExpected);
    assert.equal(framer.idle, true);
  });

  it('finds them wherever the bytes are split in two', () => {
    for (let at = 0; at <= threeMessages.length; at += 1) {
      const framer = new MessageFramer();
      const found = [...framer.push(threeMessages.subarray(0, at)), ...framer.push(threeMessages.subarray(at))];
      assert.deepEqual(plain(found), threeExpected, `split at ${at}`);
    }
  });

  it('hands on no message that is not whole, at every truncation', () => {
    const ends = [8, 13, 19];
    for (let length = 0; length < threeMessages.length; length += 1) {
      const framer = new MessageFramer();
      const found = framer.push(threeMessages.subarray(0, length));
      assert.equal(found.length, ends.filter((end) => end <= length).length, `${length} bytes`);
      assert.equal(framer.idle, length === 0 || ends.includes(length), `${length} bytes`);
    }
  });

  it('refuses lengths that no message has', () => {
    const tooLong = (messageLimitBytes + 5).toString(16).padStart(8, '0');
    for (const length of ['00000000', '00000003', 'ffffffff', '7fffffff', tooLong]) {
      assert.throws(
        () => new MessageFramer().push(hex(`64 ${length}`)),
        (error) => hasCode(error, 'decode'),
        length,
      );
    }
  });

  it('gives back what was sent, however it is split', () => {
    const messages = fc.array(fc.tuple(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 300 })), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(messages, fc.array(fc.integer({ min: 1, max: 97 }), { minLength: 1 }), (sent, steps) => {
        const stream = Buffer.concat(
          sent.map(([type, body]) => {
            const header = Buffer.alloc(5);
            header.writeUInt8(type);
            header.writeUInt32BE(body.length + 4, 1);
            return Buffer.concat([header, body]);
          }),
        );
        const framer = new MessageFramer();
        const found: BackendMessage[] = [];
        for (let at = 0, step = 0; at < stream.length; step += 1) {
          const length = steps[step % steps.length] ?? 1;
          found.push(...framer.push(stream.subarray(at, at + length)));
          at += length;
        }
        assert.deepEqual(
          found.map(({ type, body }) => [type, Buffer.from(body).toString('hex')]),
          sent.map(([type, body]) => [type, Buffer.from(body).toString('hex')]),
        );
      }),
    );
  });

  it('names a type by its letter where it has one', () => {
    assert.deepEqual([describeType(0x77), describeType(0), describeType(undefined)], ["'w'", '0', 'none']);
  });
});

describe('our own messages', () => {
  const table: readonly [string, Buffer, string][] = [
    ['a query', encodeQuery('SHOW x'), '51 0000000b 53484f5720 78 00'],
    ['copy data', encodeCopyData(hex('0102')), '64 00000006 0102'],
    ['the end of our copy', encodeCopyDone(), '63 00000004'],
    ['goodbye', encodeTerminate(), '58 00000004'],
  ];
  for (const [what, encoded, expected] of table) {
    it(`encodes ${what}`, () => assert.deepEqual(Uint8Array.from(encoded), hex(expected)));
  }
});
