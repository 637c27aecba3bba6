import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { checkPassedOptions, type DumpSelection } from '../logical/dump-arguments.ts';
import {
  checkSameServer,
  chooseDatabases,
  hasOwnObjects,
  readDumpServerFacts,
  type DumpServerFacts,
  type ServerDatabase,
} from '../logical/dump-server.ts';
import { takeDump } from '../logical/dump.ts';
import { makePassingDirectory } from '../logical/passing-directory.ts';
import { storeInThreads } from '../logical/storing.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { dumpFormats, type DumpFormat } from '../repository/dump-facts.ts';
import { findClientPrograms } from '../server/client-programs.ts';
import { openCluster, repositoryForThreads } from './cluster-access.ts';
import type { CommandArguments, RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { describeDump } from './dump-report.ts';
import { formatBytes, formatDuration } from './format.ts';
import { flagOption, listOption, numberOption, requiredPositional, textOption } from './options.ts';
import { startProgress } from './progress.ts';

/** `pgrecall dump CLUSTER`. */
export const runDump: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const wanted = readWanted(arguments_);
  const access = await openCluster(context, requiredPositional(arguments_, 'cluster'));
  const { connection, jobs: cores, stateDirectory, pgBin, name } = access.config;
  const jobs = numberOption(options, 'jobs', 1) ?? cores;
  const facts = await readFacts(connection, context);
  checkSameServer(name, access.incarnation, facts);
  const databases = await chosen(wanted, facts, connection);
  // What a newer pg_dump writes into a script an older server may not know; of an archive pg_restore makes do without.
  const prefer = wanted.format === 'plain' ? 'oldest' : 'newest';
  const programs = await findClientPrograms({ serverMajor: facts.major, env: context.env, pgBin, prefer });
  const progress = startProgress(context, `dump of ${name}`);
  try {
    const record = await takeDump({
      cluster: access.cluster,
      incarnation: access.incarnation,
      connection,
      env: context.env,
      facts,
      programs,
      databases,
      globals: wanted.globals,
      format: wanted.format,
      selection: wanted.selection,
      independent: flagOption(options, 'independent'),
      storing: (earlier) =>
        storeInThreads(earlier, {
          access: repositoryForThreads(access),
          cluster: name,
          // One stream at a time, unless there are files.
          jobs: wanted.format === 'directory' ? jobs : 1,
          onProgress: progress.advance,
        }),
      jobs,
      temporaryDirectory: () => makePassingDirectory(stateDirectory),
      note: textOption(options, 'note') ?? '',
      keep: flagOption(options, 'keep'),
      now: context.now,
      randomBytes: context.randomBytes,
      signal: context.signal,
      say: progress.say,
    });
    progress.end();
    report(record, context);
    return 0;
  } finally {
    progress.end();
  }
};

interface Wanted {
  readonly all: boolean;
  readonly names: readonly string[];
  readonly globals: boolean;
  readonly format: DumpFormat;
  readonly selection: DumpSelection;
}

/** Throws `usage`. */
function readWanted({ options, rest }: CommandArguments): Wanted {
  const names = listOption(options, 'database');
  const all = flagOption(options, 'all');
  const globals = all || flagOption(options, 'globals');
  if (all && names.length > 0) throw new PgrecallError('usage', '--all and --database exclude each other');
  if (names.length === 0 && !globals) {
    throw new PgrecallError('usage', 'nothing is said to be dumped', {
      hint: 'name databases with --database, or say --all; --globals alone dumps roles and tablespaces',
    });
  }
  const text = textOption(options, 'format') ?? 'custom';
  const format = dumpFormats.find((known) => known === text);
  if (!format) throw new PgrecallError('usage', `--format is "${text}"; expected ${dumpFormats.join(', ')}`);
  const [schemaOnly, dataOnly] = [flagOption(options, 'schemaOnly'), flagOption(options, 'dataOnly')];
  if (schemaOnly && dataOnly) throw new PgrecallError('usage', '--schema-only and --data-only exclude each other');
  checkPassedOptions(rest);
  const selection: DumpSelection = {
    content: schemaOnly ? 'schema' : dataOnly ? 'data' : 'all',
    tables: listOption(options, 'table'),
    schemas: listOption(options, 'schema'),
    options: rest,
  };
  return { all, names, globals, format, selection };
}

async function readFacts(connection: string, context: CliContext): Promise<DumpServerFacts> {
  await using session = await SqlSession.connect(connection, {
    applicationName: 'pgrecall dump',
    signal: context.signal,
  });
  return await readDumpServerFacts(session);
}

async function chosen(wanted: Wanted, facts: DumpServerFacts, connection: string): Promise<readonly ServerDatabase[]> {
  const databases = chooseDatabases(wanted, facts.databases);
  if (!wanted.all || !databases.some(({ name }) => name === 'template1')) return databases;
  await using session = await SqlSession.connect(connection, { database: 'template1' });
  if (await hasOwnObjects(session)) return databases;
  return databases.filter(({ name }) => name !== 'template1');
}

function report(record: BackupRecord, context: CliContext): void {
  for (const warning of record.warnings) context.stderr(`warning: ${warning}`);
  if (context.json) {
    context.stdout(JSON.stringify(record, undefined, 2));
    return;
  }
  const what = record.dump ? describeDump(record.dump) : record.type;
  const seconds = (Date.parse(record.stoppedAt) - Date.parse(record.startedAt)) / 1000;
  context.stdout(
    `${record.id}  ${what}, ${formatBytes(record.sizeBytes)}, stored in ${formatBytes(record.storedBytes)}, ${formatDuration(seconds)}`,
  );
}
