import type { Storage } from '../../src/storage/storage.ts';

/**
 * A storage in which someone who died has stored objects that are there for everyone, and not durable yet: unless
 * somebody settles them, a power cut takes them. What is stored through it is durable.
 */
export class UnsettledStorage implements Storage {
  readonly description: string;
  readonly #inner: Storage;
  readonly #unsettled: Set<string>;

  constructor(inner: Storage, unsettled: Iterable<string>) {
    this.#inner = inner;
    this.#unsettled = new Set(unsettled);
    this.description = inner.description;
  }

  /** What a power cut would take now. */
  lost(): readonly string[] {
    return [...this.#unsettled];
  }

  settle: Storage['settle'] = async (key) => {
    await this.#inner.settle(key);
    this.#unsettled.delete(key);
  };

  create: Storage['create'] = async (...given) => this.#inner.create(...given);
  put: Storage['put'] = async (...given) => this.#inner.put(...given);
  get: Storage['get'] = async (...given) => this.#inner.get(...given);
  open: Storage['open'] = async (...given) => this.#inner.open(...given);
  stat: Storage['stat'] = async (...given) => this.#inner.stat(...given);
  list: Storage['list'] = (...given) => this.#inner.list(...given);
  delete: Storage['delete'] = async (...given) => this.#inner.delete(...given);
}
