import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ClientEnding } from './client-process.ts';
import type { RestoreFailure } from './restore-lines.ts';

/* What psql and pg_restore say when something cannot be loaded, as an administrator would want to be told. */

export interface FailedLoad {
  /** As people call it: `pg_restore`. */
  readonly name: string;
  readonly database: string;
  readonly ending: ClientEnding;
  /** Whether nothing of it is in the database. */
  readonly undone: boolean;
  /** Counted while it ran; else they are in its lines. */
  readonly errors?: number;
  /** The first of them. */
  readonly failures?: readonly RestoreFailure[];
}

const hints: readonly { readonly pattern: RegExp; readonly hint: (found: RegExpExecArray) => string }[] = [
  {
    pattern: /role "(.+)" does not exist/m,
    hint: ([, role = '']) =>
      `CREATE ROLE "${role}" in the target first, or load the globals, too (--globals), name another role (--owner), or leave owners and privileges out: --no-owner --no-privileges (not of a plain dump)`,
  },
  {
    pattern: /extension "(.+)" is not available|could not open extension control file ".*\/(.+)\.control"/m,
    hint: ([, name, file]) =>
      `install the extension ${name ?? file} on the target's host, as it is where the dump was taken`,
  },
  {
    pattern: /tablespace "(.+)" does not exist/im,
    hint: ([, name = '']) => `make the tablespace "${name}" first, or leave tablespaces out: -- --no-tablespaces`,
  },
  {
    pattern: /has no equivalent in encoding|invalid byte sequence for encoding/m,
    hint: () => 'the encodings do not match: load into a database with that of the dump, which --create makes',
  },
  {
    pattern: /unrecognized configuration parameter "(.+)"/m,
    hint: ([, name = '']) =>
      `the dump comes from a newer server, or a newer pg_dump, than the target, which does not know "${name}"; where this is the only error all the rest was loaded`,
  },
  {
    pattern: /already exists/m,
    hint: () => 'load into an empty database, or have the objects dropped first: -- --clean --if-exists',
  },
  {
    pattern: /permission denied|must be (?:owner|superuser|member)/m,
    hint: () => 'connect as the owner of the database or as a superuser, or leave owners out: --no-owner',
  },
  {
    pattern: /password authentication failed|no password supplied/m,
    hint: () => 'put the password into ~/.pgpass or PGPASSWORD',
  },
  {
    pattern: /unsupported version \(.+\) in file header/m,
    hint: () => 'the dump is of a newer pg_dump: install client programs as new as that, or set pg_bin',
  },
  {
    pattern: /server closed the connection unexpectedly|terminating connection|connection to server .*failed/m,
    hint: () => 'the server was stopped or restarted, or the network was cut',
  },
  { pattern: /No space left on device/m, hint: () => 'the disk of the target is full' },
];

/** Gives the error, rather than throwing it. */
export function explainFailedLoad(failed: FailedLoad): PgrecallError {
  const { name, database, ending, undone, failures } = failed;
  const { lines, exitStatus, killedBy } = ending;
  const wrongOption = lines.find((line) => /unrecognized option|invalid option|cannot be used together/.test(line));
  if (wrongOption !== undefined) {
    return new PgrecallError('usage', withoutName(wrongOption), {
      hint: 'options after -- are pg_restore’s own: pg_restore --help lists them',
      details: { program: name, database, incomplete: false, lines },
    });
  }
  const errors = failed.errors ?? lines.filter((line) => isError(line)).length;
  const how = killedBy === null ? `ended with status ${exitStatus}` : `was ended by the signal ${killedBy}`;
  const state = undone ? `"${database}" is as it was` : `"${database}" is incomplete`;
  const first = lines.find((line) => isError(line)) ?? lines.at(-1);
  const what = errors > 1 ? `${errors} errors, the first` : 'it said';
  const said = first === undefined ? '' : `; ${what}: ${withoutName(first)}`;
  const text = lines.join('\n');
  const found = hints
    .map(({ pattern, hint }) => ({ match: pattern.exec(text), hint }))
    .find(({ match }) => match !== null);
  return new PgrecallError('load-failed', `${name} ${how}, and ${state}${said}`, {
    ...(found?.match ? { hint: found.hint(found.match) } : {}),
    details: {
      ...{ program: name, database, exitStatus, signal: killedBy, errors, incomplete: !undone },
      ...(failures ? { failures } : {}),
      lines,
    },
  });
}

/** What a program says, without its name and the place in what it reads. */
function withoutName(line: string): string {
  return line.replace(/^(?:psql:<stdin>:\d+: |\S*pg_restore: (?:error: )?)/, '');
}

function isError(line: string): boolean {
  return /\b(?:error|ERROR|FATAL|PANIC):/.test(line);
}
