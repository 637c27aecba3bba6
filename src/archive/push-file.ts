import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { isHistoryName } from '../postgres/segment-name.ts';
import { parseHistory } from '../postgres/timeline-history.ts';
import { timeline } from '../postgres/timeline.ts';
import { makeSegmentBuffer } from '../wal/index-segment.ts';
import { fileIdentity } from './archive-command.ts';
import { storeLeftBehind } from './left-behind.ts';
import type { Stored, WalStore } from './wal-store.ts';

export interface PushedFile {
  readonly stored: Stored;
  /** Of the very file that was read; see `fileIdentity`. */
  readonly identity: string;
}

/** Pushes files of pg_wal, one after the other, through one buffer. */
export class FilePusher {
  readonly #store: WalStore;
  #buffer: Uint8Array = new Uint8Array(0);

  constructor(store: WalStore) {
    this.#store = store;
  }

  /** Durable on return. Throws what `WalStore.put` throws; `io` where the file cannot be read or changes meanwhile. */
  async push(name: string, path: string): Promise<PushedFile> {
    const descriptor = openToRead(path);
    try {
      const before = fstatSync(descriptor);
      if (before.size > this.#store.segmentBytes) {
        throw new PgrecallError(
          'wal-damaged',
          `"${path}" has ${before.size} bytes; no WAL file of this cluster has more than ${this.#store.segmentBytes}`,
        );
      }
      const bytes = this.#read(descriptor, before.size, path);
      if (isHistoryName(name)) await this.#pushLeftBehind(name, path, bytes);
      const stored = await this.#store.put(name, bytes);
      const identity = fileIdentity(before);
      if (identity !== fileIdentity(fstatSync(descriptor))) {
        throw new PgrecallError('io', `"${path}" was written to while it was being archived`, {
          hint: 'a finished segment never changes: find out who writes to it',
        });
      }
      return { stored, identity };
    } finally {
      closeSync(descriptor);
    }
  }

  /** What the server that was followed until now has left undone; see left-behind.ts. */
  async #pushLeftBehind(name: string, path: string, bytes: Uint8Array): Promise<void> {
    const of = timeline(Number.parseInt(name.slice(0, 8), 16));
    const history = parseHistory(Buffer.from(bytes).toString('utf8'), of);
    await storeLeftBehind(this.#store, history, dirname(path));
  }

  #read(descriptor: number, sizeBytes: number, path: string): Uint8Array {
    if (this.#buffer.length < sizeBytes) {
      this.#buffer = makeSegmentBuffer(Math.max(sizeBytes, this.#store.segmentBytes));
    }
    for (let done = 0; done < sizeBytes;) {
      const length = readSync(descriptor, this.#buffer, done, sizeBytes - done, done);
      if (length === 0) throw new PgrecallError('io', `"${path}" became shorter while it was being read`);
      done += length;
    }
    return this.#buffer.subarray(0, sizeBytes);
  }
}

function openToRead(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    const hint = isErrno(error, 'ENOENT')
      ? 'name the file as archive_command’s %p does, from the data directory'
      : 'run pgrecall as the user that owns the data directory';
    throw new PgrecallError('io', `cannot open "${path}"`, { hint, cause: error });
  }
}
