import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { hash } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { workerModule } from '../threads/worker-pool.ts';
import { openPumpedPipe } from './open-pipe.ts';
import { PumpRing, makePumpMemory } from './pump-ring.ts';
import type { PumpWorkerData } from './pump-worker.ts';

/** Takes until the end, `piece` bytes at once. */
function takeAll(ring: PumpRing, piece: number): { readonly bytes: Buffer; readonly ending: number } {
  const into = new Uint8Array(piece + 2);
  const parts: Buffer[] = [];
  for (;;) {
    const taken = ring.take(into, 1, piece + 1);
    if (taken <= 0) return { bytes: Buffer.concat(parts), ending: taken };
    parts.push(Buffer.from(into.subarray(1, 1 + taken)));
  }
}

describe('the ring between a thread that reads and one that stores', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pgrecall-ring-'));
  after(() => rmSync(directory, { recursive: true }));

  it('gives what was put in, in order, wherever it lies and however much has passed', () => {
    const step = fc.record({ isPut: fc.boolean(), length: fc.integer({ min: 1, max: 40 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(0, -20, 2 ** 31 - 20), (steps, passed) => {
        const memory = makePumpMemory(32);
        const words = new Int32Array(memory.words);
        words[0] = words[1] = passed;
        const ring = new PumpRing(memory);
        const into = new Uint8Array(48);
        let [put, taken] = [0, 0];
        for (const { isPut, length } of steps) {
          // Either would wait.
          if (isPut ? put - taken === 32 : put === taken) continue;
          if (isPut) {
            const room = ring.room();
            assert.ok(room && room.length > 0 && room.length <= 32 - (put - taken));
            const added = Math.min(length, room.length);
            for (let i = 0; i < added; i += 1) room[i] = put + i;
            ring.add(added);
            put += added;
          } else {
            const got = ring.take(into, 5, 5 + length);
            assert.ok(got > 0 && got <= length);
            for (let i = 0; i < got; i += 1) assert.equal(into[5 + i], (taken + i) & 0xff);
            taken += got;
          }
        }
        ring.end(true);
        assert.equal(takeAll(ring, 7).bytes.length, put - taken);
      }),
    );
  });

  it('carries a file that is many times larger, taken in pieces of any size', async () => {
    const content = Buffer.from(Array.from({ length: 300_001 }, (_, i) => (i * 31 + (i >> 8)) & 0xff));
    const path = join(directory, 'file');
    writeFileSync(path, content);
    for (const piece of [1000, 4096, 70_000]) {
      const memory = makePumpMemory(4096);
      const descriptor = openSync(path, 'r');
      const { ended } = startPump({ memory, descriptor });
      const { bytes, ending } = takeAll(new PumpRing(memory), piece);
      await ended;
      closeSync(descriptor);
      assert.equal(ending, 0);
      assert.ok(bytes.equals(content), `pieces of ${piece} bytes`);
    }
  });

  it('tells of a reading that failed, after what came before', async () => {
    const memory = makePumpMemory(4096);
    const descriptor = openSync(directory, 'r');
    const { ended } = startPump({ memory, descriptor });
    assert.deepEqual(takeAll(new PumpRing(memory), 100), { bytes: Buffer.alloc(0), ending: -1 });
    await ended;
    closeSync(descriptor);
  });

  it('lets the thread that reads end when nobody takes any more', async () => {
    const memory = makePumpMemory(4096);
    const descriptor = openSync('/dev/zero', 'r');
    const { ended } = startPump({ memory, descriptor });
    const ring = new PumpRing(memory);
    assert.equal(ring.take(new Uint8Array(10), 0, 10), 10);
    ring.stop();
    await ended;
    closeSync(descriptor);
  });

  it('takes what a program writes while nobody takes anything, and the rest later', async () => {
    const before = ownPipes();
    const pipe = openPumpedPipe();
    const child = spawn('sh', ['-c', 'head -c 12000000 /dev/zero; printf end; exit 3'], {
      stdio: ['ignore', pipe.writer, 'inherit'],
    });
    closeSync(pipe.writer);
    const { bytes, ending } = takeAll(new PumpRing(pipe.memory), 65_536);
    const status = await new Promise((resolve) => child.once('close', resolve));
    await pipe[Symbol.asyncDispose]();
    assert.deepEqual([bytes.length, ending, status], [12_000_003, 0, 3]);
    assert.equal(hash('sha256', bytes), hash('sha256', Buffer.concat([Buffer.alloc(12_000_000), Buffer.from('end')])));
    assert.deepEqual(ownPipes(), before);
  });

  it('is let go of before anything was taken', async () => {
    const pipe = openPumpedPipe();
    const child = spawn('sh', ['-c', 'yes'], { stdio: ['ignore', pipe.writer, 'ignore'] });
    closeSync(pipe.writer);
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill();
    await ended;
    await pipe[Symbol.asyncDispose]();
  });
});

function startPump(data: PumpWorkerData): { readonly ended: Promise<unknown> } {
  const worker = new Worker(workerModule('pump-worker', import.meta.url), { workerData: data });
  return { ended: new Promise((resolve) => worker.once('exit', resolve)) };
}

/** Names of pipes that somebody has left. */
function ownPipes(): readonly string[] {
  const names = readdirSync(tmpdir()).filter((name) => name.startsWith('pgrecall-pipe-'));
  return names.filter((name) => existsSync(join(tmpdir(), name)));
}
