import type { Lsn } from '../postgres/lsn.ts';
import { createPageKernel, type PageKernel } from '../postgres/page-kernel.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { RepositoryAccess } from '../repository/repository.ts';
import { WorkerPool, workerModule } from '../threads/worker-pool.ts';
import type { CopyResult, CopyTask, Copying } from './copy-items.ts';
import type { CopyWorkerData } from './copy-worker.ts';
import { FileCopier } from './file-copier.ts';
import { kernelBytes } from './piece-copier.ts';

/** Copies with `jobs` threads, each of which opens the repository for itself. */
export function copyInThreads(access: RepositoryAccess, cluster: string, startLsn: Lsn, jobs: number): Copying {
  const pool = new WorkerPool<CopyTask, CopyResult>({
    module: workerModule('copy-worker', import.meta.url),
    size: jobs,
    workerData: { access, cluster, startLsn } satisfies CopyWorkerData,
    // An incremental backup is seldom work for more than one.
    asNeeded: true,
  });
  return {
    parallel: jobs * 2,
    copy: async (items) => pool.run({ items }),
    finish: async () => pool.runOnEach({ finish: true }),
    discard: async () => {
      await pool.runOnEach({ discard: true });
    },
    close: async () => pool.close(),
  };
}

/** Copies in this thread, into any storage: for tests that count and fail its operations. */
export function copyHere(
  cluster: ClusterRepository,
  startLsn: Lsn,
  kernel: PageKernel = createPageKernel(kernelBytes, cluster.repository.sumKey()),
): Copying {
  const copier = new FileCopier(cluster, kernel, startLsn);
  return {
    parallel: 1,
    copy: async (items) => copier.handle({ items }),
    finish: async () => [await copier.handle({ finish: true })],
    discard: async () => {
      await copier.handle({ discard: true });
    },
    close: async () => copier.abort(),
  };
}
