import type { Lsn } from '../postgres/lsn.ts';
import { createPageKernel, type PageKernel } from '../postgres/page-kernel.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { openWithAccess, type RepositoryAccess } from '../repository/repository.ts';
import { WorkerPool, workerModule } from '../threads/worker-pool.ts';
import type { CopyItem, CopyResult, CopyTask, Copying } from './copy-items.ts';
import { weightOf } from './copy-order.ts';
import type { CopyWorkerData } from './copy-worker.ts';
import { FileCopier } from './file-copier.ts';
import { kernelBytes } from './piece-copier.ts';

/*
 * A thread costs a tenth of a second of CPU time until it has started, and nothing else happens in this one meanwhile. So what
 * is soon done is done here: little of anything, more of scattered pages, and only while the disk is quick.
 */
const fewBytes = 16_777_216;
const fewScatteredBytes = 100_663_296;
const patienceMs = 400;
/** What opening and closing a file costs, as bytes that could be copied instead. */
const fileCost = 16_384;
/** Between two of these it is seen how long it takes. */
const hereBatchBytes = 4_194_304;

/** A thread has this many batches before another one is started: less is copied by one while a second starts. */
const batchesToOne = 3;

/** Copies with up to `jobs` threads, each of which opens the repository for itself; as many as there is work for. */
export function copyInThreads(access: RepositoryAccess, cluster: string, startLsn: Lsn, jobs: number): Copying {
  const pool = new WorkerPool<CopyTask, CopyResult>({
    module: workerModule('copy-worker', import.meta.url),
    size: jobs,
    workerData: { access, cluster, startLsn } satisfies CopyWorkerData,
    asNeeded: true,
    busyAt: batchesToOne,
  });
  const here = new CopyingHere(() => copyHere(openWithAccess(access).cluster(cluster), startLsn));
  return {
    parallel: Math.max(jobs * 2, batchesToOne + 1),
    get batchBytes() {
      return here.isOver ? undefined : hereBatchBytes;
    },
    copy: async (items) => (here.takes(items) ? here.copy(items) : pool.run({ items })),
    finish: async () => [...(await pool.runOnEach({ finish: true })), ...(await here.finish())],
    discard: async () => {
      await here.discard();
      await pool.runOnEach({ discard: true });
    },
    close: async () => {
      await here.close();
      await pool.close();
    },
  };
}

/** What is copied in this thread, before there are others. */
class CopyingHere {
  readonly #start: () => Copying;
  #copying: Copying | undefined;
  #bytes = 0;
  #tookMs = 0;
  isOver = false;

  constructor(start: () => Copying) {
    this.#start = start;
  }

  /** Whether it copies these as well; once it does not, never again. */
  takes(items: readonly CopyItem[]): boolean {
    this.#bytes += items.reduce((sum, item) => sum + weightOf(item) + fileCost, 0);
    const scattered = items.every(({ look }) => look.kind === 'blocks');
    this.isOver ||= this.#tookMs > patienceMs || this.#bytes > (scattered ? fewScatteredBytes : fewBytes);
    return !this.isOver;
  }

  async copy(items: readonly CopyItem[]): Promise<CopyResult> {
    this.#copying ??= this.#start();
    const startedMs = performance.now();
    const result = await this.#copying.copy(items);
    this.#tookMs += performance.now() - startedMs;
    return result;
  }

  async finish(): Promise<CopyResult[]> {
    return (await this.#copying?.finish()) ?? [];
  }

  async discard(): Promise<void> {
    await this.#copying?.discard();
  }

  async close(): Promise<void> {
    await this.#copying?.close();
  }
}

/** Copies in this thread, into any storage: for tests that count and fail its operations. */
export function copyHere(
  cluster: ClusterRepository,
  startLsn: Lsn,
  kernel: PageKernel = createPageKernel(kernelBytes, cluster.repository.sumKey()),
): Copying {
  const copier = new FileCopier(cluster, kernel, startLsn);
  let last: Promise<unknown> = Promise.resolve();
  return {
    parallel: 1,
    // One after the other: all use the same memory.
    copy: async (items) => {
      const result = last.then(async () => copier.handle({ items }));
      last = result.catch(() => undefined);
      return result;
    },
    finish: async () => [await copier.handle({ finish: true })],
    discard: async () => {
      await copier.handle({ discard: true });
    },
    close: async () => copier.abort(),
  };
}
