import { workerData } from 'node:worker_threads';
import { openWithAccess } from '../repository/repository.ts';
import { serve } from '../threads/serve.ts';
import type { ArchiveWorkerData } from './archive-threads.ts';
import { sinkInto } from './receive-sink.ts';
import type { SinkTask } from './receive-thread.ts';
import { WalStore } from './wal-store.ts';

/*
 * The receiver's thread: compressing and sealing a segment takes tens of milliseconds, in which no commit that
 * waits for the receiver should have to wait.
 */
const { access, cluster, incarnation } = workerData as ArchiveWorkerData;
const sink = sinkInto(new WalStore(openWithAccess(access).cluster(cluster), incarnation));

serve<SinkTask, void>(async (task) => {
  switch (task.kind) {
    case 'segment':
      return sink.segment(task.name, task.path);
    case 'partial':
      return sink.partial(task.name, task.path, task.receivedBytes);
    case 'history':
      return sink.history(task.name, task.content);
  }
});
