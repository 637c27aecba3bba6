import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { workerModule } from '../threads/worker-pool.ts';
import { PumpRing, makePumpMemory, type PumpMemory } from './pump-ring.ts';
import type { PumpWorkerData } from './pump-worker.ts';

/** A pipe, and a thread that reads from it. Disposed of when nobody writes any more. */
export interface PumpedPipe extends AsyncDisposable {
  /** For the program that writes, which has to be ended before this is disposed of; closed by who starts that. */
  readonly writer: number;
  /** What comes. */
  readonly memory: PumpMemory;
}

export function openPumpedPipe(): PumpedPipe {
  const { reader, writer } = openPipe();
  const memory = makePumpMemory();
  const worker = new Worker(workerModule('pump-worker', import.meta.url), {
    workerData: { memory, descriptor: reader } satisfies PumpWorkerData,
  });
  const ring = new PumpRing(memory);
  worker.on('error', () => ring.end(false));
  const ended = new Promise<void>((resolve) => worker.on('exit', () => resolve()));
  return {
    writer,
    memory,
    [Symbol.asyncDispose]: async () => {
      ring.stop();
      await ended;
      closeSync(reader);
    },
  };
}

/**
 * A pipe from which a thread can read and wait, which Node offers none of: one with a name, which is gone when it is open.
 * The name is for nobody else to see.
 */
function openPipe(): { readonly reader: number; readonly writer: number } {
  const directory = mkdtempSync(join(tmpdir(), 'pgrecall-pipe-'));
  try {
    const path = join(directory, 'pipe');
    execFileSync('mkfifo', ['-m', '600', path], { stdio: 'ignore' });
    // Each end can be opened for waiting once the other one is there.
    const other = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(path, constants.O_WRONLY);
    const reader = openSync(path, constants.O_RDONLY);
    closeSync(other);
    return { reader, writer };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
