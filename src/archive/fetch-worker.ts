import { workerData } from 'node:worker_threads';
import { openWithAccess } from '../repository/repository.ts';
import { serve } from '../threads/serve.ts';
import type { ArchiveWorkerData } from './archive-threads.ts';
import { fetchFile } from './fetch-file.ts';
import { WalStore } from './wal-store.ts';

export interface FetchTask {
  readonly name: string;
  readonly path: string;
  /** Where it is written before it gets its name. */
  readonly workingDirectory: string;
}

const { access, cluster, incarnation } = workerData as ArchiveWorkerData;
const store = new WalStore(openWithAccess(access).cluster(cluster), incarnation);
serve<FetchTask, boolean>(async ({ name, path, workingDirectory }) =>
  fetchFile(store, name, path, { workingDirectory }),
);
