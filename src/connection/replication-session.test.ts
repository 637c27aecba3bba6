import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { lsn } from '../postgres/lsn.ts';
import { timeline } from '../postgres/timeline.ts';
import { decodeSystemIdentity } from '../protocol/replication-result.ts';
import { ReplicationSession } from './replication-session.ts';
import { sqlStateOf } from './server-refusal.ts';
import type { WalStream } from './wal-stream.ts';

/*
 * A server that answers from a script, so that what real servers do rarely can be seen at will. What real ones
 * do is in test/scenario/receiving.test.ts.
 */

const message = (type: string, body: Uint8Array | string): Buffer => {
  const bytes = Buffer.from(body as string, 'latin1');
  return new ByteWriter()
    .u8(type.charCodeAt(0))
    .u32BE(4 + bytes.length)
    .bytes(bytes)
    .finish();
};
const ready = message('Z', 'I');
const refusal = (state: string, text: string, severity = 'ERROR'): Buffer =>
  message('E', `V${severity}\0C${state}\0M${text}\0\0`);
const rows = (columns: Readonly<Record<string, string>>): Buffer => {
  const names = new ByteWriter().u8(0).u8(Object.keys(columns).length);
  for (const name of Object.keys(columns)) names.bytes(Buffer.from(`${name}\0`)).bytes(new Uint8Array(18));
  const values = new ByteWriter().u8(0).u8(Object.keys(columns).length);
  for (const value of Object.values(columns)) values.u32BE(value.length).bytes(Buffer.from(value));
  return Buffer.concat([message('T', names.finish()), message('D', values.finish()), message('C', 'SELECT\0')]);
};
const copyBoth = message('W', '\0\0\0');
const wal = (start: bigint, bytes: string): Buffer =>
  message('d', new ByteWriter().u8(0x77).u64BE(start).u64BE(start).u64BE(0n).bytes(Buffer.from(bytes)).finish());
const keepalive = message('d', new ByteWriter().u8(0x6b).u64BE(0x500n).u64BE(0n).u8(1).finish());
const copyDone = message('c', '');

const root = mkdtempSync(join(tmpdir(), 'pgrecall-session-'));
const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
  rmSync(root, { recursive: true, force: true });
});

/** Answers the n-th message of the client with the n-th entry; an entry of null ends the connection. */
async function serve(script: readonly (Buffer | null)[], startup?: Buffer): Promise<string> {
  const directory = mkdtempSync(join(root, 's'));
  const server = createServer((socket: Socket) => {
    let step = -1;
    socket.on('error', () => undefined);
    socket.on('data', () => {
      if (step < 0) {
        socket.write(startup ?? Buffer.concat([message('R', '\0\0\0\0'), ready]));
      } else {
        const answer = script[step];
        if (answer) for (const byte of answer) socket.write(Uint8Array.of(byte));
        if (answer === null) socket.end();
      }
      step += 1;
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(join(directory, '.s.PGSQL.5432'), resolve);
  });
  return `postgresql://someone:geheim@/postgres?host=${encodeURIComponent(directory)}`;
}

const connect = async (script: readonly (Buffer | null)[], startup?: Buffer): Promise<ReplicationSession> =>
  ReplicationSession.connect({ connection: await serve(script, startup), applicationName: 'pgrecall_test' });

const start = { slot: 'pgrecall_test', startLsn: lsn(0x100n), timeline: timeline(1) };

async function streaming(session: ReplicationSession): Promise<WalStream> {
  const started = await session.startReplication(start);
  assert.equal(started.kind, 'streaming');
  return started.stream;
}

describe('a replication session', () => {
  it('runs a command', async () => {
    const identity = rows({ systemid: '123', timeline: '1', xlogpos: '0/100' });
    using session = await connect([Buffer.concat([identity, ready])]);
    assert.equal(decodeSystemIdentity(await session.command('IDENTIFY_SYSTEM')).positionLsn, lsn(0x100n));
  });

  it('tells what the server refused, and takes the next command', async () => {
    using session = await connect([
      Buffer.concat([refusal('42710', 'slot exists'), ready]),
      Buffer.concat([refusal('42501', 'must be superuser or replication role'), ready]),
      Buffer.concat([rows({ x: '1' }), ready]),
    ]);
    await assert.rejects(
      session.command('CREATE_REPLICATION_SLOT x'),
      (error) => hasCode(error, 'server-refused') && sqlStateOf(error) === '42710',
    );
    await assert.rejects(session.command('X'), (error) => hasCode(error, 'server-rights'));
    assert.equal((await session.command('SHOW x')).length, 1);
  });

  it('takes a fatal error for the end of the connection', async () => {
    using session = await connect([refusal('57P01', 'terminating connection', 'FATAL')]);
    await assert.rejects(session.command('IDENTIFY_SYSTEM'), (error) => hasCode(error, 'connection'));
  });

  it('notices a connection that ends in the middle of an answer', async () => {
    using session = await connect([null]);
    await assert.rejects(session.command('IDENTIFY_SYSTEM'), (error) => hasCode(error, 'connection'));
  });

  it('says why it cannot connect, without the password', async () => {
    await assert.rejects(connect([], refusal('28P01', 'password authentication failed', 'FATAL')), (error) => {
      assert.ok(hasCode(error, 'connection'));
      assert.match(error.message, /someone: password authentication failed/);
      assert.doesNotMatch(JSON.stringify([error.message, error.details, error.hint]), /geheim/);
      return true;
    });
    await assert.rejects(
      ReplicationSession.connect({ connection: 'postgresql://a:geheim@[::1', applicationName: 'x' }),
      (error) => error instanceof Error && !JSON.stringify([error.message, String(error.cause)]).includes('geheim'),
    );
  });

  it('says who may replicate', async () => {
    await assert.rejects(
      connect([], refusal('42501', 'must be superuser or replication role to start walsender', 'FATAL')),
      (error) => hasCode(error, 'server-rights') && error.hint === 'ALTER ROLE "someone" REPLICATION',
    );
  });
});

describe('a stream of WAL', () => {
  it('brings WAL, and the server’s wish for a reply', async () => {
    using session = await connect([Buffer.concat([copyBoth, wal(0x100n, 'abc'), wal(0x103n, 'de'), keepalive])]);
    const stream = await streaming(session);
    let text = '';
    let replyRequested = false;
    while (!replyRequested) {
      const batch = await stream.receive(10_000);
      text += batch.wal.map(({ bytes }) => Buffer.from(bytes).toString()).join('');
      ({ replyRequested } = batch);
    }
    assert.equal(text, 'abcde');
  });

  it('refuses WAL that leaves something out', async () => {
    using session = await connect([Buffer.concat([copyBoth, wal(0x100n, 'abc'), wal(0x104n, 'e')])]);
    const stream = await streaming(session);
    const read = async (): Promise<void> => {
      for (;;) await stream.receive(10_000);
    };
    await assert.rejects(read(), /the server sent WAL from 0\/104 where 0\/103 was expected/);
  });

  it('learns the next timeline at the end of this one, then takes commands again', async () => {
    const next = rows({ next_tli: '2', next_tli_startpos: '0/103' });
    using session = await connect([
      Buffer.concat([copyBoth, wal(0x100n, 'abc'), copyDone]),
      Buffer.concat([next, message('C', 'START_STREAMING\0'), ready]),
      Buffer.concat([rows({ x: '1' }), ready]),
    ]);
    const stream = await streaming(session);
    let ended: string | undefined;
    while (ended === undefined) ({ ended } = await stream.receive(10_000));
    assert.equal(ended, 'timeline');
    assert.deepEqual(await stream.finish(), { timeline: 2, switchLsn: lsn(0x103n) });
    assert.equal((await session.command('SHOW x')).length, 1);
  });

  it('learns the next timeline where this one had ended before the start', async () => {
    const next = rows({ next_tli: '2', next_tli_startpos: '0/80' });
    using session = await connect([Buffer.concat([next, message('C', 'START_STREAMING\0'), ready])]);
    assert.deepEqual(await session.startReplication(start), {
      kind: 'timeline-ended',
      next: { timeline: 2, switchLsn: lsn(0x80n) },
    });
  });

  it('ends at our wish, whatever is still under way', async () => {
    using session = await connect([
      Buffer.concat([copyBoth, wal(0x100n, 'abc')]),
      Buffer.concat([wal(0x103n, 'de'), copyDone, message('C', 'COPY 0\0'), message('C', 'START_STREAMING\0'), ready]),
    ]);
    const stream = await streaming(session);
    await stream.receive(10_000);
    assert.equal(await stream.finish(), undefined);
  });

  it('tells a server that shuts down from a timeline that ends', async () => {
    using session = await connect([Buffer.concat([copyBoth, message('C', 'COPY 0\0')])]);
    const stream = await streaming(session);
    assert.equal((await stream.receive(10_000)).ended, 'shutdown');
  });

  it('passes on that WAL was removed, and takes commands again', async () => {
    using session = await connect([
      Buffer.concat([copyBoth, refusal('58P01', 'requested WAL segment 01 has already been removed'), ready]),
      Buffer.concat([rows({ x: '1' }), ready]),
    ]);
    const stream = await streaming(session);
    await assert.rejects(stream.receive(10_000), (error) => sqlStateOf(error) === '58P01');
    assert.equal((await session.command('SHOW x')).length, 1);
  });

  it('is given up when the server stays silent', async () => {
    using session = await connect([copyBoth]);
    const stream = await streaming(session);
    const received = stream.receive(60_000);
    stream.giveUp('the server has been silent');
    await assert.rejects(received, /the server has been silent/);
  });
});
