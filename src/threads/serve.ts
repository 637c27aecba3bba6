import { parentPort } from 'node:worker_threads';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { toTransfer, type Reply, type Request } from './transfer.ts';

/** The thread's side of a `WorkerPool`: answers requests one after the other, in the order sent. */
export function serve<Task, Result>(handle: (task: Task) => Result | Promise<Result>): void {
  const port = parentPort;
  if (!port) throw new PgrecallError('bug', 'this module runs only as a worker thread');
  let last: Promise<void> = Promise.resolve();
  const answer = async (request: Request): Promise<void> => {
    let reply: Reply;
    try {
      reply = { id: request.id, result: await handle(request.task as Task) };
    } catch (error) {
      reply = { id: request.id, error: toTransfer(error) };
    }
    port.postMessage(reply);
  };
  port.on('message', (request: Request) => {
    last = last.then(async () => answer(request));
  });
}
