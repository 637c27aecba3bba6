import { existsSync, readFileSync, readdirSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { parseSettings } from '../postgres/settings-file.ts';
import { directoryOf, readServerCommand, settingsOf } from './server-command.ts';

/*
 * Where the configuration of a cluster lies, found without its server: the command line of its last start tells
 * (postmaster.opts), else it lies in the data directory, else where Debian keeps it, in
 * /etc/postgresql/<version>/<name> (pg_lsclusters(1)).
 */

export interface ConfigurationFound {
  /** The postgresql.conf, the pg_hba.conf and the pg_ident.conf, by the names that they have in a data directory. */
  readonly files: Readonly<Record<string, string>>;
  /** postgresql.conf and all that it includes. */
  readonly settingsFiles: readonly string[];
}

export interface DebianCluster {
  readonly version: string;
  readonly name: string;
  /** That of its configuration. */
  readonly directory: string;
}

/** `undefined` where there is no postgresql.conf to be found. */
export function findConfiguration(dataDirectory: string, env: NodeJS.ProcessEnv): ConfigurationFound | undefined {
  const command = readServerCommand(dataDirectory);
  const given = command ? settingsOf(command) : new Map<string, string>();
  const named = command ? directoryOf(command) : undefined;
  const directory = named !== undefined && isAbsolute(named) ? named : dataDirectory;
  const debian = findDebianCluster(dataDirectory, env);
  const candidates = [given.get('config_file'), join(directory, 'postgresql.conf'), debian && mainFile(debian)];
  const main = candidates.find((path) => path !== undefined && isAbsolute(path) && existsSync(path));
  if (main === undefined) return undefined;
  const settingsFiles: string[] = [];
  const values = new Map<string, string>();
  readWithIncludes(main, settingsFiles, values, 0);
  for (const [name, value] of given) values.set(name, value);
  const placeOf = (setting: string, name: string): string => {
    const value = values.get(setting);
    return value === undefined || value === '' ? join(directory, name) : resolve(dataDirectory, value);
  };
  return {
    files: {
      'postgresql.conf': main,
      'pg_hba.conf': placeOf('hba_file', 'pg_hba.conf'),
      'pg_ident.conf': placeOf('ident_file', 'pg_ident.conf'),
    },
    settingsFiles,
  };
}

/** PostgreSQL's own limit (CONF_FILE_MAX_DEPTH). */
const maxDepth = 10;

function readWithIncludes(path: string, files: string[], values: Map<string, string>, depth: number): void {
  if (depth > maxDepth || files.includes(path)) return;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return;
  }
  files.push(path);
  for (const { name, value } of parseSettings(text)) {
    const place = resolve(dirname(path), value);
    if (name === 'include' || name === 'include_if_exists') readWithIncludes(place, files, values, depth + 1);
    else if (name === 'include_dir') {
      for (const included of configurationsIn(place)) readWithIncludes(included, files, values, depth + 1);
    } else values.set(name, value);
  }
}

/** As conffiles.c takes them: those that end in .conf, in the order of their bytes. */
function configurationsIn(directory: string): string[] {
  return namesIn(directory)
    .filter((name) => name.endsWith('.conf') && !name.startsWith('.'))
    .toSorted()
    .map((name) => join(directory, name));
}

/** The cluster of Debian's tools whose data directory this is. */
export function findDebianCluster(dataDirectory: string, env: NodeJS.ProcessEnv): DebianCluster | undefined {
  // As postgresql-common itself has it.
  const root = env['PG_CLUSTER_CONF_ROOT'] ?? '/etc/postgresql';
  const wanted = realOf(dataDirectory);
  for (const version of namesIn(root)) {
    for (const name of namesIn(join(root, version))) {
      const cluster = { version, name, directory: join(root, version, name) };
      const found = dataDirectoryOf(mainFile(cluster));
      if (found !== undefined && realOf(found) === wanted) return cluster;
    }
  }
  return undefined;
}

function mainFile({ directory }: DebianCluster): string {
  return join(directory, 'postgresql.conf');
}

function dataDirectoryOf(path: string): string | undefined {
  try {
    return parseSettings(readFileSync(path, 'utf8')).findLast(({ name }) => name === 'data_directory')?.value;
  } catch {
    return undefined;
  }
}

function realOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
