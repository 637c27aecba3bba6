import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { asOwner } from './as-owner.ts';
import type { Programs } from './programs.ts';
import { isServerRunning } from './running.ts';

export interface StopServer {
  readonly programs: Programs;
  readonly dataDirectory: string;
  /** `smart` waits for clients to leave, `fast` disconnects them, `immediate` leaves recovery to the next start. */
  readonly mode: 'smart' | 'fast' | 'immediate';
  readonly timeoutMs: number;
}

const pollMs = 10;

/**
 * Stops the server of a data directory and waits until its process is gone; where none runs there is nothing to
 * do. Throws `server-stop` where it could not be asked to, or is still there after `timeoutMs`.
 */
export async function stopServer(options: StopServer): Promise<void> {
  const { programs, dataDirectory, mode, timeoutMs } = options;
  if (!isServerRunning(dataDirectory)) return;
  const deadline = performance.now() + timeoutMs;
  const stop = asOwner(dataDirectory, programs.pgCtl, ['stop', '--no-wait', '-D', dataDirectory, '-m', mode], {
    ...process.env,
    ...programs.env,
  });
  try {
    await promisify(execFile)(stop.command, [...stop.arguments], stop.options);
  } catch (error) {
    // It may have ended by itself just then.
    if (!isServerRunning(dataDirectory)) return;
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
    throw new PgrecallError('server-stop', `cannot stop the server on "${dataDirectory}": ${said}`, { cause: error });
  }
  while (isServerRunning(dataDirectory)) {
    if (performance.now() > deadline) {
      throw new PgrecallError(
        'server-stop',
        `the server on "${dataDirectory}" is still running ${timeoutMs / 1000} s after it was asked to stop`,
        { hint: 'clients or a long checkpoint may hold it; pg_ctl stop -m fast disconnects clients' },
      );
    }
    await sleep(pollMs);
  }
}
