import { join } from 'node:path';
import { ThreadSink } from '../archive/receive-thread.ts';
import { readServerFacts, type ServerFacts } from '../backup/backup-server.ts';
import { copyInThreads } from '../backup/copying.ts';
import { gatherNamesBeside } from '../backup/relation-names.ts';
import { takeStreamBackup, type StreamBackupOptions } from '../backup/stream-backup.ts';
import { ReplicationSession } from '../connection/replication-session.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { exitStatusOf, reportBackup } from './backup-report.ts';
import { archiveForThreads, openCluster, repositoryForThreads } from './cluster-access.ts';
import type { CommandArguments } from './command.ts';
import type { CliContext } from './context.ts';
import { flagOption, numberOption, requiredPositional, secondsOption, textOption } from './options.ts';
import { startProgress } from './progress.ts';

const defaultWalTimeoutMs = 600_000;

/** `pgrecall backup CLUSTER --stream`: over the replication protocol, from any host. */
export async function runStreamBackup(
  arguments_: CommandArguments,
  type: Pick<StreamBackupOptions, 'type' | 'independent'>,
  context: CliContext,
): Promise<number> {
  const { options } = arguments_;
  const access = await openCluster(context, requiredPositional(arguments_, 'cluster'));
  const { config, cluster, incarnation } = access;
  const jobs = numberOption(options, 'jobs', 1) ?? config.jobs;
  const { now, randomBytes, signal } = context;
  const walSession = { connection: config.connection, applicationName: `pgrecall_${config.name}` };
  using session = await ReplicationSession.connect(walSession);
  await using lock = await cluster.lock('backup', { purpose: 'backup', now, randomBytes });
  void lock;
  await using sql = await connectIfAllowed(config.connection);
  await using sink = new ThreadSink(archiveForThreads(access));
  const progress = startProgress(context, `backup of ${config.name}`);
  try {
    const record = await takeStreamBackup({
      cluster,
      incarnation,
      session,
      walSession,
      sink,
      directory: join(config.stateDirectory, 'streaming'),
      facts: sql && (await factsIfAllowed(sql)),
      readFile: async (path) => readServerFile(sql, path),
      copying: (startLsn) => copyInThreads(repositoryForThreads(access), config.name, startLsn, jobs),
      ...type,
      note: textOption(options, 'note') ?? '',
      keep: flagOption(options, 'keep'),
      walTimeoutMs: secondsOption(options, 'timeout') ?? defaultWalTimeoutMs,
      ...(sql
        ? { gatherNames: (names: AbortSignal) => gatherNamesBeside({ connection: config.connection, signal: names }) }
        : {}),
      now,
      randomBytes,
      signal,
      onTotal: progress.total,
      onProgress: progress.advance,
      say: progress.say,
    });
    progress.end();
    reportBackup(record, context);
    return exitStatusOf(record);
  } finally {
    progress.end();
  }
}

/** Names of databases and tablespaces, and configuration outside the data directory, take SQL; the backup itself does not. */
async function connectIfAllowed(connection: string): Promise<SqlSession | undefined> {
  try {
    return await SqlSession.connect(connection, { applicationName: 'pgrecall backup' });
  } catch {
    return undefined;
  }
}

async function factsIfAllowed(session: SqlSession): Promise<ServerFacts | undefined> {
  try {
    return await readServerFacts(session);
  } catch {
    return undefined;
  }
}

async function readServerFile(session: SqlSession | undefined, path: string): Promise<Uint8Array> {
  const [row] = (await session?.query<{ bytes: Uint8Array }>('SELECT pg_read_binary_file($1) AS bytes', [path])) ?? [];
  if (!row) throw new PgrecallError('server-rights', 'no session to read it with');
  return row.bytes;
}
