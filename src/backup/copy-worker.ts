import { workerData } from 'node:worker_threads';
import { lsn } from '../postgres/lsn.ts';
import { createPageKernel } from '../postgres/page-kernel.ts';
import { openWithAccess, type RepositoryAccess } from '../repository/repository.ts';
import { serve } from '../threads/serve.ts';
import { chunkBytes, type CopyResult, type CopyTask } from './copy-items.ts';
import { FileCopier } from './file-copier.ts';

/** What the thread is started with. */
export interface CopyWorkerData {
  readonly access: RepositoryAccess;
  readonly cluster: string;
  readonly startLsn: bigint;
}

const data = workerData as CopyWorkerData;
const copier = new FileCopier(
  openWithAccess(data.access).cluster(data.cluster),
  createPageKernel(chunkBytes),
  lsn(data.startLsn),
);
serve<CopyTask, CopyResult>(async (task) => copier.handle(task));
