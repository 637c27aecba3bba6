import { execFile } from 'node:child_process';
import { readdirSync, realpathSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { isExecutable } from './as-owner.ts';

/** The client programs of one PostgreSQL installation. */
export interface ClientPrograms {
  readonly binDirectory: string;
  readonly pgDump: string;
  readonly pgDumpall: string;
  readonly pgRestore: string;
  readonly psql: string;
  readonly major: number;
  /** As pg_dump prints it: `15.18`. */
  readonly version: string;
}

export interface FindClientPrograms {
  /** Of the server; pg_dump refuses newer ones than itself. */
  readonly serverMajor: number;
  readonly env: NodeJS.ProcessEnv;
  /** The directory that the configuration names (`pg_bin`): taken where its pg_dump fits. */
  readonly pgBin?: string | undefined;
  /** Of those that fit the newest, unless said: pg_restore has settings in what it sends that older servers do not know. */
  readonly prefer?: 'newest' | 'oldest';
  /** Directories that hold one for each major version; tests name their own. */
  readonly packaged?: readonly string[];
}

const oldestMajor = 14;

/** Where Debian's packages put them: /usr/lib/postgresql/15/bin. Red Hat's: /usr/pgsql-15/bin. */
const packagedParents = ['/usr/lib/postgresql', '/usr'];

/**
 * Finds the newest client programs that fit a server: in `pg_bin`, where packages put them, on the search path. Throws
 * `server-program-missing` with what was found and what to install.
 */
export async function findClientPrograms(options: FindClientPrograms): Promise<ClientPrograms> {
  const { serverMajor, env, pgBin } = options;
  const found: ClientPrograms[] = [];
  for (const directory of candidates(options)) {
    const programs = await programsIn(directory);
    if (programs) found.push(programs);
    if (directory === pgBin && programs && programs.major >= serverMajor) return programs;
  }
  const fitting = found
    .filter(({ major }) => major >= serverMajor)
    .toSorted((a, b) => (options.prefer === 'oldest' ? a.major - b.major : b.major - a.major));
  if (fitting[0]) return fitting[0];
  const there = found.map(({ binDirectory, version }) => `${version} in ${binDirectory}`);
  throw new PgrecallError(
    'server-program-missing',
    there.length === 0
      ? `found no pg_dump: looked where packages put it, and in the directories of PATH`
      : `the server is PostgreSQL ${serverMajor}, and every pg_dump that was found is older: ${there.join(', ')}`,
    {
      hint: `install one that is not older than the server (apt-get install postgresql-client-${serverMajor}), or set pg_bin to the directory that holds it`,
      details: { major: serverMajor, found: there, path: env['PATH'] ?? '' },
    },
  );
}

function candidates({ env, pgBin, packaged = packagedParents }: FindClientPrograms): readonly string[] {
  const path = (env['PATH'] ?? '').split(delimiter).filter((directory) => directory !== '');
  const seen = new Set<string>();
  return [...(pgBin === undefined ? [] : [pgBin]), ...packaged.flatMap(packagedIn), ...path].filter((directory) => {
    const program = realProgram(directory);
    if (program === undefined || seen.has(program)) return false;
    seen.add(program);
    // Debian's starts one of those that lie where packages put them, and is a script that takes a tenth of a second.
    return basename(program) !== 'pg_wrapper';
  });
}

/** /bin is /usr/bin nearly everywhere. */
function realProgram(directory: string): string | undefined {
  try {
    return realpathSync(join(directory, 'pg_dump'));
  } catch {
    return undefined;
  }
}

function packagedIn(parent: string): readonly string[] {
  try {
    return readdirSync(parent)
      .filter((name) => /^(?:pgsql-)?\d+$/.test(name))
      .map((name) => join(parent, name, 'bin'));
  } catch {
    return [];
  }
}

async function programsIn(binDirectory: string): Promise<ClientPrograms | undefined> {
  const pgDump = join(binDirectory, 'pg_dump');
  const [pgDumpall, pgRestore, psql] = ['pg_dumpall', 'pg_restore', 'psql'].map((name) => join(binDirectory, name));
  if (!isExecutable(pgDump) || pgDumpall === undefined || pgRestore === undefined || psql === undefined) {
    return undefined;
  }
  const version = await versionOf(pgDump);
  const major = Number(/^\d+/.exec(version ?? '')?.[0]);
  if (version === undefined || !(major >= oldestMajor)) return undefined;
  return { binDirectory, pgDump, pgDumpall, pgRestore, psql, major, version };
}

/** `pg_dump --version` says `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`. */
async function versionOf(pgDump: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(pgDump, ['--version'], { timeout: 10_000 });
    return /\(PostgreSQL\) (\S+)/.exec(stdout)?.[1];
  } catch {
    return undefined;
  }
}
