import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { lsn } from '../postgres/lsn.ts';
import { decodeReplicationMessage, encodeStatusUpdate } from './replication-message.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

const walData = hex('77 0000000001000000 0000000001000abc 00030304d3f5a1b2 cafe');
const keepalive = hex('6b 0000001600000abc ffffffffffffffff 01');

describe('the messages of a WAL stream', () => {
  it('reads WAL with where it begins', () => {
    assert.deepEqual(decodeReplicationMessage(walData), {
      kind: 'wal',
      startLsn: lsn(0x100_0000n),
      serverEndLsn: lsn(0x100_0abcn),
      serverTime: 0x3_0304_d3f5_a1b2n,
      bytes: hex('cafe'),
    });
  });

  it('reads a keepalive, with a clock before 2000', () => {
    assert.deepEqual(decodeReplicationMessage(keepalive), {
      kind: 'keepalive',
      serverEndLsn: lsn(0x16_0000_0abcn),
      serverTime: -1n,
      replyRequested: true,
    });
  });

  it('refuses both cut off, at every byte', () => {
    for (let length = 0; length < 25; length += 1) {
      assert.throws(
        () => decodeReplicationMessage(walData.subarray(0, length)),
        (error) => hasCode(error, 'decode'),
      );
    }
    for (let length = 0; length < keepalive.length; length += 1) {
      assert.throws(
        () => decodeReplicationMessage(keepalive.subarray(0, length)),
        (error) => hasCode(error, 'decode'),
      );
    }
  });

  it('refuses a keepalive that is too long, and other letters', () => {
    for (const bytes of [Uint8Array.of(...keepalive, 0), hex('72 00'), hex('00')]) {
      assert.throws(
        () => decodeReplicationMessage(bytes),
        (error) => hasCode(error, 'decode'),
      );
    }
  });

  it('tells the server what is written, flushed and applied', () => {
    const encoded = encodeStatusUpdate({
      writtenLsn: lsn(0x300n),
      flushedLsn: lsn(0x16_0000_0200n),
      appliedLsn: lsn(0n),
      time: -2n,
      replyRequested: true,
    });
    assert.deepEqual(
      Uint8Array.from(encoded),
      hex('72 0000000000000300 0000001600000200 0000000000000000 fffffffffffffffe 01'),
    );
  });
});
