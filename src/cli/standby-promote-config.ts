import { realpathSync, existsSync } from 'node:fs';
import type { ClusterConfig } from '../config/config.ts';
import { readConfigText, withCluster, writeConfig } from '../config/edit-config.ts';
import { connectionTo, connectionWords } from '../connection/connection-uri.ts';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import type { Address } from '../standby/follow-address.ts';

/** How the configuration leads to the new primary. */
export interface PointedConfiguration {
  readonly file: string;
  /** What has to stand there, by its keys; without a password. Empty where all is right. */
  readonly needed: Readonly<Record<string, string>>;
  readonly written: boolean;
  /** Why it was not written, though that was asked for. */
  readonly problem: string | undefined;
}

/** Writes it with `apply`; never throws, since the promotion is over. */
export function pointConfiguration(
  config: ClusterConfig,
  options: {
    readonly directory: string;
    readonly address: Address;
    /** One of the configured hosts is the new primary. */
    readonly isNamed: boolean;
    readonly apply: boolean;
  },
): PointedConfiguration {
  const file = config.configFile;
  const entry: Record<string, string> = {};
  if (!options.isNamed) entry['connection'] = connectionTo(config.connection, options.address);
  if (config.dataDirectory !== undefined && !isSame(config.dataDirectory, options.directory)) {
    entry['data_directory'] = options.directory;
  }
  const needed = { ...entry };
  if (needed['connection'] !== undefined) needed['connection'] = withoutPassword(needed['connection']);
  if (!options.apply || Object.keys(entry).length === 0) return { file, needed, written: false, problem: undefined };
  try {
    const text = withCluster(readConfigText(file), file, config.name, entry);
    writeConfig(file, text, { mode: 0o777, gid: undefined });
    return { file, needed, written: true, problem: undefined };
  } catch (error) {
    if (!(error instanceof PgrecallError) && !isErrno(error, 'EACCES', 'EPERM', 'EROFS', 'ENOSPC')) throw error;
    return { file, needed, written: false, problem: error.message };
  }
}

function withoutPassword(connection: string): string {
  const { password: _password, ...words } = connectionWords(connection);
  return Object.entries(words)
    .map(([key, value]) => `${key}=${value ?? ''}`)
    .join(' ');
}

function isSame(a: string, b: string): boolean {
  const real = (path: string): string => (existsSync(path) ? realpathSync(path) : path);
  return real(a) === real(b);
}
