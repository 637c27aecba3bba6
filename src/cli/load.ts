import type { ClusterConfig } from '../config/config.ts';
import { holdsPassword } from '../connection/connection-uri.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ChosenEntries } from '../logical/choose-entries-plan.ts';
import { loadGlobals, prepareGlobals } from '../logical/load-globals.ts';
import { checkRestoreOptions, checkScript, chooseSource, type MappedRights } from '../logical/load-arguments.ts';
import { qualifiedTag, type LoadEntry } from '../logical/load-entry.ts';
import { findEarlierLoads, type EarlierLoad } from '../logical/load-notes.ts';
import { checkTarget, type LoadTarget } from '../logical/load-target.ts';
import { loadDump } from '../logical/load.ts';
import { parseRoleMap } from '../logical/map-roles.ts';
import { planLoad, prepareLoad, type PreparedLoad } from '../logical/prepare-load.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { findClientPrograms } from '../server/client-programs.ts';
import { findBackup, openCluster } from './cluster-access.ts';
import type { Options, RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { oneLine } from './dump-report.ts';
import { formatBytes } from './format.ts';
import { describeGlobals, showGlobals, showLoadPlan } from './load-plan-report.ts';
import { flagOption, listOption, numberOption, requiredPositional, textOption } from './options.ts';
import { startProgress } from './progress.ts';

/** `pgrecall load CLUSTER DUMP`. */
export const runLoad: RunCommand = async (arguments_, context) => {
  const { options, rest } = arguments_;
  const name = requiredPositional(arguments_, 'cluster');
  const database = textOption(options, 'database');
  const withGlobals = flagOption(options, 'globals');
  if (database === undefined && !withGlobals) {
    throw new PgrecallError('usage', '--database is missing: the database to load into');
  }
  const to = targetOf(options);
  const { config, cluster } = await openCluster(context, name);
  const record = await findDump(cluster, requiredPositional(arguments_, 'dump'));
  const { dump } = record;
  if (!dump) throw new PgrecallError('object-damaged', `the record of ${record.id} does not say what was dumped`);
  const server = { connection: to ?? config.connection, signal: context.signal };
  const globals = withGlobals ? await prepareGlobals(cluster, record, server) : undefined;
  const isPlan = flagOption(options, 'plan');
  if (database === undefined) {
    if (globals && !isPlan) await loadGlobals(globals, server);
    if (globals) showGlobals(record, globals, isPlan, context);
    return 0;
  }
  const sourceName = textOption(options, 'source');
  const source = chooseSource(dump, { target: database, ...(sourceName === undefined ? {} : { source: sourceName }) });
  checkRestoreOptions(rest, dump.format);
  const rights = readRights(options);
  const only = listOption(options, 'only');
  const jobs = numberOption(options, 'jobs', 1) ?? (dump.format === 'directory' ? config.jobs : 1);
  if (dump.format === 'plain') checkScript(dump, { jobs, only, rights });
  const request = {
    ...server,
    database,
    create: flagOption(options, 'create'),
    force: flagOption(options, 'force'),
  };
  const prepared = await prepareLoad({
    cluster,
    record,
    dump,
    source,
    only,
    map: rights.map,
    forPlan: isPlan,
    request,
  });
  const earlier = earlierLoads(config.stateDirectory, prepared.target, isPlan);
  if (isPlan) {
    showLoadPlan(record, await planLoad(prepared, rights, { globals, earlier }), context);
    return 0;
  }
  checkTarget(prepared.target, request, earlier);
  if (globals) {
    await loadGlobals(globals, server);
    for (const line of describeGlobals(globals, false)) context.stderr(line);
  }
  await carryOut({ cluster, record, prepared, rights, jobs, rest, config }, context);
  for (const { forget } of earlier) forget();
  return 0;
};

/** Without those into a database that has been dropped or emptied since. */
function earlierLoads(stateDirectory: string, target: LoadTarget, isPlan: boolean): readonly EarlierLoad[] {
  return findEarlierLoads(stateDirectory, target).filter(({ note, isLoading, forget }) => {
    if (isLoading || (!target.empty && (note.oid === 0 || note.oid === target.oid))) return true;
    if (!isPlan) forget();
    return false;
  });
}

interface Carried {
  readonly cluster: ClusterRepository;
  readonly record: BackupRecord;
  readonly prepared: PreparedLoad;
  readonly rights: MappedRights;
  readonly jobs: number;
  readonly rest: readonly string[];
  readonly config: Pick<ClusterConfig, 'pgBin' | 'stateDirectory'>;
}

async function carryOut(
  { cluster, record, prepared, rights, jobs, rest, config }: Carried,
  context: CliContext,
): Promise<void> {
  const { dump, source, request, target, toc, chosen, entries } = prepared;
  // pg_restore reads archives of older versions than its own, not of newer ones; what it sends is meant for its own and newer ones.
  const serverMajor = Math.max(target.major, Number.parseInt(dump.dumpVersion, 10));
  const wanted = { serverMajor, env: context.env, pgBin: config.pgBin, prefer: 'oldest' } as const;
  const programs = await findClientPrograms(wanted);
  const { database } = target;
  const total = entries?.length ?? toc?.count;
  for (const line of chosen ? describeChoice(chosen) : []) context.stderr(line);
  const progress = startProgress(context, `load into ${oneLine(database)}`);
  const started = context.now();
  try {
    const sizeBytes = await loadDump({
      cluster,
      record,
      format: dump.format,
      source,
      request,
      target,
      programs,
      jobs,
      ...(chosen && entries ? { entries } : {}),
      rights,
      options: rest,
      env: context.env,
      stateDirectory: config.stateDirectory,
      now: context.now,
      randomBytes: context.randomBytes,
      onTotal: progress.total,
      onProgress: progress.advance,
      onObject: (done, what) =>
        progress.note(`${Math.min(done, total ?? done)} of ${total ?? '?'} objects, ${oneLine(what)}`),
      say: progress.say,
    });
    progress.end();
    const seconds = (context.now().getTime() - started.getTime()) / 1000;
    const answer = { dump: record.id, source: source.name, database, created: target.missing, sizeBytes, seconds };
    context.stdout(
      context.json
        ? JSON.stringify(answer, undefined, 2)
        : `loaded "${source.name}" of ${record.id} into "${database}": ${formatBytes(sizeBytes)} in ${seconds.toFixed(1)} s`,
    );
  } finally {
    progress.end();
  }
}

/** The server, where it is another. Throws `usage`. */
function targetOf(options: Options): string | undefined {
  const to = textOption(options, 'to');
  if (to === undefined || !holdsPassword(to)) return to;
  throw new PgrecallError('usage', 'a password on the command line can be read by everybody on this host', {
    hint: 'leave it out of --to, and put it into ~/.pgpass or PGPASSWORD',
  });
}

async function findDump(cluster: ClusterRepository, wanted: string): Promise<BackupRecord> {
  const all = await cluster.listBackups({ onDamaged: () => undefined });
  return findBackup(
    all.filter(({ kind }) => kind === 'logical'),
    wanted,
  );
}

function readRights(options: Options): MappedRights {
  const isLeftOut = (name: string, variable: string): boolean =>
    options[name] === false || flagOption(options, variable);
  return {
    noOwner: isLeftOut('owner', 'noOwner'),
    noPrivileges: isLeftOut('privileges', 'noPrivileges'),
    role: textOption(options, 'role'),
    map: parseRoleMap(listOption(options, 'owner')),
  };
}

/** What comes along unasked, and what cannot. */
function describeChoice({ needed, leftOut }: ChosenEntries): string[] {
  const name = (entry: LoadEntry): string => `${entry.kind.toLowerCase()} ${oneLine(qualifiedTag(entry))}`;
  return [
    ...(needed.length > 0 ? [`needed, and loaded, too: ${needed.map(name).join(', ')}`] : []),
    ...leftOut.map((entry) => `left out, since what it refers to is: ${name(entry)}`),
  ];
}
