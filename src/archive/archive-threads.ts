import type { Incarnation } from '../repository/cluster-document.ts';
import type { RepositoryAccess } from '../repository/repository.ts';
import { WorkerPool, workerModule } from '../threads/worker-pool.ts';
import { WorkingAlong } from '../threads/working-along.ts';
import { fetchFile } from './fetch-file.ts';
import type { FetchTask } from './fetch-worker.ts';
import { FilePusher, type PushedFile } from './push-file.ts';
import type { PushTask } from './push-worker.ts';
import type { WalStore } from './wal-store.ts';

/** What a thread that works in the archive is started with. */
export interface ArchiveWorkerData {
  readonly access: RepositoryAccess;
  readonly cluster: string;
  readonly incarnation: Incarnation;
}

/** Pushes files in so many threads, this one among them. */
export function pushInThreads(
  store: WalStore,
  data: ArchiveWorkerData,
  jobs: number,
): WorkingAlong<PushTask, PushedFile> {
  const pusher = new FilePusher(store);
  return new WorkingAlong(
    async ({ name, path }) => pusher.push(name, path),
    otherThreads<PushTask, PushedFile>(workerModule('push-worker', import.meta.url), data, jobs),
  );
}

/** Fetches files in so many threads, this one among them; says of each whether the archive has it. */
export function fetchInThreads(
  store: WalStore,
  data: ArchiveWorkerData,
  jobs: number,
): WorkingAlong<FetchTask, boolean> {
  return new WorkingAlong(
    async ({ name, path, workingDirectory }) => fetchFile(store, name, path, { workingDirectory }),
    otherThreads<FetchTask, boolean>(workerModule('fetch-worker', import.meta.url), data, jobs),
  );
}

function otherThreads<Task, Result>(
  module: URL,
  workerData: ArchiveWorkerData,
  jobs: number,
): WorkerPool<Task, Result> | undefined {
  if (jobs === 1) return undefined;
  return new WorkerPool({ module, size: jobs - 1, workerData, asNeeded: true });
}
