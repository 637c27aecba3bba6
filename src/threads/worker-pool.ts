import { Worker } from 'node:worker_threads';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { fromTransfer, type Reply, type Request } from './transfer.ts';

export interface WorkerPoolOptions {
  /** The module that calls `serve`; see `workerModule`. */
  readonly module: URL;
  /** How many threads, at least 1. */
  readonly size: number;
  /** What every worker is started with; structured-cloneable. */
  readonly workerData: unknown;
  /** Starts a thread only when there is a task and all that run are busy: each costs a twentieth of a second to start. */
  readonly asNeeded?: boolean;
  /** With `asNeeded`: how many tasks keep a thread busy; 1 unless said. */
  readonly busyAt?: number;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>;
  failure: Error | undefined;
}

/**
 * Threads that each do a whole piece of work synchronously. A request goes to the thread with the
 * fewest requests waiting; the caller bounds how many it sends (two a thread keep it busy).
 */
export class WorkerPool<Task, Result> {
  readonly size: number;
  readonly #options: WorkerPoolOptions;
  readonly #threads: Thread[];
  #next = 0;

  constructor(options: WorkerPoolOptions) {
    this.size = options.size;
    this.#options = options;
    const now = options.asNeeded === true ? 0 : options.size;
    this.#threads = Array.from({ length: now }, () => startThread(options));
  }

  /** The fewest tasks that a thread has to do; to start takes one as long as a task. */
  get fewestWaiting(): number {
    const fewest = Math.min(...this.#threads.map(({ waiting }) => waiting.size));
    return this.#threads.length < this.size ? Math.min(1, fewest) : fewest;
  }

  /** Has one thread do it. Rejects with what the thread threw; an error of ours stays one. */
  async run(task: Task): Promise<Result> {
    let best = this.#threads[0];
    for (const thread of this.#threads) if (best && thread.waiting.size < best.waiting.size) best = thread;
    if ((!best || best.waiting.size >= (this.#options.busyAt ?? 1)) && this.#threads.length < this.size) {
      best = startThread(this.#options);
      this.#threads.push(best);
    }
    if (!best) throw new PgrecallError('bug', 'a worker pool without threads');
    return this.#send(best, task);
  }

  /** Has every thread that was started do it once, for instance to finish what it has open. */
  async runOnEach(task: Task): Promise<Result[]> {
    return Promise.all(this.#threads.map(async (thread) => this.#send(thread, task)));
  }

  async #send(thread: Thread, task: Task): Promise<Result> {
    if (thread.failure) throw thread.failure;
    this.#next += 1;
    const id = this.#next;
    return new Promise<Result>((resolve, reject) => {
      thread.waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      const request: Request = { id, task };
      thread.worker.postMessage(request);
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map(async (thread) => thread.worker.terminate()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function startThread(options: WorkerPoolOptions): Thread {
  const worker = new Worker(options.module, { workerData: options.workerData });
  const thread: Thread = { worker, waiting: new Map(), failure: undefined };
  const fail = (error: Error): void => {
    thread.failure ??= error;
    for (const { reject } of thread.waiting.values()) reject(thread.failure);
    thread.waiting.clear();
  };
  worker.on('message', (reply: Reply) => {
    const waiting = thread.waiting.get(reply.id);
    thread.waiting.delete(reply.id);
    if (!waiting) return;
    if (reply.error) waiting.reject(fromTransfer(reply.error));
    else waiting.resolve(reply.result);
  });
  worker.on('error', (error) => fail(error instanceof Error ? error : new Error(String(error))));
  worker.on('exit', () => fail(new PgrecallError('bug', 'a worker thread ended before its work was done')));
  return thread;
}

/**
 * The URL of a worker's module beside the module that `metaUrl` (its `import.meta.url`) names: with
 * the same extension, `.ts` in a checkout and `.js` when compiled.
 */
export function workerModule(name: string, metaUrl: string): URL {
  return new URL(`./${name}${metaUrl.endsWith('.ts') ? '.ts' : '.js'}`, metaUrl);
}
