import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, fchownSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { asOwner } from './as-owner.ts';
import { readPostmasterPid, type PostmasterPid } from './postmaster-pid.ts';
import type { Programs } from './programs.ts';
import { isServerRunning } from './running.ts';

/*
 * Starts `postgres` itself instead of `pg_ctl start`: a server that refuses to start is then known by its exit,
 * at once and with its status, and the process id needs no guessing. pg_ctl can stop and restart what is started
 * here; the server writes postmaster.opts by itself.
 */

export interface StartServer {
  readonly programs: Programs;
  readonly dataDirectory: string;
  /** What the server says before its own logging begins is appended here; so is its log unless it collects it. */
  readonly logFile: string;
  readonly signal: AbortSignal;
  /** More arguments of `postgres`, for instance `['-c', 'port=5433']`. */
  readonly options?: readonly string[];
}

export interface StartedServer {
  readonly port: number;
  /** Directory of its socket; the address that it listens on where it has no socket. */
  readonly socketDirectory: string;
  readonly pid: number;
}

const pollMs = 10;
const tailBytes = 2000;

/**
 * Starts a server as the owner of its data directory. Returns once it has read its settings and opened its
 * sockets; recovery, which may take hours, has only begun then. Throws `server-start` with the end of the log
 * where it ended before that, or where one runs already.
 */
export async function startServer(options: StartServer): Promise<StartedServer> {
  const { dataDirectory, logFile, signal } = options;
  signal.throwIfAborted();
  if (isServerRunning(dataDirectory)) {
    throw new PgrecallError('server-start', `a server runs on "${dataDirectory}" already`, {
      hint: 'stop it first: pg_ctl stop',
    });
  }
  const logStart = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
  const server = launch(options);
  try {
    const found = await untilSocketsAreOpen(server, dataDirectory, signal);
    return { port: found.port, socketDirectory: addressOf(found), pid: found.pid };
  } catch (error) {
    if (!(error instanceof ServerEnded)) {
      server.child.kill('SIGINT');
      throw error;
    }
    const tail = tailFrom(logFile, logStart);
    throw new PgrecallError('server-start', `the server on "${dataDirectory}" did not start: ${error.message}${tail}`, {
      hint: 'its log says why',
      details: { dataDirectory, logFile },
      cause: error.cause,
    });
  } finally {
    server.child.unref();
  }
}

class ServerEnded extends Error {}

interface Launched {
  readonly child: ChildProcess;
  /** Set once the process has ended, or could not be made. */
  ended: ServerEnded | undefined;
}

function launch(options: StartServer): Launched {
  const { programs, dataDirectory } = options;
  const run = asOwner(dataDirectory, programs.postgres, ['-D', dataDirectory, ...(options.options ?? [])], {
    ...process.env,
    ...programs.env,
  });
  const log = openLog(options.logFile, dataDirectory);
  try {
    const child = spawn(run.command, run.arguments, {
      ...run.options,
      detached: true,
      stdio: ['ignore', log, log],
    });
    const launched: Launched = { child, ended: undefined };
    child.on('error', (cause) => {
      launched.ended = new ServerEnded(`cannot run ${programs.postgres}: ${cause.message}`, { cause });
    });
    child.on('exit', (status, signal) => {
      launched.ended ??= new ServerEnded(
        signal === null ? `it ended with status ${status}` : `it was ended by ${signal}`,
      );
    });
    return launched;
  } finally {
    closeSync(log);
  }
}

/** For appending. As root it follows no link, which the server's user could have put there, and gives that user a new log. */
function openLog(path: string, dataDirectory: string): number {
  const root = process.getuid?.() === 0;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | (root ? constants.O_NOFOLLOW : 0);
  const descriptor = openSync(path, flags, 0o600);
  const log = fstatSync(descriptor);
  if (root && log.isFile() && log.size === 0) {
    const { uid, gid } = statSync(dataDirectory);
    fchownSync(descriptor, uid, gid);
  }
  return descriptor;
}

async function untilSocketsAreOpen(
  server: Launched,
  dataDirectory: string,
  signal: AbortSignal,
): Promise<PostmasterPid> {
  for (;;) {
    if (server.ended) throw server.ended;
    const found = readPostmasterPid(dataDirectory);
    if (found && found.pid === server.child.pid && found.status !== '') return found;
    await sleep(pollMs, undefined, { signal });
  }
}

function addressOf(found: PostmasterPid): string {
  if (found.socketDirectory !== undefined) return found.socketDirectory;
  return found.listenAddress === undefined || found.listenAddress === '*' ? 'localhost' : found.listenAddress;
}

function tailFrom(path: string, start: number): string {
  const tail = readFileSync(path).subarray(start).toString().slice(-tailBytes).trim();
  return tail === '' ? '' : `\n${tail}`;
}
