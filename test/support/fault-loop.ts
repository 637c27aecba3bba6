import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { PgrecallError } from '../../src/errors/pgrecall-error.ts';
import { FaultStorage, type Fault } from '../../src/storage/fault.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import type { Storage } from '../../src/storage/storage.ts';

/*
 * Lets each operation of the storage go wrong in turn: it fails, or it is the last one of a process that dies in it;
 * before it is done, half done, or done although nobody hears of it.
 */

const ways: readonly Omit<Fault, 'at'>[] = [
  { mode: 'error', effect: 'none' },
  { mode: 'error', effect: 'done' },
  { mode: 'error', effect: 'none', code: 'disk-full', kinds: ['create', 'write', 'commit', 'put'] },
  { mode: 'crash', effect: 'none' },
  { mode: 'crash', effect: 'half', kinds: ['write'] },
  { mode: 'crash', effect: 'done' },
];

export interface FaultStory {
  /** The objects that are there before. */
  readonly begun: ReadonlyMap<string, Uint8Array>;
  /** What is done under faults. An error must be one of ours, and no bug. */
  readonly act: (storage: Storage) => Promise<unknown>;
  /** Looks at what is there after a fault; throws where something is wrong. */
  readonly after: (storage: MemoryStorage, outcome: Outcome) => Promise<void>;
  /** Whether the storage answers with promises, as one across a network. */
  readonly asynchronous?: boolean;
}

export interface Outcome {
  readonly fault: Fault;
  /** `undefined` where the act succeeded although one of its operations did not. */
  readonly error: PgrecallError | undefined;
}

/** How many faults there were. */
export async function failEverywhere(story: FaultStory): Promise<number> {
  const { begun, act, after, asynchronous = false } = story;
  const counting = new FaultStorage(copyOf(begun, asynchronous));
  await act(counting);
  const { operations } = counting;
  let faults = 0;
  for (const way of ways) {
    const counted = way.kinds ? operations.filter(({ kind }) => way.kinds?.includes(kind)) : operations;
    for (let at = 1; at <= counted.length; at += 1) {
      const memory = copyOf(begun, asynchronous);
      const fault = { ...way, at };
      const faulty = new FaultStorage(memory, fault);
      const error = await errorOf(act(faulty));
      const where = `${way.mode} ${way.effect} at operation ${at}: ${JSON.stringify(faulty.operations.at(at - 1))}`;
      assert.ok(faulty.fired, `${where}: never happened`);
      faults += 1;
      try {
        if (error) assert.ok(error instanceof PgrecallError && error.code !== 'bug', inspect(error));
        await after(memory, { fault, error: error as PgrecallError | undefined });
      } catch (cause) {
        throw new Error(`after ${where}`, { cause });
      }
    }
  }
  return faults;
}

async function errorOf(act: Promise<unknown>): Promise<unknown> {
  try {
    await act;
    return undefined;
  } catch (error) {
    return error;
  }
}

export function copyOf(objects: ReadonlyMap<string, Uint8Array>, asynchronous = false): MemoryStorage {
  const memory = new MemoryStorage({ asynchronous });
  for (const [key, bytes] of objects) memory.objects.set(key, bytes);
  return memory;
}
