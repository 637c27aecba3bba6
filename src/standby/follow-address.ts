import { resolve } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { readPostmasterPid } from '../server/postmaster-pid.ts';
import { isServerRunning } from '../server/running.ts';

export interface Address {
  /** A name, an address, or a directory of sockets. */
  readonly host: string;
  readonly port: number;
}

/** Where the server that runs on a data directory of this host is reached, from this host. Throws `standby-node`. */
export function serverOn(directory: string): Address {
  const found = isServerRunning(directory) ? readPostmasterPid(directory) : undefined;
  if (!found) {
    throw new PgrecallError('standby-node', `no server runs on "${directory}"`, { details: { directory } });
  }
  const { port, socketDirectory, listenAddress } = found;
  if (socketDirectory !== undefined) return { host: resolve(directory, socketDirectory), port };
  const isAny = listenAddress === undefined || listenAddress === '*' || listenAddress === '0.0.0.0';
  return { host: isAny ? '127.0.0.1' : listenAddress === '::' ? '::1' : listenAddress, port };
}
