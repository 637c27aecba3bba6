import type { Lsn } from '../postgres/lsn.ts';
import { createPageKernel, type PageKernel } from '../postgres/page-kernel.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { openWithAccess, type RepositoryAccess } from '../repository/repository.ts';
import { WorkerPool, workerModule } from '../threads/worker-pool.ts';
import type { CopyResult, CopyTask, Copying } from './copy-items.ts';
import { weightOf } from './copy-order.ts';
import type { CopyWorkerData } from './copy-worker.ts';
import { FileCopier } from './file-copier.ts';
import { kernelBytes } from './piece-copier.ts';

/** So much is copied sooner than a thread has started. */
const fewBytes = 16_777_216;
/** What opening and closing a file costs, as bytes that could be copied instead. */
const fileCost = 16_384;

/** A thread has this many batches before another one is started: less is copied by one while a second starts. */
const batchesToOne = 3;

/**
 * Copies with up to `jobs` threads, each of which opens the repository for itself; as many as there is work for, and none for
 * a handful of files.
 */
export function copyInThreads(access: RepositoryAccess, cluster: string, startLsn: Lsn, jobs: number): Copying {
  const pool = new WorkerPool<CopyTask, CopyResult>({
    module: workerModule('copy-worker', import.meta.url),
    size: jobs,
    workerData: { access, cluster, startLsn } satisfies CopyWorkerData,
    asNeeded: true,
    busyAt: batchesToOne,
  });
  let here: Copying | undefined;
  let copiedHere = 0;
  return {
    parallel: Math.max(jobs * 2, batchesToOne + 1),
    copy: async (items) => {
      copiedHere += items.reduce((sum, item) => sum + weightOf(item) + fileCost, 0);
      if (copiedHere > fewBytes) return pool.run({ items });
      here ??= copyHere(openWithAccess(access).cluster(cluster), startLsn);
      return here.copy(items);
    },
    finish: async () => [...(await pool.runOnEach({ finish: true })), ...((await here?.finish()) ?? [])],
    discard: async () => {
      await here?.discard();
      await pool.runOnEach({ discard: true });
    },
    close: async () => {
      await here?.close();
      await pool.close();
    },
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
