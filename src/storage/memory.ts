import { PgrecallError } from '../errors/pgrecall-error.ts';
import { objectExists, objectMissing, objectTooLarge, objectTooShort } from './storage-errors.ts';
import { checkKey, checkPrefix } from './storage-key.ts';
import type { ObjectReader, ObjectWriter, PutOptions, Storage, StorageEntry } from './storage.ts';

export interface MemoryStorageOptions {
  /** Answers with promises where it may, as a storage across a network would. */
  readonly asynchronous?: boolean;
}

/** Objects in memory, for tests; `objects` may be looked at and damaged at will. */
export class MemoryStorage implements Storage {
  readonly description = 'memory';
  readonly objects = new Map<string, Uint8Array>();
  readonly #asynchronous: boolean;

  constructor(options: MemoryStorageOptions = {}) {
    this.#asynchronous = options.asynchronous === true;
  }

  #answer<T>(value: T): T | Promise<T> {
    return this.#asynchronous ? new Promise((resolve) => setImmediate(resolve, value)) : value;
  }

  async create(key: string, options: PutOptions = {}): Promise<ObjectWriter> {
    checkKey(key);
    let parts: Uint8Array[] | undefined = [];
    return {
      write: (bytes) => {
        if (!parts) throw new PgrecallError('bug', `"${key}" was written to after its end`);
        parts.push(Uint8Array.from(bytes));
        return this.#answer(undefined);
      },
      readBack: async () => this.#reader(key, Buffer.concat(parts ?? [])),
      commit: async () => {
        if (!parts) throw new PgrecallError('bug', `"${key}" was committed twice`);
        const bytes = Buffer.concat(parts);
        parts = undefined;
        this.#store(key, bytes, options);
      },
      abort: async () => {
        parts = undefined;
      },
    };
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    checkKey(key);
    this.#store(key, Buffer.from(bytes), options);
  }

  #store(key: string, bytes: Uint8Array, options: PutOptions): void {
    if (options.replace !== true && this.objects.has(key)) throw objectExists(key);
    this.objects.set(key, bytes);
  }

  async get(key: string, limitBytes: number = Number.MAX_SAFE_INTEGER): Promise<Uint8Array> {
    const bytes = this.#find(key);
    if (bytes.length > limitBytes) throw objectTooLarge(key, bytes.length, limitBytes);
    return Uint8Array.from(bytes);
  }

  async open(key: string): Promise<ObjectReader> {
    return this.#reader(key, this.#find(key));
  }

  #reader(key: string, bytes: Uint8Array): ObjectReader {
    return {
      sizeBytes: bytes.length,
      read: (offset, lengthBytes) => {
        if (offset + lengthBytes > bytes.length) throw objectTooShort(key, bytes.length, offset + lengthBytes);
        return this.#answer(Uint8Array.from(bytes.subarray(offset, offset + lengthBytes)));
      },
      close: async () => {},
    };
  }

  #find(key: string): Uint8Array {
    checkKey(key);
    const bytes = this.objects.get(key);
    if (!bytes) throw objectMissing(key);
    return bytes;
  }

  async stat(key: string): Promise<{ readonly sizeBytes: number } | undefined> {
    checkKey(key);
    const bytes = this.objects.get(key);
    return bytes ? { sizeBytes: bytes.length } : undefined;
  }

  async settle(key: string): Promise<void> {
    checkKey(key);
  }

  async *list(prefix: string): AsyncIterable<StorageEntry> {
    checkPrefix(prefix);
    const start = prefix === '' ? '' : `${prefix}/`;
    const found = new Map<string, StorageEntry>();
    for (const key of this.objects.keys()) {
      if (!key.startsWith(start)) continue;
      const [name = '', ...rest] = key.slice(start.length).split('/');
      found.set(name, { name, kind: rest.length > 0 ? 'folder' : 'object' });
    }
    yield* [...found.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    this.objects.delete(key);
  }
}
