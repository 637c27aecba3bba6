import type { ErrorCode } from '../errors/catalogue.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ClientEnding } from './client-process.ts';

/* What pg_dump and pg_dumpall say when they fail, as an administrator would want to be told. */

export interface FailedClient {
  /** As people call it: `pg_dump`. */
  readonly name: string;
  /** What it worked on: `database "shop"`, `the globals`. */
  readonly of: string;
  /** The role that it connected as. */
  readonly user: string;
  readonly ending: ClientEnding;
}

interface Explanation {
  readonly pattern: RegExp;
  readonly code: ErrorCode;
  readonly hint: (found: RegExpExecArray, failed: FailedClient) => string;
}

const explanations: readonly Explanation[] = [
  {
    pattern: /permission denied for .*pg_authid/m,
    code: 'server-rights',
    hint: () =>
      'passwords of roles can be read by superusers alone: connect as one, or name databases with --database instead of --all or --globals',
  },
  {
    pattern: /permission denied for (?:table|materialized view|view|foreign table) (.+)$/m,
    code: 'server-rights',
    hint: ([, name = ''], { user }) =>
      `GRANT SELECT ON ${name} TO "${user}", or GRANT pg_read_all_data TO it; or leave the table out: -- --exclude-table=…`,
  },
  {
    pattern: /permission denied for large object (\d+)$/m,
    code: 'server-rights',
    hint: ([, oid = ''], { user }) =>
      `GRANT SELECT ON LARGE OBJECT ${oid} TO "${user}", which pg_read_all_data does not bring, or dump as a superuser; or leave large objects out: -- --no-blobs`,
  },
  {
    pattern: /permission denied for (?:sequence|schema|database) (.+)$/m,
    code: 'server-rights',
    hint: (_, { user }) => `GRANT pg_read_all_data TO "${user}", or dump as the owner or as a superuser`,
  },
  {
    pattern: /query would be affected by row-level security policy for table/m,
    code: 'server-rights',
    hint: (_, { user }) =>
      `ALTER ROLE "${user}" BYPASSRLS, or dump what the policies let it see: -- --enable-row-security`,
  },
  {
    pattern: /password authentication failed|no password supplied/m,
    code: 'connection',
    hint: () => 'put the password into ~/.pgpass or PGPASSWORD',
  },
  { pattern: /database .* does not exist/m, code: 'database-unknown', hint: () => 'it was dropped a moment ago' },
  {
    pattern:
      /server closed the connection unexpectedly|terminating connection|connection to server .* failed|SSL (?:SYSCALL|connection)|could not receive data/m,
    code: 'connection',
    hint: () => 'the server was stopped or restarted, or the network was cut; start the dump again when it is back',
  },
  {
    pattern: /aborting because of server version mismatch/m,
    code: 'server-program-missing',
    hint: () => 'install the client programs of the server’s version, or set pg_bin',
  },
  {
    pattern: /No space left on device/m,
    code: 'disk-full',
    hint: () => 'pg_dump needs room for temporary files (TMPDIR), for tar and directory formats',
  },
  {
    pattern: /no matching (?:tables|schemas|extensions)/m,
    code: 'usage',
    hint: () => 'names are patterns as psql’s \\d takes them: upper case needs double quotes within the option',
  },
  {
    pattern:
      /unrecognized option|invalid option|too many command-line arguments|cannot be used together|requires? option|invalid value/m,
    code: 'usage',
    hint: () => 'options after -- are pg_dump’s own: pg_dump --help lists them',
  },
  {
    pattern: /database name contains a newline/m,
    code: 'dump-failed',
    hint: () => 'in the tar format pg_dump cannot do that: take another format, or ALTER DATABASE … RENAME TO …',
  },
  {
    pattern: /lock timeout|deadlock detected|conflict with recovery/m,
    code: 'dump-failed',
    hint: () => 'somebody held a lock, or a standby replayed one: start the dump again; nothing half-made is listed',
  },
];

/** Gives the error, rather than throwing it. */
export function explainFailure(failed: FailedClient): PgrecallError {
  const { name, of, ending } = failed;
  const said = ending.lines.join('\n');
  const how =
    ending.killedBy === null ? `ended with status ${ending.exitStatus}` : `was ended by the signal ${ending.killedBy}`;
  const details = { program: name, exitStatus: ending.exitStatus, signal: ending.killedBy, lines: ending.lines };
  const reason = firstError(ending.lines);
  const message = `${name} of ${of} ${how}${reason === undefined ? '' : `: ${reason}`}`;
  for (const { pattern, code, hint } of explanations) {
    const found = pattern.exec(said);
    if (found) return new PgrecallError(code, message, { hint: hint(found, failed), details });
  }
  if (ending.killedBy !== null) {
    const hint =
      ending.killedBy === 'SIGKILL'
        ? 'somebody killed it, or the system did because memory ran out, which dmesg tells; nothing half-made is listed'
        : 'somebody ended it; nothing half-made is listed, start the dump again';
    return new PgrecallError('dump-failed', message, { hint, details });
  }
  return new PgrecallError('dump-failed', message, { details });
}

/** What pg_dump calls an error, without its own name; and what the server said, which may come first. */
function firstError(lines: readonly string[]): string | undefined {
  const line =
    lines.find((one) => /\b(?:error|ERROR|FATAL|fatal|PANIC):/.test(one)) ??
    lines.find((one) => !/\bwarning:/.test(one));
  return line?.replace(/^pg_[a-z]+: (?:error: )?/, '');
}
