import { setImmediate as nextTurn } from 'node:timers/promises';
import { fromTransfer, toTransfer } from './transfer.ts';
import type { WorkerPool } from './worker-pool.ts';

/**
 * Work of which the thread that has it done takes its share: one thread fewer to start, and whatever is small needs
 * none. Between two tasks of its own it hears what the others have to say. For a thread that has little else to do:
 * nothing else happens in it during a task.
 */
export class WorkingAlong<Task, Result> {
  readonly #handle: (task: Task) => Promise<Result>;
  readonly #others: WorkerPool<Task, Result> | undefined;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** `handle` does a task in this thread; `others` are closed with this. */
  constructor(handle: (task: Task) => Promise<Result>, others?: WorkerPool<Task, Result>) {
    this.#handle = handle;
    this.#others = others;
  }

  /** Has it done by whoever has least to do. Rejects as `WorkerPool.run` does, whichever thread it was. */
  async run(task: Task): Promise<Result> {
    if (this.#others && this.#others.fewestWaiting < this.#waiting) return this.#others.run(task);
    this.#waiting += 1;
    const result = this.#last.then(async () => this.#runHere(task));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #runHere(task: Task): Promise<Result> {
    await nextTurn();
    try {
      return await this.#handle(task);
    } catch (error) {
      throw fromTransfer(toTransfer(error));
    } finally {
      this.#waiting -= 1;
    }
  }

  async close(): Promise<void> {
    await this.#others?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
