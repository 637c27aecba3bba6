/**
 * The storage interface: where the objects of a repository live.
 *
 * Keys are `/`-separated paths of `[A-Za-z0-9._-]` segments, none of them `.` or `..`, none empty.
 * An object is whole or absent: nobody ever sees half of one, whatever crashes. When `put` or
 * `commit` has returned, the object survives a power cut. Wrappers (retry, limit, fault) have this
 * same shape.
 *
 * Methods that may return a plain value instead of a promise do so where the storage is local:
 * the hot path then stays synchronous inside its worker.
 */
export interface Storage {
  /** For messages: "the directory /backup". */
  readonly description: string;

  /** Begins an object of a size not known yet. */
  create(key: string, options?: PutOptions): Promise<ObjectWriter>;

  /** Stores a small object. Throws `object-exists` where one is there, unless `replace`. */
  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<void>;

  /** Reads a whole object. Throws `object-missing`; `object-damaged` where it is over `limitBytes`. */
  get(key: string, limitBytes?: number): Promise<Uint8Array>;

  /** Opens an object to read ranges of it. Throws `object-missing`. */
  open(key: string): Promise<ObjectReader>;

  /** Size of an object, `undefined` where there is none. */
  stat(key: string): Promise<{ readonly sizeBytes: number } | undefined>;

  /**
   * Makes an object that is there durable: someone else may have stored it a moment ago, and died before it was. Needed
   * before an object that was found is relied on. One that is not there is no error.
   */
  settle(key: string): Promise<void>;

  /** What lies directly under `prefix` (a folder's key without the slash; '' is the root), in byte order of names. An absent folder is empty; a folder that is there may be empty too. */
  list(prefix: string): AsyncIterable<StorageEntry>;

  /** Removes an object; one that is not there is no error. Durable on return. */
  delete(key: string): Promise<void>;
}

export interface PutOptions {
  /** Takes the place of an object that may exist, in one step. */
  readonly replace?: boolean;
  /** `false` for what can be made again: a power cut may take it, or leave it damaged. It costs no sync then. */
  readonly durable?: boolean;
}

export interface StorageEntry {
  /** One segment of a key. */
  readonly name: string;
  readonly kind: 'object' | 'folder';
}

export interface ObjectWriter {
  /** Appends; the storage is done with `bytes` when this returns (or its promise resolves). */
  write(bytes: Uint8Array): void | Promise<void>;

  /** Makes the object durable under its key. Throws `object-exists` unless opened with `replace`. */
  commit(): Promise<void>;

  /** Opens what was written so far to check it before `commit`; absent where the storage cannot. */
  readBack?(): Promise<ObjectReader>;

  /** Forgets what was written; never throws. No effect after `commit`. */
  abort(): Promise<void>;
}

export interface ObjectReader {
  readonly sizeBytes: number;

  /** Exactly `lengthBytes` bytes from `offset`; throws `object-damaged` where the object is shorter. */
  read(offset: number, lengthBytes: number): Uint8Array | Promise<Uint8Array>;

  close(): Promise<void>;
}

/** What another thread needs to open the same storage: structured-cloneable. */
export type StorageLocation = { readonly kind: 'local'; readonly directory: string };
