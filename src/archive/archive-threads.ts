import type { Incarnation } from '../repository/cluster-document.ts';
import type { RepositoryAccess } from '../repository/repository.ts';
import { WorkerPool, workerModule } from '../threads/worker-pool.ts';
import type { FetchTask } from './fetch-worker.ts';
import type { PushedFile } from './push-file.ts';
import type { PushTask } from './push-worker.ts';

/** What a thread that works in the archive is started with. */
export interface ArchiveWorkerData {
  readonly access: RepositoryAccess;
  readonly cluster: string;
  readonly incarnation: Incarnation;
}

/** Threads that push files. */
export function pushInThreads(data: ArchiveWorkerData, size: number): WorkerPool<PushTask, PushedFile> {
  return new WorkerPool({ module: workerModule('push-worker', import.meta.url), size, workerData: data });
}

/** Threads that fetch files; each says whether the archive has it. */
export function fetchInThreads(data: ArchiveWorkerData, size: number): WorkerPool<FetchTask, boolean> {
  return new WorkerPool({ module: workerModule('fetch-worker', import.meta.url), size, workerData: data });
}
