import { workerData } from 'node:worker_threads';
import { openWithAccess, type RepositoryAccess } from '../repository/repository.ts';
import { serve } from '../threads/serve.ts';
import { ChunkStorer } from './chunk-storer.ts';
import { KnownChunks } from './known-chunks.ts';
import type { StoreResult, StoreTask } from './store-items.ts';

/** What the thread is started with. */
export interface StoreWorkerData {
  readonly access: RepositoryAccess;
  readonly cluster: string;
  readonly known: SharedArrayBuffer;
  /** A number of 64 bits: how many bytes all threads have taken. */
  readonly progress: SharedArrayBuffer;
}

const data = workerData as StoreWorkerData;
const cluster = openWithAccess(data.access).cluster(data.cluster);
const progress = new BigInt64Array(data.progress);
const storer = new ChunkStorer(cluster, KnownChunks.over(data.known), (bytes) => {
  Atomics.add(progress, 0, BigInt(bytes));
});
serve<StoreTask, StoreResult>(async (task) => storer.handle(task));
