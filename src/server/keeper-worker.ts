import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { KeeperReply, KeeperRequest } from './server-keeper.ts';
import { readPostmasterPid } from './postmaster-pid.ts';
import { isServerRunning } from './running.ts';
import { startAsStarted, stopAsStarted, type InterruptedServer } from './stop-and-start.ts';

/*
 * The other side of `ServerKeeper`: a process of its own, which stops a server when it is told to, and starts it again
 * when the pipe to its parent closes. That happens whatever becomes of the parent, kill -9 included. Signals that end
 * the parent's group do not end this one.
 */

const pollMs = 100;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
// Nobody may be there to read any more.
process.stdout.on('error', () => undefined);

let server: InterruptedServer | undefined;
let isAsked = false;
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as KeeperRequest;
  if (request.kind === 'keep') {
    ({ server } = request);
    reply({ kind: 'keeping' });
  } else if (server) {
    isAsked = true;
    const kept = server;
    await answer('stopped', async () => stopAsStarted(kept));
  }
}
// The parent has ended, or has nothing more to say.
if (server && isAsked) {
  const kept = server;
  await answer('started', async () => {
    await untilGone(kept);
    await startAsStarted(kept);
  });
}

async function answer(kind: 'stopped' | 'started', act: () => Promise<void>): Promise<void> {
  try {
    await act();
    reply({ kind });
  } catch (error) {
    if (!(error instanceof PgrecallError)) throw error;
    const { code, message, hint, details } = error;
    reply({ kind: 'failed', code, message, hint, details });
  }
}

function reply(message: KeeperReply): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** A server that was asked to stop does so, however long that takes; one that was not is left alone. */
async function untilGone({ dataDirectory }: InterruptedServer): Promise<void> {
  while (isServerRunning(dataDirectory)) {
    const status = readPostmasterPid(dataDirectory)?.status;
    if (status === 'ready' || status === 'standby') return;
    await sleep(pollMs);
  }
}
