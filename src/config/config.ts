import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'smol-toml';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { definitionsFor, nearest, optionDefinitions } from './options.ts';

/*
 * The configuration: one TOML file, with a table for each cluster,
 *
 *   repository = "/backup"
 *   [clusters.main]
 *   connection = "postgresql:///postgres?host=/run/postgresql"
 *
 * The command line wins over the environment, the environment over the file.
 */

export interface ClusterConfig {
  readonly name: string;
  readonly connection: string;
  readonly dataDirectory: string | undefined;
  readonly pgBin: string | undefined;
  readonly slot: string | undefined;
  readonly repositoryDirectory: string;
  /** Asks its file, command or environment variable. Throws `config-invalid` where that fails. */
  readonly passphrase: () => Promise<string | undefined>;
  readonly jobs: number;
  /** This cluster's own, below the configured one. */
  readonly stateDirectory: string;
  readonly configFile: string;
}

export interface Config {
  readonly file: string;
  readonly clusters: ReadonlyMap<string, ClusterConfig>;
  /** The named one, or the only one. Throws `cluster-unknown`, `config-invalid`. */
  readonly cluster: (name?: string) => ClusterConfig;
}

export interface LoadConfigOptions {
  readonly file?: string;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly home: string;
  /** Options of the command line in camelCase; others than configuration options are passed over. */
  readonly flags?: Readonly<Record<string, unknown>>;
}

export const clusterNamePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;

/** Where a configuration is looked for, in this order, where none is named. */
export function configCandidates(options: Pick<LoadConfigOptions, 'env' | 'cwd' | 'home'>): string[] {
  const fromEnvironment = options.env['PGRECALL_CONFIG'];
  return [
    ...(fromEnvironment === undefined ? [] : [resolve(options.cwd, fromEnvironment)]),
    join(options.cwd, 'pgrecall.toml'),
    join(options.home, '.config', 'pgrecall', 'pgrecall.toml'),
    '/etc/pgrecall/pgrecall.toml',
  ];
}

/** The file that is named, or the first that exists; `undefined` where there is none. */
export function findConfigFile(options: LoadConfigOptions): string | undefined {
  if (options.file !== undefined) return resolve(options.cwd, options.file);
  const named = options.env['PGRECALL_CONFIG'];
  if (named !== undefined) return resolve(options.cwd, named);
  return configCandidates(options).find((path) => existsSync(path));
}

/** Throws `config-missing`, `config-invalid`, `config-unknown-key`. */
export async function loadConfig(options: LoadConfigOptions): Promise<Config> {
  const file = findConfigFile(options);
  if (file === undefined) {
    throw new PgrecallError('config-missing', 'there is no configuration', {
      details: { searched: configCandidates(options) },
    });
  }
  return Promise.resolve(makeConfig(file, readDocument(file), options));
}

type Table = Readonly<Record<string, unknown>>;

/** The parsed file. Throws `config-missing`, `config-invalid`. */
export function readDocument(file: string): Table {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw new PgrecallError('config-missing', `there is no configuration at "${file}"`);
    throw new PgrecallError('config-invalid', `cannot read "${file}"`, {
      hint: 'run pgrecall as a user that may read its configuration',
      cause: error,
    });
  }
  try {
    return parse(text);
  } catch (error) {
    throw new PgrecallError('config-invalid', `"${file}" is not TOML: ${(error as Error).message}`, { cause: error });
  }
}

function makeConfig(file: string, document: Table, options: LoadConfigOptions): Config {
  const { clusters: tables, ...top } = document;
  checkKeys(file, top, 'top', ['clusters']);
  const clusters = new Map<string, ClusterConfig>();
  for (const [name, table] of Object.entries(asTable(file, 'clusters', tables ?? {}))) {
    if (!clusterNamePattern.test(name)) {
      throw new PgrecallError(
        'config-invalid',
        `"${file}": "${name}" cannot name a cluster; letters, digits, - and _, at most 63`,
      );
    }
    const own = asTable(file, `clusters.${name}`, table);
    checkKeys(file, own, 'cluster', []);
    clusters.set(name, makeCluster(file, name, { ...top, ...own }, options));
  }
  return { file, clusters, cluster: (name) => pick(file, clusters, name) };
}

function pick(file: string, clusters: ReadonlyMap<string, ClusterConfig>, name: string | undefined): ClusterConfig {
  const names = [...clusters.keys()];
  if (name === undefined) {
    const [only, second] = clusters.values();
    if (only && !second) return only;
    throw new PgrecallError('cluster-unknown', 'say which cluster', {
      hint: `"${file}" has: ${names.join(', ') || 'none'}`,
    });
  }
  const found = clusters.get(name);
  if (found) return found;
  const near = nearest(name, names);
  throw new PgrecallError('cluster-unknown', `"${file}" has no cluster "${name}"`, {
    hint: near === undefined ? `it has: ${names.join(', ') || 'none'}` : `did you mean "${near}"?`,
    details: { known: names },
  });
}

function asTable(file: string, what: string, value: unknown): Table {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Table;
  throw new PgrecallError('config-invalid', `"${file}": ${what} is not a table`);
}

function checkKeys(file: string, table: Table, scope: 'top' | 'cluster', also: readonly string[]): void {
  const known = [...definitionsFor(scope).map(({ name }) => name), ...also];
  for (const key of Object.keys(table)) {
    if (known.includes(key)) continue;
    const near = nearest(key, known);
    const elsewhere = optionDefinitions.find(({ name }) => name === key);
    throw new PgrecallError('config-unknown-key', `"${file}" has an unknown key "${key}"`, {
      hint:
        near !== undefined
          ? `did you mean "${near}"?`
          : elsewhere
            ? `"${key}" belongs ${elsewhere.scope === 'cluster' ? 'into [clusters.<name>]' : 'to the top of the file'}`
            : `known keys: ${known.join(', ')}`,
      details: { key, nearest: near ?? null },
    });
  }
}

function makeCluster(file: string, name: string, table: Table, options: LoadConfigOptions): ClusterConfig {
  const value = (option: string): string | undefined => readOption(file, table, option, options);
  const relative = (path: string | undefined): string | undefined => path && resolve(dirname(file), path);
  const connection = value('connection');
  if (connection === undefined) {
    throw new PgrecallError('config-invalid', `"${file}": clusters.${name} has no connection`);
  }
  const repository = relative(value('repository'));
  if (repository === undefined) {
    throw new PgrecallError('config-invalid', `"${file}": there is no repository for clusters.${name}`);
  }
  const state = relative(value('state_directory')) ?? join(options.home, '.local', 'state', 'pgrecall');
  return {
    name,
    connection,
    dataDirectory: relative(value('data_directory')),
    pgBin: relative(value('pg_bin')),
    slot: value('slot'),
    repositoryDirectory: repository,
    passphrase: async () =>
      readPassphrase({
        text: options.env['PGRECALL_PASSPHRASE'],
        file: relative(value('passphrase_file')),
        command: value('passphrase_command'),
      }),
    jobs: readJobs(file, value('jobs')),
    stateDirectory: join(state, name),
    configFile: file,
  };
}

function readOption(file: string, table: Table, option: string, options: LoadConfigOptions): string | undefined {
  const flag = options.flags?.[option.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())];
  if (typeof flag === 'string') return flag;
  const fromEnvironment = options.env[`PGRECALL_${option.toUpperCase()}`];
  if (fromEnvironment !== undefined && fromEnvironment !== '') return fromEnvironment;
  const value = table[option];
  if (value === undefined) return undefined;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  throw new PgrecallError('config-invalid', `"${file}": ${option} is not a text`);
}

function readJobs(file: string, text: string | undefined): number {
  if (text === undefined) return availableParallelism();
  const jobs = Number(text);
  if (Number.isInteger(jobs) && jobs >= 1 && jobs <= 256) return jobs;
  throw new PgrecallError('config-invalid', `"${file}": jobs is ${text}; expected a whole number from 1 to 256`);
}

async function readPassphrase(from: {
  readonly text: string | undefined;
  readonly file: string | undefined;
  readonly command: string | undefined;
}): Promise<string | undefined> {
  if (from.text !== undefined && from.text !== '') return from.text;
  try {
    if (from.file !== undefined) return firstLine(readFileSync(from.file, 'utf8'));
    if (from.command !== undefined) {
      const { stdout } = await promisify(execFile)('/bin/sh', ['-c', from.command]);
      return firstLine(stdout);
    }
  } catch (error) {
    const source =
      from.file === undefined ? 'passphrase_command failed' : `cannot read the passphrase file "${from.file}"`;
    throw new PgrecallError('config-invalid', source, { cause: error });
  }
  return undefined;
}

/** Editors end a file with a newline, which is no part of the passphrase. */
function firstLine(text: string): string {
  return text.replace(/\r?\n$/, '');
}
