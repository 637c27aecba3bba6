import { workerData } from 'node:worker_threads';
import { openWithAccess, type RepositoryAccess } from '../repository/repository.ts';
import { serve } from '../threads/serve.ts';
import { FileRestorer } from './file-restorer.ts';
import type { RestoreBatch, RestoredBatch } from './restore-items.ts';

/** What the thread is started with. */
export interface RestoreWorkerData {
  readonly access: RepositoryAccess;
  readonly cluster: string;
}

const data = workerData as RestoreWorkerData;
const restorer = new FileRestorer(openWithAccess(data.access).cluster(data.cluster));
serve<RestoreBatch, RestoredBatch>(async (batch) => restorer.handle(batch));
