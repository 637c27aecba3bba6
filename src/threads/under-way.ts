/**
 * Keeps count of operations that were started and not waited for, so that a producer can bound them.
 * A failed one stays and fails the next wait: no failure is lost, none counts as unhandled.
 */
export class UnderWay {
  readonly #operations = new Set<Promise<void>>();

  get size(): number {
    return this.#operations.size;
  }

  start(operation: Promise<void>): void {
    this.#operations.add(operation);
    operation.then(
      () => this.#operations.delete(operation),
      () => undefined,
    );
  }

  /** Waits until fewer than `limit` are under way. */
  async fewerThan(limit: number): Promise<void> {
    while (this.#operations.size >= limit) await Promise.race(this.#operations);
  }

  /** Waits for all. */
  async allDone(): Promise<void> {
    await Promise.all(this.#operations);
  }

  /** Waits until all have ended, whatever became of them. */
  async allSettled(): Promise<void> {
    await Promise.allSettled(this.#operations);
  }
}
