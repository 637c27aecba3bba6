import { PgrecallError } from '../errors/pgrecall-error.ts';
import { copyInThreads } from '../backup/copying.ts';
import { backupServer, estimateSize, readServerFacts } from '../backup/backup-server.ts';
import { takeHotBackup } from '../backup/hot-backup.ts';
import { refuseOthersDirectory } from '../backup/own-directory.ts';
import { gatherNamesBeside } from '../backup/relation-names.ts';
import { SqlSession } from '../connection/sql-session.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { exitStatusOf, reportBackup } from './backup-report.ts';
import { openCluster, repositoryForThreads } from './cluster-access.ts';
import type { Options, RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { localConnection, roleOption, type LocalRole } from './local-server.ts';
import { flagOption, numberOption, requiredPositional, secondsOption, textOption } from './options.ts';
import { startProgress } from './progress.ts';

const defaultWalTimeoutMs = 600_000;
/** A backup that is over sooner needs no bar. */
const patienceMs = 1000;

/** `pgrecall backup CLUSTER`: exit 3 where the backup is complete but has pages with wrong checksums. */
export const runBackup: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const { type, independent } = typeOption(options);
  const stream = flagOption(options, 'stream');
  const role = roleOption(options);
  if (role !== undefined && (stream || flagOption(options, 'cold'))) {
    throw new PgrecallError(
      'usage',
      '--role means the running server of this host: it goes without --stream and --cold',
    );
  }
  if (flagOption(options, 'cold')) {
    if (stream) throw new PgrecallError('usage', '--stream takes a running server, --cold a stopped one');
    return (await import('./backup-cold.ts')).runColdBackup(arguments_, { type, independent }, context);
  }
  if (flagOption(options, 'stop')) throw new PgrecallError('usage', '--stop goes with --cold');
  if (stream) return (await import('./backup-stream.ts')).runStreamBackup(arguments_, { type, independent }, context);
  const access = await openCluster(context, requiredPositional(arguments_, 'cluster'));
  const jobs = numberOption(options, 'jobs', 1) ?? access.config.jobs;
  const connection = role === undefined ? access.config.connection : localConnection(access.config);
  await using session = await SqlSession.connect(connection, { applicationName: 'pgrecall backup' });
  const found = session.role.inRecovery ? 'standby' : 'primary';
  if (role !== undefined && role !== 'any' && role !== found) return answerNothingToDo(role, found, context);
  const dataDirectory = access.config.dataDirectory ?? (await readServerFacts(session)).dataDirectory;
  if (dataDirectory === undefined) {
    throw new PgrecallError('server-rights', 'this role may not see the server’s data_directory', {
      hint: 'set data_directory in the configuration, or GRANT pg_read_all_settings to the role',
    });
  }
  await refuseOthersDirectory(session, dataDirectory);
  await using lock = await access.cluster.lock('backup', {
    purpose: 'backup',
    now: context.now,
    randomBytes: context.randomBytes,
  });
  void lock;
  const progress = startProgress(context, `backup of ${access.config.name}`);
  const asking = setTimeout(() => void showTotal(connection, progress.total), patienceMs);
  try {
    const record = await takeHotBackup({
      cluster: access.cluster,
      incarnation: access.incarnation,
      store: access.store,
      server: backupServer(session),
      dataDirectory,
      copying: (startLsn) => copyInThreads(repositoryForThreads(access), access.config.name, startLsn, jobs),
      type,
      independent,
      note: textOption(options, 'note') ?? '',
      keep: flagOption(options, 'keep'),
      gatherNames: (signal) => gatherNamesBeside({ connection, signal }),
      walTimeoutMs: secondsOption(options, 'timeout') ?? defaultWalTimeoutMs,
      now: context.now,
      randomBytes: context.randomBytes,
      signal: context.signal,
      onProgress: progress.advance,
      say: progress.say,
    });
    progress.end();
    reportBackup(record, context);
    return exitStatusOf(record);
  } finally {
    clearTimeout(asking);
    progress.end();
  }
};

/** On every host the same order may come at the same time: only where the role is the wanted one there is a backup. */
function answerNothingToDo(wanted: LocalRole, found: LocalRole, context: CliContext): number {
  const skipped = `the server of this host is a ${found}, a backup of a ${wanted} was wanted: nothing to do`;
  if (context.json) context.stdout(JSON.stringify({ id: null, skipped }, undefined, 2));
  else context.stdout(skipped);
  return 0;
}

const types: readonly BackupRecord['type'][] = ['full', 'differential', 'incremental'];

/** Throws `usage`. */
function typeOption(options: Options): { readonly type: BackupRecord['type']; readonly independent: boolean } {
  const text = textOption(options, 'type') ?? 'full';
  const type = types.find((known) => known === text);
  if (!type) throw new PgrecallError('usage', `--type is "${text}"; expected ${types.join(', ')}`);
  const independent = flagOption(options, 'independent');
  if (independent && type !== 'full') {
    throw new PgrecallError('usage', `--independent goes with a full backup; --type is "${type}"`);
  }
  return { type, independent };
}

/** Asks the server how much there is, beside the backup: an answer that comes late or never harms nothing. */
async function showTotal(connection: string, total: (bytes: number) => void): Promise<void> {
  try {
    await using session = await SqlSession.connect(connection, { applicationName: 'pgrecall progress' });
    const bytes = await estimateSize(session);
    if (bytes !== undefined) total(bytes);
  } catch {
    // The progress line then shows no share.
  }
}
