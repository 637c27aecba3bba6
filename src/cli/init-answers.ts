import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { asTable, findConfigFile, parseToml, type Table } from '../config/config-file.ts';
import { configFrom, type ClusterConfig } from '../config/config.ts';
import { defaultConfigFile, readConfigText, withCluster, type ClusterEntry } from '../config/edit-config.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { Options } from './command.ts';
import type { CliContext } from './context.ts';
import { flagOption, textOption } from './options.ts';

/** The configuration as it is, and as `init` would leave it. Nothing is written here. */
export interface InitConfig {
  readonly file: string;
  /** `undefined` where there is no file yet. */
  readonly before: string | undefined;
  readonly after: string;
  /** Keys whose value is new. */
  readonly changes: readonly string[];
  readonly added: boolean;
  /** Whether a passphrase is to be made where its file is missing. */
  readonly makesPassphrase: boolean;
  readonly cluster: ClusterConfig;
}

/** What `init` has to know, by the names of the options. */
interface Answers {
  readonly makesPassphrase: boolean;
  readonly entry: AnsweredEntry;
}

interface AnsweredEntry {
  readonly connection: string;
  readonly repository: string;
  readonly data_directory: string | undefined;
  readonly passphrase_file: string | undefined;
  readonly pg_bin: string | undefined;
}

const usualSocket = '/var/run/postgresql';
const usualRepository = '/var/backups/pgrecall';

/**
 * Takes what is missing from the options, from the file, or from who sits at the terminal. Throws `usage` naming
 * every option that is missing where nobody does, and `config-…` for a file that is not right.
 */
export async function readInitConfig(name: string, options: Options, context: CliContext): Promise<InitConfig> {
  const { configuration } = context;
  const file =
    findConfigFile(configuration) ?? defaultConfigFile({ uid: process.getuid?.(), home: configuration.home });
  const before = readConfigText(file);
  const document = parseToml(before ?? '', file);
  const { clusters = {}, ...top } = document;
  const table = asTable(file, 'clusters', clusters)[name];
  const there: Table = { ...top, ...(table === undefined ? {} : asTable(file, `clusters.${name}`, table)) };
  // A file that is wrong is said so before anything is asked.
  if (before !== undefined) configFrom(file, document, { ...configuration, env: {}, flags: {} });
  const { entry, makesPassphrase } = await collect(name, options, { file, there, isNew: table === undefined }, context);
  return {
    ...plan({ file, before, name, isNew: table === undefined }, changedKeys(entry, there, file), context),
    makesPassphrase,
  };
}

/** The same with one more value, which only the server could tell. */
export function withDataDirectory(config: InitConfig, dataDirectory: string, context: CliContext): InitConfig {
  const { file, before, cluster } = config;
  const text = withCluster(config.after, file, cluster.name, { data_directory: dataDirectory });
  const changes = [...config.changes, 'data_directory'];
  return { ...config, after: text, changes, cluster: clusterOf(file, text, cluster.name, context), before };
}

function plan(
  to: { readonly file: string; readonly before: string | undefined; readonly name: string; readonly isNew: boolean },
  entry: ClusterEntry,
  context: CliContext,
): Omit<InitConfig, 'makesPassphrase'> {
  const { file, before, name, isNew } = to;
  const changes = Object.keys(entry);
  const after = changes.length === 0 && before !== undefined ? before : withCluster(before, file, name, entry);
  return { file, before, after, changes, added: isNew, cluster: clusterOf(file, after, name, context) };
}

function clusterOf(file: string, text: string, name: string, context: CliContext): ClusterConfig {
  return configFrom(file, parseToml(text, file), context.configuration).cluster(name);
}

async function collect(
  name: string,
  options: Options,
  found: { readonly file: string; readonly there: Table; readonly isNew: boolean },
  context: CliContext,
): Promise<Answers> {
  const { there } = found;
  const given = (key: string, option: string): string | undefined =>
    textOption(options, option) ?? (typeof there[key] === 'string' ? there[key] : undefined);
  const path = (key: string, option: string): string | undefined => {
    const text = textOption(options, option);
    if (text !== undefined) return resolve(context.cwd, text);
    return typeof there[key] === 'string' ? resolve(dirname(found.file), there[key]) : undefined;
  };
  let connection = given('connection', 'connection');
  let repository = path('repository', 'repository');
  let passphraseFile = path('passphrase_file', 'passphraseFile');
  let makesPassphrase = flagOption(options, 'generatePassphrase');
  const { ask } = context;
  if (ask) {
    connection ??= await ask(`how to reach the server of "${name}"`, usualConnection());
    const asksForRepository = repository === undefined;
    repository ??= resolve(context.cwd, await ask('directory of the repository', usualRepository));
    const hasPassphrase = there['passphrase_command'] !== undefined || context.env['PGRECALL_PASSPHRASE'] !== undefined;
    if (asksForRepository && !hasPassphrase && passphraseFile === undefined) {
      const answer = await ask('file with a passphrase to encrypt the repository with (empty: no encryption)');
      if (answer !== '') {
        passphraseFile = resolve(context.cwd, answer);
        makesPassphrase ||= await agreesToMake(passphraseFile, ask);
      }
    }
  }
  const missing = [...(connection ? [] : ['--connection']), ...(repository === undefined ? ['--repository'] : [])];
  if (!connection || repository === undefined) {
    throw new PgrecallError('usage', `${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} missing`, {
      hint: `pgrecall init ${name} --connection postgresql:///postgres?host=${usualSocket} --repository ${usualRepository}`,
      details: { missing },
    });
  }
  return {
    makesPassphrase,
    entry: {
      connection,
      repository,
      data_directory: path('data_directory', 'dataDirectory'),
      passphrase_file: passphraseFile,
      pg_bin: path('pg_bin', 'pgBin'),
    },
  };
}

async function agreesToMake(file: string, ask: NonNullable<CliContext['ask']>): Promise<boolean> {
  if (existsSync(file)) return false;
  const answer = await ask(`"${file}" does not exist; make it, with a passphrase of 256 random bits?`, 'yes');
  return /^y(es)?$/i.test(answer);
}

function usualConnection(): string {
  return existsSync(`${usualSocket}/.s.PGSQL.5432`) ? `postgresql:///postgres?host=${usualSocket}` : '';
}

/** What the file does not say yet. */
function changedKeys(answers: AnsweredEntry, there: Table, file: string): ClusterEntry {
  const entry: Record<string, string> = {};
  for (const [key, wanted] of Object.entries(answers) as [string, string | undefined][]) {
    const value = there[key];
    const says = typeof value !== 'string' || key === 'connection' ? value : resolve(dirname(file), value);
    if (wanted !== undefined && wanted !== says) entry[key] = wanted;
  }
  return entry;
}
