import { existsSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { TomlError, parse } from 'smol-toml';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';

/** Where and how to look for the configuration. */
export interface ConfigSearch {
  /** Named on the command line. */
  readonly file?: string;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly home: string;
}

export type Table = Readonly<Record<string, unknown>>;

export const systemConfigFile = '/etc/pgrecall/pgrecall.toml';
/** Below a user's home. */
export const userConfigFile = '/.config/pgrecall/pgrecall.toml';

/** Where a configuration is looked for, in this order, where none is named. */
export function configCandidates(search: Pick<ConfigSearch, 'cwd' | 'home'>): string[] {
  return [join(search.cwd, 'pgrecall.toml'), join(search.home, userConfigFile), systemConfigFile];
}

/**
 * The file that is named, on the command line or by PGRECALL_CONFIG, or the first that exists; `undefined` where there
 * is none. Throws `config-invalid` for root where the working directory holds another user's: a configuration can
 * name commands to run.
 */
export function findConfigFile(search: ConfigSearch): string | undefined {
  const named = search.file ?? search.env['PGRECALL_CONFIG'];
  if (named !== undefined && named !== '') return resolve(search.cwd, named);
  const found = configCandidates(search).find((path) => existsSync(path));
  if (found !== undefined) refuseForeign(found);
  return found;
}

function refuseForeign(file: string): void {
  if (process.getuid?.() !== 0 || statSync(file).uid === 0) return;
  throw new PgrecallError('config-invalid', `"${file}" belongs to another user, and root does not follow it unasked`, {
    hint: `where it is the right one, name it: --config ${file}`,
  });
}

/** The parsed file. Throws `config-missing`, `config-invalid`. */
export function readConfigFile(file: string): Table {
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
  return parseToml(text, file);
}

/** Throws `config-invalid` with the line, but not with what stands there: it may be a password. */
export function parseToml(text: string, file: string): Table {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = (error.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '');
    throw new PgrecallError(
      'config-invalid',
      `"${file}" is not TOML: line ${error.line}, column ${error.column}: ${reason}`,
      {
        details: { file, line: error.line, column: error.column },
      },
    );
  }
}

/** A table inside the document. Throws `config-invalid` where something else stands there. */
export function asTable(file: string, what: string, value: unknown): Table {
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)) {
    return value as Table;
  }
  throw new PgrecallError('config-invalid', `"${file}": ${what} is not a table`, {
    hint: 'each cluster has a table of its own: [clusters.<name>]',
  });
}
