import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { encodeCopyData } from '../protocol/frontend-message.ts';
import { ReplicationChannel } from './replication-channel.ts';

/** A connection without a network: `arrive` is what the server sends, `sent` what we do. */
class Wire extends Duplex {
  readonly sent: Buffer[] = [];

  constructor() {
    super({ readableHighWaterMark: 64 * 1024 * 1024 });
  }

  arrive(bytes: Uint8Array): void {
    this.push(bytes);
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.sent.push(chunk);
    done();
  }
}

const setUp = (): { wire: Wire; channel: ReplicationChannel } => {
  const wire = new Wire();
  return { wire, channel: new ReplicationChannel(wire) };
};

const isLost = (error: unknown): boolean => hasCode(error, 'connection');

describe('the messages of a replication connection', () => {
  it('are taken together when they come together', async () => {
    const { wire, channel } = setUp();
    const taken = channel.takeAll(10_000);
    for (const byte of [1, 2, 3]) wire.arrive(encodeCopyData(Uint8Array.of(byte)));
    assert.deepEqual(
      (await taken).map(({ body }) => body[0]),
      [1, 2, 3],
    );
  });

  it('wake nobody before one is whole', async () => {
    const { wire, channel } = setUp();
    const taken = channel.takeAll(10_000);
    for (const byte of encodeCopyData(Uint8Array.of(7, 8))) wire.arrive(Uint8Array.of(byte));
    assert.deepEqual(
      (await taken).map(({ body }) => Array.from(body)),
      [[7, 8]],
    );
  });

  it('are not waited for longer than asked', async () => {
    const { channel } = setUp();
    assert.deepEqual(await channel.takeAll(1), []);
    assert.deepEqual(await channel.takeAll(60_000, AbortSignal.abort()), []);
    const controller = new AbortController();
    const taken = channel.takeAll(60_000, controller.signal);
    controller.abort();
    assert.deepEqual(await taken, []);
  });

  it('that came before the connection was lost are still taken', async () => {
    const { wire, channel } = setUp();
    wire.arrive(encodeCopyData(Uint8Array.of(1)));
    wire.push(null);
    assert.equal((await channel.take()).body[0], 1);
    await assert.rejects(channel.take(), isLost);
    await assert.rejects(channel.takeAll(10_000), isLost);
  });

  it('end a waiting take when the connection breaks', async () => {
    const { wire, channel } = setUp();
    const taken = channel.take();
    wire.destroy(new Error('ECONNRESET'));
    await assert.rejects(taken, /ECONNRESET/);
  });

  it('that cannot be messages end the connection', async () => {
    const { wire, channel } = setUp();
    wire.arrive(Uint8Array.of(0x64, 0, 0, 0, 1));
    await assert.rejects(channel.take(), (error) => hasCode(error, 'decode'));
    assert.equal(wire.destroyed, true);
  });

  it('hold the server back when they are not taken', async () => {
    const { wire, channel } = setUp();
    const message = encodeCopyData(new Uint8Array(1024 * 1024));
    for (let count = 0; count < 12; count += 1) wire.arrive(message);
    const first = await channel.takeAll(10_000);
    // Taken once, then read on: never much more than the limit at a time.
    assert.ok(first.length >= 4 && first.length < 8, `${first.length} MiB were gathered`);
    let count = first.length;
    while (count < 12) count += (await channel.takeAll(10_000)).length;
    assert.equal(wire.isPaused(), false);
  });

  it('keep their order when some are put back', async () => {
    const { wire, channel } = setUp();
    for (const byte of [1, 2, 3]) wire.arrive(encodeCopyData(Uint8Array.of(byte)));
    const messages = await channel.takeAll(10_000);
    channel.putBack(messages.slice(1));
    assert.deepEqual([(await channel.take()).body[0], (await channel.take()).body[0]], [2, 3]);
  });

  it('about parameters and notices are kept out of the way', async () => {
    const { wire, channel } = setUp();
    wire.arrive(Buffer.from('S\0\0\0\x18server_version\x0018.4\0', 'latin1'));
    wire.arrive(Buffer.from('N\0\0\0\x0bMhint\0\0', 'latin1'));
    wire.arrive(encodeCopyData(Uint8Array.of(9)));
    assert.equal((await channel.take()).body[0], 9);
    assert.equal(channel.parameter('server_version'), '18.4');
  });

  it('say goodbye', async () => {
    const { wire, channel } = setUp();
    channel.close(Uint8Array.of(0x58));
    assert.deepEqual(
      wire.sent.map((bytes) => Array.from(bytes)),
      [[0x58]],
    );
    await assert.rejects(channel.take(), isLost);
  });
});
