import { closeSync, openSync, readSync } from 'node:fs';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { PumpRing } from './pump-ring.ts';
import type { StreamSource } from './store-items.ts';

/** A stream that is read by a thread which has nothing else to do. */
export interface OpenSource extends Disposable {
  /** Fills a part of `into[offset, end)`, at least a byte; 0 at the end of the stream. */
  readonly read: (into: Uint8Array, offset: number, end: number) => number;
}

export function openSource(source: StreamSource): OpenSource {
  if ('bytes' in source) return fromMemory(source.bytes);
  if ('path' in source) return fromFile(source.path);
  return fromPump(new PumpRing(source.pump));
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

function fromFile(path: string): OpenSource {
  const descriptor = openSync(path, 'r');
  return {
    read: (into, offset, end) => readSync(descriptor, into, offset, end - offset, null),
    [Symbol.dispose]: () => closeSync(descriptor),
  };
}

function fromPump(ring: PumpRing): OpenSource {
  return {
    read: (into, offset, end) => {
      const read = ring.take(into, offset, end);
      if (read < 0) throw new PgrecallError('io', 'what the program wrote could not be read from its pipe');
      return read;
    },
    [Symbol.dispose]: () => ring.stop(),
  };
}
