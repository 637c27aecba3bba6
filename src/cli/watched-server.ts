import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { readControlFile } from '../backup/read-control-file.ts';
import { connectionOptions } from '../connection/connection-uri.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ControlFile } from '../postgres/control-file.ts';
import type { WatchedServer } from '../restore/watch-recovery.ts';
import { readPostmasterPid } from '../server/postmaster-pid.ts';
import { isServerRunning } from '../server/running.ts';

const tailBytes = 4000;

export interface WatchOptions {
  /** Whose user and password to take; the server's place is that of its postmaster.pid. */
  readonly connection?: string | undefined;
  readonly logFile?: string;
  readonly env: NodeJS.ProcessEnv;
}

/** The server that runs on a data directory, reached as its own postmaster.pid says. Throws `connection`. */
export function findServer(dataDirectory: string, options: WatchOptions): WatchedServer {
  const found = readPostmasterPid(dataDirectory);
  if (!found) {
    throw new PgrecallError('connection', `no server runs on "${dataDirectory}"`, {
      hint: 'start it with pg_ctl start; resume acts on a server that waits at its recovery target',
    });
  }
  const host = found.socketDirectory ?? found.listenAddress ?? 'localhost';
  return watchedServer({ dataDirectory, host, port: found.port }, options);
}

/** A server that was started just now, and may have ended since. */
export function watchedServer(
  at: { readonly dataDirectory: string; readonly host: string; readonly port: number },
  options: WatchOptions,
): WatchedServer {
  const { connection, logFile, env } = options;
  const { dataDirectory, host, port } = at;
  const { user, password } =
    connection === undefined
      ? { user: env['PGUSER'] ?? 'postgres', password: undefined }
      : connectionOptions(connection, env);
  // The database of the configuration may not have been made yet at the moment that is recovered.
  const words: [string, string][] = [
    ['host', host],
    ['port', String(port)],
    ['user', user],
    ...(password === undefined ? [] : [['password', password] as [string, string]]),
  ];
  const query = words.map(([word, value]) => `${word}=${encodeURIComponent(value)}`).join('&');
  return {
    uri: `postgresql:///postgres?${query}`,
    isRunning: () => isServerRunning(dataDirectory),
    control: () => controlOf(dataDirectory),
    logTail: () => (logFile === undefined ? '' : tailOf(logFile)),
  };
}

function controlOf(dataDirectory: string): ControlFile | undefined {
  try {
    return readControlFile(dataDirectory).control;
  } catch {
    return undefined;
  }
}

/** The last lines of a log. */
function tailOf(path: string): string {
  try {
    const descriptor = openSync(path, 'r');
    try {
      const { size } = fstatSync(descriptor);
      const tail = Buffer.alloc(Math.min(size, tailBytes));
      readSync(descriptor, tail, 0, tail.length, size - tail.length);
      return tail.toString('utf8');
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return '';
  }
}
