import { resolve } from 'node:path';
import type { ClusterConfig } from '../config/config.ts';
import { connectionTo } from '../connection/connection-uri.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { readPostmasterPid } from '../server/postmaster-pid.ts';
import { isServerRunning } from '../server/running.ts';
import type { Options } from './command.ts';
import { textOption } from './options.ts';

const roles = ['primary', 'standby', 'any'] as const;

/** In which role the server of this host is wanted. */
export type LocalRole = (typeof roles)[number];

/** Throws `usage`. */
export function roleOption(options: Options): LocalRole | undefined {
  const text = textOption(options, 'role');
  if (text === undefined) return undefined;
  const role = roles.find((known) => known === text);
  if (!role) throw new PgrecallError('usage', `--role is "${text}"; expected ${roles.join(', ')}`);
  return role;
}

/**
 * The configured connection, led to the server that runs on the data directory here, as its postmaster.pid says.
 * Throws `usage` where the directory is not known, `connection` where no server runs on it.
 */
export function localConnection(config: ClusterConfig): string {
  const { dataDirectory } = config;
  if (dataDirectory === undefined) {
    throw new PgrecallError('usage', `the configuration has no data_directory for "${config.name}"`, {
      hint: '--role means the server that runs on it: set data_directory',
    });
  }
  const found = isServerRunning(dataDirectory) ? readPostmasterPid(dataDirectory) : undefined;
  if (!found) {
    throw new PgrecallError('connection', `no server runs on "${dataDirectory}" on this host`, {
      hint: 'start it, or leave --role away: the connection of the configuration is used then',
    });
  }
  return connectionTo(config.connection, { host: hostOf(found, dataDirectory), port: found.port });
}

function hostOf(
  { socketDirectory, listenAddress }: NonNullable<ReturnType<typeof readPostmasterPid>>,
  dataDirectory: string,
): string {
  if (socketDirectory !== undefined) return resolve(dataDirectory, socketDirectory);
  if (listenAddress === undefined || listenAddress === '*' || listenAddress === '0.0.0.0') return '127.0.0.1';
  return listenAddress === '::' ? '::1' : listenAddress;
}
