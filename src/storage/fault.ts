import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ObjectReader, ObjectWriter, PutOptions, Storage, StorageEntry } from './storage.ts';

export const operationKinds = [
  'create',
  'write',
  'commit',
  'read-back',
  'put',
  'get',
  'open',
  'read',
  'stat',
  'settle',
  'list',
  'delete',
] as const;
export type OperationKind = (typeof operationKinds)[number];

/** What goes wrong, and when. */
export interface Fault {
  /** The operation that it happens to: 1 is the first that is counted. */
  readonly at: number;
  /**
   * `error`: this operation fails, later ones work (a full disk, a lost connection).
   * `crash`: the process or the machine dies in this operation; every later one fails.
   */
  readonly mode: 'error' | 'crash';
  /** How much of the operation was done all the same: nothing, half of the bytes of a write, or all of it. */
  readonly effect?: 'none' | 'half' | 'done';
  readonly code?: 'storage' | 'disk-full' | 'object-damaged';
  /** Counts only operations of these kinds. */
  readonly kinds?: readonly OperationKind[];
}

/**
 * Wraps a storage, counts its operations, and lets one of them go wrong. A test that does not look at
 * `fired` proves nothing: its fault may lie beyond the last operation.
 */
export class FaultStorage implements Storage {
  readonly description: string;
  /** Operations so far, of the kinds that are counted, in order. */
  readonly operations: { readonly kind: OperationKind; readonly key: string }[] = [];
  readonly #inner: Storage;
  readonly #fault: Fault | undefined;
  #fired = false;

  constructor(inner: Storage, fault?: Fault) {
    this.#inner = inner;
    this.#fault = fault;
    this.description = inner.description;
  }

  /** Whether the fault happened. */
  get fired(): boolean {
    return this.#fired;
  }

  get #crashed(): boolean {
    return this.#fired && this.#fault?.mode === 'crash';
  }

  /** Counts one operation; the fault, if it is this one's. Throws after a crash. */
  #count(kind: OperationKind, key: string): Fault | undefined {
    if (this.#crashed) throw new PgrecallError('storage', `the storage has crashed before ${kind} of "${key}"`);
    const fault = this.#fault;
    if (fault?.kinds && !fault.kinds.includes(kind)) return undefined;
    this.operations.push({ kind, key });
    if (!fault || this.operations.length !== fault.at) return undefined;
    this.#fired = true;
    return fault;
  }

  #failure(fault: Fault, kind: OperationKind, key: string): PgrecallError {
    return new PgrecallError(fault.code ?? 'storage', `injected: ${kind} of "${key}" fails`, { details: { key } });
  }

  async #run<T>(kind: OperationKind, key: string, operation: () => Promise<T>): Promise<T> {
    const fault = this.#count(kind, key);
    if (!fault) return operation();
    if (fault.effect === 'done') await operation();
    throw this.#failure(fault, kind, key);
  }

  async create(key: string, options?: PutOptions): Promise<ObjectWriter> {
    const writer = await this.#run('create', key, async () => this.#inner.create(key, options));
    return {
      write: (bytes) => this.#write(writer, key, bytes),
      commit: async () => this.#run('commit', key, async () => writer.commit()),
      ...(writer.readBack && {
        readBack: async () =>
          this.#reader(
            await this.#run('read-back', key, async () => {
              if (!writer.readBack) throw new PgrecallError('bug', 'a writer that forgot how to read back');
              return writer.readBack();
            }),
            key,
          ),
      }),
      // A dead process does not tidy up.
      abort: async () => (this.#crashed ? undefined : writer.abort()),
    };
  }

  #write(writer: ObjectWriter, key: string, bytes: Uint8Array): void | Promise<void> {
    const fault = this.#count('write', key);
    if (!fault) return writer.write(bytes);
    const share = { none: 0, half: 0.5, done: 1 }[fault.effect ?? 'none'];
    const failure = this.#failure(fault, 'write', key);
    const written = writer.write(bytes.subarray(0, Math.floor(bytes.length * share)));
    if (written instanceof Promise) {
      return written.then(() => {
        throw failure;
      });
    }
    throw failure;
  }

  async put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<void> {
    return this.#run('put', key, async () => this.#inner.put(key, bytes, options));
  }

  async get(key: string, limitBytes?: number): Promise<Uint8Array> {
    return this.#run('get', key, async () => this.#inner.get(key, limitBytes));
  }

  async open(key: string): Promise<ObjectReader> {
    return this.#reader(await this.#run('open', key, async () => this.#inner.open(key)), key);
  }

  #reader(reader: ObjectReader, key: string): ObjectReader {
    return {
      sizeBytes: reader.sizeBytes,
      read: (offset, lengthBytes) => {
        const fault = this.#count('read', key);
        if (fault) throw this.#failure(fault, 'read', key);
        return reader.read(offset, lengthBytes);
      },
      close: async () => reader.close(),
    };
  }

  async stat(key: string): Promise<{ readonly sizeBytes: number } | undefined> {
    return this.#run('stat', key, async () => this.#inner.stat(key));
  }

  async settle(key: string): Promise<void> {
    return this.#run('settle', key, async () => this.#inner.settle(key));
  }

  async *list(prefix: string): AsyncIterable<StorageEntry> {
    const fault = this.#count('list', prefix);
    if (fault) throw this.#failure(fault, 'list', prefix);
    yield* this.#inner.list(prefix);
  }

  async delete(key: string): Promise<void> {
    return this.#run('delete', key, async () => this.#inner.delete(key));
  }
}
