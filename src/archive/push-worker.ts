import { workerData } from 'node:worker_threads';
import { openWithAccess } from '../repository/repository.ts';
import { serve } from '../threads/serve.ts';
import type { ArchiveWorkerData } from './archive-threads.ts';
import { FilePusher, type PushedFile } from './push-file.ts';
import { WalStore } from './wal-store.ts';

export interface PushTask {
  readonly name: string;
  readonly path: string;
}

const { access, cluster, incarnation } = workerData as ArchiveWorkerData;
const pusher = new FilePusher(new WalStore(openWithAccess(access).cluster(cluster), incarnation));
serve<PushTask, PushedFile>(async ({ name, path }) => pusher.push(name, path));
