import { workerData } from 'node:worker_threads';
import { openWithAccess } from '../repository/repository.ts';
import { serve } from '../threads/serve.ts';
import type { ArchiveWorkerData } from './archive-threads.ts';
import type { VerifiedWalObjects, VerifyWalTask } from './verify-wal-items.ts';
import { verifyWalObjects } from './verify-wal-objects.ts';
import { WalStore } from './wal-store.ts';

const { access, cluster, incarnation } = workerData as ArchiveWorkerData;
const store = new WalStore(openWithAccess(access).cluster(cluster), incarnation);
serve<VerifyWalTask, VerifiedWalObjects>(async (task) => verifyWalObjects(store, task));
