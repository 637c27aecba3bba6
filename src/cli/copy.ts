import { mkdirSync, mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connectionOptions, connectionWords, holdsPassword } from '../connection/connection-uri.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ComparedTable } from '../logical/copy-compare.ts';
import { copyDatabase, isOneTransaction, type CopyReport } from '../logical/copy.ts';
import { formatDatabaseLocale } from '../logical/database-locale.ts';
import { checkPassedOptions } from '../logical/dump-arguments.ts';
import type { LoadRights } from '../logical/load-arguments.ts';
import { checkTarget, examineTarget, type LoadTarget } from '../logical/load-target.ts';
import { findClientPrograms, type ClientPrograms } from '../server/client-programs.ts';
import type { Options, RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { oneLine } from './dump-report.ts';
import { formatDuration, formatTable } from './format.ts';
import { flagOption, numberOption, textOption } from './options.ts';
import { startProgress } from './progress.ts';

/** `pgrecall copy --from URI --to URI`: exit 1 where rows were compared, and differ. */
export const runCopy: RunCommand = async ({ options, rest }, context) => {
  const from = connectionOption(options, 'from', context);
  const to = connectionOption(options, 'to', context);
  const { dbname: database } = connectionWords(from);
  if (database === undefined) {
    throw new PgrecallError('usage', '--from names no database', { hint: 'postgresql://user@host/DATABASE' });
  }
  checkPassedOptions(rest);
  const compare = flagOption(options, 'compare');
  if (compare && rest.some((word) => /^(?:--schema-only|-s)/.test(word))) {
    throw new PgrecallError('usage', '--compare compares rows, which --schema-only leaves out');
  }
  const { signal } = context;
  const place = { connection: from, database, create: false, force: true, locale: {}, signal };
  const source = await examineTarget(place);
  if (source.missing) {
    throw new PgrecallError('database-unknown', `the source has no database "${database}"`, { details: { database } });
  }
  const request = {
    connection: to,
    // Of the same name, unless another is said.
    database: connectionWords(to)['dbname'] ?? database,
    create: flagOption(options, 'create'),
    force: flagOption(options, 'force'),
    locale: source.locale,
    signal,
  };
  const target = await examineTarget(request);
  refuseItself(source, target);
  checkTarget(target, request, []);
  const warnings = warnOfEncodings(source, target);
  for (const warning of warnings) context.stderr(`warning: ${warning}`);
  const serverMajor = Math.max(source.major, target.major);
  const programs = await choosePrograms(serverMajor, options, context);
  const jobs = numberOption(options, 'jobs', 1) ?? 1;
  const about = {
    source,
    target,
    programs: programs.version,
    singleTransaction: isOneTransaction(jobs, programs, target),
  };
  if (flagOption(options, 'plan')) {
    showPlan(about, context);
    return 0;
  }
  const progress = startProgress(context, `copy of ${oneLine(database)}`);
  const startedMs = context.now().getTime();
  try {
    const report = await copyDatabase({
      ...{ source, from, target, request, programs, compare, signal },
      jobs,
      rights: readRights(options),
      options: rest,
      env: context.env,
      temporaryDirectory: () =>
        makeTemporaryDirectory(resolve(context.cwd, textOption(options, 'through') ?? tmpdir())),
      onObject: (done, what) => progress.note(`${done} objects, ${oneLine(what)}`),
      say: progress.say,
    });
    progress.end();
    const seconds = (context.now().getTime() - startedMs) / 1000;
    return answer(
      { ...about, report: { ...report, warnings: [...warnings, ...report.warnings] }, seconds },
      rest,
      context,
    );
  } finally {
    progress.end();
  }
};

/** Throws `server-program-missing`: those that are named are taken, or none. */
async function choosePrograms(
  serverMajor: number,
  options: Options,
  { env, cwd }: CliContext,
): Promise<ClientPrograms> {
  const named = textOption(options, 'pgBin');
  const pgBin = named === undefined ? undefined : resolve(cwd, named);
  const programs = await findClientPrograms({ serverMajor, env, pgBin, prefer: 'oldest' });
  if (pgBin === undefined || programs.binDirectory === pgBin) return programs;
  throw new PgrecallError('server-program-missing', `"${pgBin}" has no pg_dump of PostgreSQL ${serverMajor} or newer`, {
    hint: `${programs.binDirectory} has ${programs.version}, which is found without --pg-bin`,
  });
}

/** One with a password may come from the environment, which others cannot read. Throws `usage`. */
function connectionOption(options: Options, name: 'from' | 'to', { env }: CliContext): string {
  const text = textOption(options, name);
  if (text === undefined) throw new PgrecallError('usage', `--${name} is missing: a URI, or key=value words`);
  if (!holdsPassword(text) || env[`PGRECALL_${name.toUpperCase()}`] === text) {
    connectionOptions(text, env);
    return text;
  }
  throw new PgrecallError('usage', 'a password on the command line can be read by everybody on this host', {
    hint: `leave it out of --${name}, and put it into ~/.pgpass; or set PGRECALL_${name.toUpperCase()} to all of it`,
  });
}

function refuseItself(source: LoadTarget, target: LoadTarget): void {
  if (source.database !== target.database || source.host !== target.host || source.port !== target.port) return;
  throw new PgrecallError('usage', `--from and --to are the same database, "${source.database}"`);
}

/** What is converted cannot always be. */
function warnOfEncodings(source: LoadTarget, target: LoadTarget): string[] {
  const [from = '', to = ''] = [source.locale.ENCODING, target.locale.ENCODING];
  if (target.missing || from === to) return [];
  return [`the encodings differ: text is converted from ${from} to ${to}, which fails for letters that ${to} has not`];
}

function readRights(options: Options): LoadRights {
  const isLeftOut = (name: string, variable: string): boolean =>
    options[name] === false || flagOption(options, variable);
  return {
    noOwner: isLeftOut('owner', 'noOwner'),
    noPrivileges: isLeftOut('privileges', 'noPrivileges'),
    role: textOption(options, 'role'),
  };
}

/** One that nobody else can look into. */
function makeTemporaryDirectory(parent: string): string {
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  return mkdtempSync(join(realpathSync(parent), 'pgrecall-copy-'));
}

/** With them, tables that the target has not are left out on purpose. */
const choosing = /^(?:-[tTnNe]|--(?:table|schema|exclude-|extension|filter|strict-names))/;

interface PlannedCopy {
  readonly source: LoadTarget;
  readonly target: LoadTarget;
  /** Their version. */
  readonly programs: string;
  readonly singleTransaction: boolean;
}

function showPlan(plan: PlannedCopy, context: CliContext): void {
  const { source, target, programs, singleTransaction } = plan;
  if (context.json) {
    context.stdout(JSON.stringify({ ...documentOf(plan), executed: false }, undefined, 2));
    return;
  }
  const made = target.missing ? `, which would be made (${formatDatabaseLocale(target.locale, target.major)})` : '';
  const how = singleTransaction ? 'in one transaction' : 'step by step';
  context.stdout(
    `would copy "${source.database}" of ${source.host} (PostgreSQL ${source.major}) to "${target.database}" of ${target.host} (PostgreSQL ${target.major})${made}, by pg_dump and pg_restore ${programs}, ${how}`,
  );
}

function documentOf({ source, target, programs, singleTransaction }: PlannedCopy): object {
  const placeOf = ({ host, port, database, major }: LoadTarget): object => ({ host, port, database, major });
  return { from: placeOf(source), to: placeOf(target), created: target.missing, singleTransaction, programs };
}

interface Copied extends PlannedCopy {
  readonly report: CopyReport;
  readonly seconds: number;
}

function answer(copied: Copied, rest: readonly string[], context: CliContext): number {
  const { source, target, report, seconds } = copied;
  const chosen = rest.some((word) => choosing.test(word));
  const tables = report.tables?.filter(({ toRows }) => toRows !== null || !chosen);
  const differing = tables?.filter(({ fromRows, toRows }) => fromRows !== toRows) ?? [];
  if (context.json) {
    const { objects, warnings } = report;
    const document = {
      ...documentOf(copied),
      ...{ executed: true, objects, warnings, seconds },
      tables: tables ?? null,
      differing: tables ? differing.length : null,
    };
    context.stdout(JSON.stringify(document, undefined, 2));
  } else {
    const made = target.missing ? ', which was made' : '';
    context.stdout(
      `copied "${source.database}" of ${source.host} to "${target.database}" of ${target.host}${made}: ${report.objects} objects, ${formatDuration(seconds)}`,
    );
    if (tables) context.stdout(describeTables(tables, differing));
  }
  return differing.length > 0 ? 1 : 0;
}

function describeTables(tables: readonly ComparedTable[], differing: readonly ComparedTable[]): string {
  if (differing.length === 0) {
    const rows = tables.reduce((sum, { fromRows }) => sum + fromRows, 0);
    return `${tables.length} tables have the same ${rows} rows at both ends`;
  }
  const lines = differing.map(({ schema, name, fromRows, toRows }) => [
    oneLine(`${schema}.${name}`),
    String(fromRows),
    toRows === null ? 'missing' : String(toRows),
  ]);
  return `${differing.length} of ${tables.length} tables differ\n${formatTable([['table', 'source', 'target'], ...lines])}`;
}
