import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { RepositoryAccess } from '../repository/repository.ts';
import { WorkerPool, workerModule } from '../threads/worker-pool.ts';
import { ExtentVerifier } from './extent-verifier.ts';
import type { RestoreWorkerData } from './restore-worker.ts';
import type { VerifiedBatch, Verifying, VerifyItem } from './verify-items.ts';

/** Verifies with `jobs` threads, each of which opens the repository for itself. */
export function verifyInThreads(access: RepositoryAccess, cluster: string, jobs: number): Verifying {
  const pool = new WorkerPool<readonly VerifyItem[], VerifiedBatch>({
    module: workerModule('verify-worker', import.meta.url),
    size: jobs,
    workerData: { access, cluster } satisfies RestoreWorkerData,
  });
  return {
    parallel: jobs * 2,
    verify: async (items) => pool.run(items),
    close: async () => pool.close(),
  };
}

/** Verifies in this thread, from any storage: for tests that count and fail its operations. */
export function verifyHere(cluster: ClusterRepository): Verifying {
  const verifier = new ExtentVerifier(cluster);
  return {
    parallel: 1,
    verify: async (items) => verifier.verify(items),
    close: async () => verifier.close(),
  };
}
