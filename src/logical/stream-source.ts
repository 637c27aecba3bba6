import { closeSync, openSync, readSync } from 'node:fs';
import type { StreamSource } from './store-items.ts';

/** A stream that is read by a thread which has nothing else to do. */
export interface OpenSource extends Disposable {
  /** Fills a part of `into[offset, end)`, at least a byte; 0 at the end of the stream. */
  readonly read: (into: Uint8Array, offset: number, end: number) => number;
}

/** A read of less than this has caught up with who writes. */
const shortBytes = 32_768;
/** What a program writes in small pieces is left to gather for so long: a call of the kernel for each costs more. */
const gatherMs = 0.3;
/** A pipe holds no more. */
const mostBytes = 1_048_576;

export function openSource(source: StreamSource): OpenSource {
  if ('bytes' in source) return fromMemory(source.bytes);
  if ('path' in source) return fromDescriptor(openSync(source.path, 'r'), false);
  return fromDescriptor(source.descriptor, true);
}

function fromMemory(bytes: Uint8Array): OpenSource {
  let at = 0;
  return {
    read: (into, offset, end) => {
      const part = bytes.subarray(at, at + end - offset);
      into.set(part, offset);
      at += part.length;
      return part.length;
    },
    [Symbol.dispose]: () => undefined,
  };
}

function fromDescriptor(descriptor: number, isPipe: boolean): OpenSource {
  const never = new Int32Array(new SharedArrayBuffer(4));
  let wasShort = false;
  return {
    read: (into, offset, end) => {
      if (isPipe && wasShort) Atomics.wait(never, 0, 0, gatherMs);
      const read = readSync(descriptor, into, offset, Math.min(end - offset, mostBytes), null);
      wasShort = read < shortBytes;
      return read;
    },
    [Symbol.dispose]: () => {
      if (!isPipe) closeSync(descriptor);
    },
  };
}
