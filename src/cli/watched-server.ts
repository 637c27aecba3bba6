import { readFileSync } from 'node:fs';
import { readPostmasterPid } from '../server/postmaster-pid.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { isServerRunning } from '../server/running.ts';
import type { WatchedServer } from '../restore/watch-recovery.ts';

const tailBytes = 2000;

/** The server that runs on a data directory, reached as its own postmaster.pid says. Throws `connection`. */
export function watchedServer(dataDirectory: string, logFile?: string): WatchedServer {
  const found = readPostmasterPid(dataDirectory);
  if (!found) throw new PgrecallError('connection', `no server runs on "${dataDirectory}"`);
  const host = found.socketDirectory ?? found.listenAddress ?? 'localhost';
  const user = encodeURIComponent(process.env['PGUSER'] ?? 'postgres');
  return {
    uri: `postgresql:///postgres?host=${encodeURIComponent(host)}&port=${found.port}&user=${user}`,
    isRunning: () => isServerRunning(dataDirectory),
    logTail: () => (logFile === undefined ? '' : tailOf(logFile)),
  };
}

/** The last lines of a log. */
export function tailOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').slice(-tailBytes);
  } catch {
    return '';
  }
}
