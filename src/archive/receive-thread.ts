import { WorkerPool, workerModule } from '../threads/worker-pool.ts';
import type { ArchiveWorkerData } from './archive-threads.ts';
import type { WalSink } from './receive-sink.ts';

/** What the receiver asks its thread to store. */
export type SinkTask =
  | { readonly kind: 'segment'; readonly name: string; readonly path: string }
  | {
      readonly kind: 'partial';
      readonly name: string;
      readonly path: string;
      readonly receivedBytes: number | undefined;
    }
  | { readonly kind: 'history'; readonly name: string; readonly content: Uint8Array };

/** A sink that works on a thread of its own, until it is disposed of. */
export class ThreadSink implements WalSink {
  readonly #pool: WorkerPool<SinkTask, void>;

  constructor(data: ArchiveWorkerData) {
    this.#pool = new WorkerPool({
      module: workerModule('receive-worker', import.meta.url),
      size: 1,
      workerData: data,
    });
  }

  readonly segment = async (name: string, path: string): Promise<void> =>
    this.#pool.run({ kind: 'segment', name, path });

  readonly partial = async (name: string, path: string, receivedBytes?: number): Promise<void> =>
    this.#pool.run({ kind: 'partial', name, path, receivedBytes });

  readonly history = async (name: string, content: Uint8Array): Promise<void> =>
    this.#pool.run({ kind: 'history', name, content });

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close();
  }
}
