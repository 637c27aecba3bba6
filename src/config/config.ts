import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { clusterNameRule, isClusterName } from '../repository/cluster-name.ts';
import {
  asTable,
  configCandidates,
  findConfigFile,
  readConfigFile,
  systemConfigFile,
  userConfigFile,
  type ConfigSearch,
  type Table,
} from './config-file.ts';
import { nearest } from './nearest.ts';
import { camelCase, definitionsFor, optionDefinitions, type OptionDefinition, type OptionName } from './options.ts';
import { readPassphrase, type PassphraseSource } from './passphrase.ts';
import { readRetention, type RetentionSettings } from './retention-settings.ts';

/*
 * The configuration: one TOML file, with a table for each cluster,
 *
 *   repository = "/backup"
 *   [clusters.main]
 *   connection = "postgresql:///postgres?host=/run/postgresql"
 *
 * The command line wins over the environment, the environment over the file; in the file, what stands in a
 * cluster's table wins over the top.
 */

export interface ClusterConfig {
  readonly name: string;
  readonly connection: string;
  readonly dataDirectory: string | undefined;
  readonly pgBin: string | undefined;
  readonly slot: string | undefined;
  /** Of a recovered cluster; each must give true. */
  readonly assertions: readonly string[];
  readonly repositoryDirectory: string;
  readonly passphraseSource: PassphraseSource;
  /** Asks the source. Throws `config-invalid` where that fails. */
  readonly passphrase: () => Promise<string | undefined>;
  readonly jobs: number;
  readonly retention: RetentionSettings;
  /** This cluster's own, below the configured one. */
  readonly stateDirectory: string;
  readonly configFile: string;
}

export interface Config {
  readonly file: string;
  readonly clusters: ReadonlyMap<string, ClusterConfig>;
  /** The named one, or the only one. Throws `cluster-unknown`. */
  readonly cluster: (name?: string) => ClusterConfig;
}

export interface LoadConfigOptions extends ConfigSearch {
  /** Options of the command line in camelCase; others than configuration options are passed over. */
  readonly flags?: Readonly<Record<string, unknown>>;
}

/** Throws `config-missing`, `config-invalid`, `config-unknown-key`. */
export function loadConfig(options: LoadConfigOptions): Config {
  const file = findConfigFile(options);
  if (file === undefined) {
    throw new PgrecallError('config-missing', 'there is no configuration', {
      details: { searched: configCandidates(options) },
    });
  }
  return configFrom(file, readConfigFile(file), options);
}

/** What a file's document says. Throws `config-invalid`, `config-unknown-key`. */
export function configFrom(file: string, document: Table, options: LoadConfigOptions): Config {
  const { clusters: tables = {}, ...top } = document;
  checkKeys(file, top, 'top', ['clusters']);
  const clusters = new Map<string, ClusterConfig>();
  for (const [name, table] of Object.entries(asTable(file, 'clusters', tables))) {
    if (!isClusterName(name)) {
      throw new PgrecallError('config-invalid', `"${file}": "${name}" cannot be the name of a cluster`, {
        hint: clusterNameRule,
      });
    }
    const own = asTable(file, `clusters.${name}`, table);
    checkKeys(file, own, 'cluster', []);
    clusters.set(name, makeCluster(file, name, { ...top, ...own }, options));
  }
  return { file, clusters, cluster: (name) => pick(file, clusters, name) };
}

function pick(file: string, clusters: ReadonlyMap<string, ClusterConfig>, name: string | undefined): ClusterConfig {
  const names = [...clusters.keys()];
  const has = `"${file}" has: ${names.join(', ') || 'none'}`;
  if (name === undefined) {
    const [only, second] = clusters.values();
    if (only && !second) return only;
    throw new PgrecallError('cluster-unknown', only ? 'say which cluster' : 'there is no cluster yet', {
      hint: only ? has : 'pgrecall init adds one to the configuration',
      details: { known: names },
    });
  }
  const found = clusters.get(name);
  if (found) return found;
  const near = nearest(name, names);
  throw new PgrecallError('cluster-unknown', `the configuration has no cluster "${name}"`, {
    hint: near === undefined ? has : `did you mean "${near}"? ${has}`,
    details: { known: names, nearest: near ?? null },
  });
}

function checkKeys(file: string, table: Table, scope: 'top' | 'cluster', also: readonly string[]): void {
  const known = [...definitionsFor(scope).map(({ name }) => name), ...also];
  for (const key of Object.keys(table)) {
    if (known.includes(key)) continue;
    const elsewhere = optionDefinitions.find(({ name }) => name === key);
    const near = elsewhere ? undefined : nearest(key, known);
    const place = elsewhere?.scope === 'cluster' ? 'into a [clusters.<name>] table' : 'to the top of the file';
    throw new PgrecallError('config-unknown-key', `"${file}" has an unknown key "${key}"`, {
      hint: elsewhere
        ? `"${key}" belongs ${place}`
        : near === undefined
          ? `known keys: ${known.join(', ')}`
          : `did you mean "${near}"?`,
      details: { file, key, nearest: near ?? null },
    });
  }
}

function makeCluster(file: string, name: string, table: Table, options: LoadConfigOptions): ClusterConfig {
  const value = (option: OptionName): string | undefined => readOption(file, table, option, options);
  const connection = value('connection');
  if (connection === undefined) {
    throw new PgrecallError('config-invalid', `"${file}": clusters.${name} has no connection`, {
      hint: 'connection = "postgresql://user@host:5432/postgres", or with the directory of a socket as host',
    });
  }
  const repositoryDirectory = value('repository');
  if (repositoryDirectory === undefined) {
    throw new PgrecallError('config-invalid', `"${file}": there is no repository for clusters.${name}`, {
      hint: 'repository = "/backup", at the top for every cluster or in the cluster’s own table',
    });
  }
  const passphraseSource = findPassphrase(options.env, value('passphrase_file'), value('passphrase_command'));
  return {
    name,
    connection,
    dataDirectory: value('data_directory'),
    pgBin: value('pg_bin'),
    slot: value('slot'),
    assertions: readTexts(file, 'assertions', table['assertions']),
    repositoryDirectory,
    passphraseSource,
    passphrase: async () => readPassphrase(passphraseSource),
    jobs: readJobs(file, value('jobs')),
    retention: readRetention(file, value),
    stateDirectory: join(value('state_directory') ?? defaultStateDirectory(file), name),
    configFile: file,
  };
}

/**
 * Where state lies unless the configuration says. It follows from where the file is, not from who asks: the server's
 * archive_command, run as another user, has to find the same.
 */
export function defaultStateDirectory(file: string): string {
  if (file === systemConfigFile) return '/var/lib/pgrecall';
  const home = file.endsWith(userConfigFile) ? file.slice(0, -userConfigFile.length) : undefined;
  return home === undefined ? join(dirname(file), 'pgrecall-state') : join(home, '.local', 'state', 'pgrecall');
}

/** Paths of the file count from where it lies, others from the working directory. */
function readOption(file: string, table: Table, option: OptionName, options: LoadConfigOptions): string | undefined {
  const flag = options.flags?.[camelCase(option)];
  if (typeof flag === 'string') return isPath(option) ? resolve(options.cwd, flag) : flag;
  const fromEnvironment = options.env[`PGRECALL_${option.toUpperCase()}`];
  if (fromEnvironment !== undefined && fromEnvironment !== '') {
    return isPath(option) ? resolve(options.cwd, fromEnvironment) : fromEnvironment;
  }
  const value = table[option];
  if (value === undefined) return undefined;
  const isNumber = typeOf(option) === 'number';
  if (isNumber && (typeof value === 'number' || typeof value === 'bigint')) return String(value);
  if (typeof value !== 'string' || value === '') {
    const expected = isNumber ? 'a number' : 'a text in quotes';
    throw new PgrecallError('config-invalid', `"${file}": ${option} is ${value === '' ? 'empty' : `not ${expected}`}`);
  }
  if (!isPath(option)) return value;
  if (value.startsWith('~')) {
    throw new PgrecallError('config-invalid', `"${file}": ${option} begins with ~`, {
      hint: 'write the whole path: the server runs pgrecall as another user, whose home is another',
    });
  }
  return resolve(dirname(file), value);
}

function readTexts(file: string, option: OptionName, value: unknown): readonly string[] {
  if (value === undefined) return [];
  const texts: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (texts.every((text): text is string => typeof text === 'string' && text.trim() !== '')) return texts;
  throw new PgrecallError('config-invalid', `"${file}": ${option} is not a list of texts in quotes`);
}

function isPath(option: OptionName): boolean {
  return typeOf(option) === 'path';
}

function typeOf(option: OptionName): OptionDefinition['type'] | undefined {
  return optionDefinitions.find(({ name }) => name === option)?.type;
}

function readJobs(file: string, text: string | undefined): number {
  if (text === undefined) return availableParallelism();
  const jobs = Number(text);
  if (Number.isInteger(jobs) && jobs >= 1 && jobs <= 256) return jobs;
  throw new PgrecallError('config-invalid', `jobs is "${text}"; expected a whole number from 1 to 256`, {
    hint: `it stands in "${file}", in PGRECALL_JOBS, or on the command line`,
  });
}

function findPassphrase(
  env: NodeJS.ProcessEnv,
  file: string | undefined,
  command: string | undefined,
): PassphraseSource {
  const text = env['PGRECALL_PASSPHRASE'];
  if (text !== undefined && text !== '') return { kind: 'environment', text };
  if (file !== undefined) return { kind: 'file', path: file };
  return command === undefined ? { kind: 'none' } : { kind: 'command', command };
}
