import { workerData } from 'node:worker_threads';
import { lsn } from '../postgres/lsn.ts';
import { createPageKernel } from '../postgres/page-kernel.ts';
import { openWithAccess, type RepositoryAccess } from '../repository/repository.ts';
import { serve } from '../threads/serve.ts';
import type { CopyResult, CopyTask } from './copy-items.ts';
import { FileCopier } from './file-copier.ts';
import { kernelBytes } from './piece-copier.ts';

/** What the thread is started with. */
export interface CopyWorkerData {
  readonly access: RepositoryAccess;
  readonly cluster: string;
  readonly startLsn: bigint;
}

const data = workerData as CopyWorkerData;
const cluster = openWithAccess(data.access).cluster(data.cluster);
const copier = new FileCopier(cluster, createPageKernel(kernelBytes, cluster.repository.sumKey()), lsn(data.startLsn));
serve<CopyTask, CopyResult>(async (task) => copier.handle(task));
