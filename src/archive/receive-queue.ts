import { removeReceived } from './receive-segment.ts';
import type { WalSink } from './receive-sink.ts';

/** So many whole segments may wait to be stored; then nothing more is read from the server until one is. */
const queueLimit = 4;

/**
 * Stores whole segments, one after the other, while the next is being received. A segment's file is removed
 * only when the repository has it.
 */
export class StoringQueue {
  readonly #sink: WalSink;
  readonly #stored: (name: string) => void;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  #failure: Error | undefined;

  constructor(sink: WalSink, stored: (name: string) => void) {
    this.#sink = sink;
    this.#stored = stored;
  }

  /** Takes a segment over. Returns at once while there is room; throws what storing an earlier one threw. */
  async add(name: string, path: string): Promise<void> {
    this.#throwFailure();
    this.#waiting += 1;
    this.#last = this.#last.then(async () => this.#store(name, path));
    if (this.#waiting > queueLimit) await this.drain();
  }

  /** Waits until everything is stored. Throws what storing threw; the files are then still there. */
  async drain(): Promise<void> {
    await this.#last;
    this.#throwFailure();
  }

  async #store(name: string, path: string): Promise<void> {
    // After a failure the order would be broken: the rest stays where it is, for the next start.
    if (this.#failure) return;
    try {
      await this.#sink.segment(name, path);
      removeReceived(path);
      this.#stored(name);
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    } finally {
      this.#waiting -= 1;
    }
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure;
  }
}
