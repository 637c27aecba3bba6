import { mkdirSync, mkdtempSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { holdsPassword } from '../connection/connection-uri.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { checkRestoreOptions, checkScript, chooseSource } from '../logical/load-arguments.ts';
import { examineTarget, type LoadTargetRequest } from '../logical/load-target.ts';
import { loadDump } from '../logical/load.ts';
import { findClientPrograms } from '../server/client-programs.ts';
import { findBackup, openCluster } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import { formatBytes } from './format.ts';
import { flagOption, numberOption, requiredPositional, textOption } from './options.ts';
import { startProgress } from './progress.ts';

/** `pgrecall load CLUSTER DUMP`. */
export const runLoad: RunCommand = async (arguments_, context) => {
  const { options, rest } = arguments_;
  const name = requiredPositional(arguments_, 'cluster');
  const database = textOption(options, 'database');
  if (database === undefined) throw new PgrecallError('usage', '--database is missing: the database to load into');
  const to = textOption(options, 'to');
  if (to !== undefined && holdsPassword(to)) {
    throw new PgrecallError('usage', 'a password on the command line can be read by everybody on this host', {
      hint: 'leave it out of --to, and put it into ~/.pgpass or PGPASSWORD',
    });
  }
  const { config, cluster } = await openCluster(context, name);
  const dumps = await cluster.listBackups({ onDamaged: () => undefined });
  const record = findBackup(
    dumps.filter(({ kind }) => kind === 'logical'),
    requiredPositional(arguments_, 'dump'),
  );
  const { dump } = record;
  if (!dump) throw new PgrecallError('object-damaged', `the record of ${record.id} does not say what was dumped`);
  const sourceName = textOption(options, 'source');
  const source = chooseSource(dump, { target: database, ...(sourceName === undefined ? {} : { source: sourceName }) });
  checkRestoreOptions(rest, dump.format);
  checkScript(dump);
  const jobs = numberOption(options, 'jobs', 1) ?? (dump.format === 'directory' ? config.jobs : 1);
  if (jobs > 1 && (dump.format === 'plain' || dump.format === 'tar')) {
    throw new PgrecallError('usage', `--jobs ${jobs}: a dump in the ${dump.format} format loads over one connection`, {
      hint: 'dump in the custom or directory format to load in parallel',
    });
  }
  const request: LoadTargetRequest = {
    connection: to ?? config.connection,
    database,
    create: flagOption(options, 'create'),
    force: flagOption(options, 'force'),
    encoding: source.encoding,
    signal: context.signal,
  };
  const target = await examineTarget(request);
  // pg_restore reads archives of older versions than its own, not of newer ones.
  const serverMajor = Math.max(target.major, Number.parseInt(dump.dumpVersion, 10));
  const programs = await findClientPrograms({ serverMajor, env: context.env, pgBin: config.pgBin });
  const progress = startProgress(context, `load into ${database}`);
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
      options: rest,
      env: context.env,
      temporaryDirectory: () => makeTemporaryDirectory(config.stateDirectory),
      now: context.now,
      randomBytes: context.randomBytes,
      onProgress: progress.advance,
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
    return 0;
  } finally {
    progress.end();
  }
};

/** One that nobody else can look into. */
function makeTemporaryDirectory(stateDirectory: string): string {
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  return mkdtempSync(join(realpathSync(stateDirectory), 'load-'));
}
