import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { RepositoryAccess } from '../repository/repository.ts';
import { WorkerPool, workerModule } from '../threads/worker-pool.ts';
import { FileRestorer } from './file-restorer.ts';
import type { RestoreBatch, RestoredBatch, Restoring } from './restore-items.ts';
import type { RestoreWorkerData } from './restore-worker.ts';

/** Restores with `jobs` threads, each of which opens the repository for itself. */
export function restoreInThreads(access: RepositoryAccess, cluster: string, jobs: number): Restoring {
  const pool = new WorkerPool<RestoreBatch, RestoredBatch>({
    module: workerModule('restore-worker', import.meta.url),
    size: jobs,
    workerData: { access, cluster } satisfies RestoreWorkerData,
  });
  return {
    parallel: jobs * 2,
    restore: async (items) => pool.run({ items }),
    close: async () => pool.close(),
  };
}

/** Restores in this thread, from any storage: for tests that count and fail its operations. */
export function restoreHere(cluster: ClusterRepository): Restoring {
  const restorer = new FileRestorer(cluster);
  return {
    parallel: 1,
    restore: async (items) => restorer.handle({ items }),
    close: async () => restorer.close(),
  };
}
