import { assert } from '../errors/pgrecall-error.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { RepositoryAccess } from '../repository/repository.ts';
import { WorkerPool, workerModule } from '../threads/worker-pool.ts';
import { ChunkStorer } from './chunk-storer.ts';
import type { KnownChunks } from './known-chunks.ts';
import type { Storing, StoreResult, StoreTask } from './store-items.ts';
import type { StoreWorkerData } from './store-worker.ts';

/** Stores with up to `jobs` threads, each of which opens the repository for itself. */
export function storeInThreads(access: RepositoryAccess, cluster: string, known: KnownChunks, jobs: number): Storing {
  const pool = new WorkerPool<StoreTask, StoreResult>({
    module: workerModule('store-worker', import.meta.url),
    size: jobs,
    workerData: { access, cluster, known: known.memory } satisfies StoreWorkerData,
    // One dump is seldom work for more than one: a server sends less than a thread stores.
    asNeeded: true,
  });
  return storingBy(jobs * 2, {
    run: async (task) => pool.run(task),
    onEach: async (task) => pool.runOnEach(task),
    close: async () => pool.close(),
  });
}

/** Stores in this thread, into any storage: for tests that count and fail its operations. */
export function storeHere(cluster: ClusterRepository, known: KnownChunks): Storing {
  const storer = new ChunkStorer(cluster, known);
  let last: Promise<unknown> = Promise.resolve();
  const run = async (task: StoreTask): Promise<StoreResult> => {
    const result = last.then(async () => storer.handle(task));
    last = result.catch(() => undefined);
    return result;
  };
  return storingBy(1, { run, onEach: async (task) => [await run(task)], close: async () => storer.abort() });
}

interface Doing {
  readonly run: (task: StoreTask) => Promise<StoreResult>;
  readonly onEach: (task: StoreTask) => Promise<StoreResult[]>;
  readonly close: () => Promise<void>;
}

function storingBy(parallel: number, { run, onEach, close }: Doing): Storing {
  return {
    parallel,
    storeRun: async (chunks) => {
      const result = await run({ run: chunks });
      assert('run' in result, 'a run that was answered otherwise');
      return result.run;
    },
    storeBlob: async (blob) => {
      const result = await run({ blob });
      assert('blob' in result, 'a blob that was answered otherwise');
      return result.blob;
    },
    finish: async () => (await onEach({ finish: true })).flatMap((result) => ('packs' in result ? result.packs : [])),
    discard: async () => {
      await onEach({ discard: true });
    },
    close,
  };
}
