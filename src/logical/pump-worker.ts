import { readSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { PumpRing, type PumpMemory } from './pump-ring.ts';

/** What the thread is started with. */
export interface PumpWorkerData {
  readonly memory: PumpMemory;
  /** A pipe that is open in this process. */
  readonly descriptor: number;
}

/** A read of less than this has caught up with who writes. */
const shortBytes = 32_768;
/** What a program writes in small pieces is left to gather for so long: a call of the kernel for each costs more. */
const gatherMs = 0.1;

const { memory, descriptor } = workerData as PumpWorkerData;
const ring = new PumpRing(memory);
const never = new Int32Array(new SharedArrayBuffer(4));
try {
  for (let room = ring.room(); room; room = ring.room()) {
    const read = readSync(descriptor, room, 0, room.length, null);
    if (read === 0) break;
    ring.add(read);
    if (read < shortBytes) Atomics.wait(never, 0, 0, gatherMs);
  }
  ring.end(true);
} catch {
  ring.end(false);
}
