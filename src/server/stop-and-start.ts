import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { asOwner } from './as-owner.ts';
import type { StartedBy } from './how-started.ts';
import { readPostmasterPid } from './postmaster-pid.ts';
import type { Programs } from './programs.ts';
import { isServerRunning } from './running.ts';
import { stopServer } from './stop-server.ts';

/** A server that is to be stopped for a while. Plain data. */
export interface InterruptedServer {
  readonly dataDirectory: string;
  readonly startedBy: StartedBy;
  /** For one that was started by a command: the programs beside its own are taken first. */
  readonly programs: Programs;
  readonly stopTimeoutMs: number;
  /** How long it is waited for until it takes connections; it goes on starting then. */
  readonly startTimeoutMs: number;
}

const pollMs = 20;
/** On a machine that is busy a process takes its time until it has its lock file, however soon it is not waited for any more. */
const appearTimeoutMs = 30_000;
const tailBytes = 2000;

/** Stops it in fast mode, as it was started. Throws `server-stop`. */
export async function stopAsStarted(server: InterruptedServer): Promise<void> {
  const { dataDirectory, startedBy, programs, stopTimeoutMs } = server;
  if (startedBy.kind !== 'systemd') {
    const beside = startedBy.kind === 'command' ? join(dirname(startedBy.command.program), 'pg_ctl') : '';
    const pgCtl = existsSync(beside) ? beside : programs.pgCtl;
    await stopServer({ programs: { ...programs, pgCtl }, dataDirectory, mode: 'fast', timeoutMs: stopTimeoutMs });
    return;
  }
  const { unit } = startedBy;
  try {
    await systemctl('stop', unit, stopTimeoutMs);
  } catch (error) {
    throw new PgrecallError('server-stop', `systemctl stop ${unit} failed: ${wordsOf(error)}`, {
      hint: 'only root may stop units, unless a rule of polkit lets others: run this as root',
      cause: error,
    });
  }
  if (isServerRunning(dataDirectory)) {
    throw new PgrecallError('server-stop', `${unit} is stopped, and the server on "${dataDirectory}" runs on`);
  }
}

/**
 * Starts it as it had been started, and waits until it takes connections. Where it runs already nothing is done: who
 * watches over it was faster. Throws `server-start`.
 */
export async function startAsStarted(server: InterruptedServer): Promise<void> {
  const { dataDirectory, startedBy } = server;
  if (isServerRunning(dataDirectory)) return untilReady(server, undefined);
  switch (startedBy.kind) {
    case 'systemd':
      await running(`systemctl start ${startedBy.unit}`, dataDirectory, async () =>
        systemctl('start', startedBy.unit, Math.max(server.startTimeoutMs, appearTimeoutMs)),
      );
      return untilReady(server, undefined);
    case 'pg_ctlcluster': {
      const words = ['--skip-systemctl-redirect', startedBy.version, startedBy.name, 'start'];
      await running(`pg_ctlcluster ${words.join(' ')}`, dataDirectory, async () =>
        promisify(execFile)(startedBy.program, words),
      );
      return untilReady(server, undefined);
    }
    case 'command':
      return untilReady(server, launch(server, startedBy));
  }
}

async function systemctl(verb: 'stop' | 'start', unit: string, timeoutMs: number): Promise<void> {
  await promisify(execFile)('systemctl', ['--no-ask-password', verb, '--', unit], { timeout: timeoutMs });
}

async function running(what: string, dataDirectory: string, run: () => Promise<unknown>): Promise<void> {
  try {
    await run();
  } catch (error) {
    // As pg_ctlcluster does where somebody else has started it meanwhile.
    if (isServerRunning(dataDirectory)) return;
    throw startError(dataDirectory, `${what} failed: ${wordsOf(error)}`, error);
  }
}

interface Launched {
  readonly logFile: string;
  readonly logStart: number;
  ended: string | undefined;
}

/**
 * By a shell of the owner's, which opens the log: as root nothing is opened whose name the server's user could have
 * chosen.
 */
function launch(server: InterruptedServer, startedBy: StartedBy & { kind: 'command' }): Launched {
  const { dataDirectory, programs } = server;
  const { command, logFile, env } = startedBy;
  const program = existsSync(command.program) ? command.program : programs.postgres;
  const script = 'log=$1; shift; exec "$@" </dev/null >>"$log" 2>&1';
  const words = ['-c', script, 'sh', logFile, program, '-D', dataDirectory, ...command.arguments];
  const run = asOwner(dataDirectory, '/bin/sh', words, { ...programs.env, ...env });
  const child: ChildProcess = spawn(run.command, [...run.arguments], {
    ...run.options,
    detached: true,
    stdio: 'ignore',
  });
  const launched: Launched = { logFile, logStart: sizeOf(logFile), ended: undefined };
  child.on('error', (error) => (launched.ended = error.message));
  child.on('exit', (status, signal) => {
    launched.ended ??= signal === null ? `it ended with status ${status}` : `it was ended by ${signal}`;
  });
  child.unref();
  return launched;
}

async function untilReady(server: InterruptedServer, launched: Launched | undefined): Promise<void> {
  const { dataDirectory, startTimeoutMs } = server;
  const begunAt = performance.now();
  for (;;) {
    const status = readPostmasterPid(dataDirectory)?.status;
    const runs = isServerRunning(dataDirectory);
    if (runs && (status === 'ready' || status === 'standby')) return;
    if (launched?.ended !== undefined) {
      const tail = tailFrom(launched.logFile, launched.logStart);
      throw startError(dataDirectory, `${launched.ended}${tail}`);
    }
    const waitedMs = performance.now() - begunAt;
    if (runs && waitedMs > startTimeoutMs) return;
    if (!runs && waitedMs > Math.max(startTimeoutMs, appearTimeoutMs)) {
      throw startError(dataDirectory, 'its process did not appear');
    }
    await sleep(pollMs);
  }
}

function startError(dataDirectory: string, why: string, cause?: unknown): PgrecallError {
  return new PgrecallError(
    'server-start',
    `the server on "${dataDirectory}" was stopped and did not start again: ${why}`,
    {
      hint: 'its log says why; start it as soon as that is mended',
      details: { dataDirectory },
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

function wordsOf(error: unknown): string {
  const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
  return stderr === '' ? String(error) : stderr;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function tailFrom(path: string, start: number): string {
  try {
    const tail = readFileSync(path).subarray(start).toString().slice(-tailBytes).trim();
    return tail === '' ? '' : `\n${tail}`;
  } catch {
    return '';
  }
}
