import { parseDuration } from '../config/duration.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { verifyCluster, type ClusterVerdict } from '../restore/verify-cluster.ts';
import { verifyInThreads } from '../restore/verifying.ts';
import { findBackup, openCluster, repositoryForThreads } from './cluster-access.ts';
import type { Options, RunCommand } from './command.ts';
import { numberOption, requiredPositional, textOption } from './options.ts';
import { startProgress } from './progress.ts';
import { isGood, toDocument, writeReport } from './verify-report.ts';

/** `pgrecall verify CLUSTER [BACKUP]`: exit 3 with damage or a gap. */
export const runVerify: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const sinceMs = readSince(options);
  const access = await openCluster(context, requiredPositional(arguments_, 'cluster'));
  const { config, cluster, incarnations } = access;
  const named = arguments_.positional['backup'];
  const only = named === undefined ? undefined : findBackup(await cluster.listBackups(), named);
  const jobs = numberOption(options, 'jobs', 1) ?? config.jobs;
  const progress = startProgress(context, `verify ${config.name}`);
  let verdict: ClusterVerdict;
  try {
    verdict = await verifyCluster({
      cluster,
      incarnations,
      access: repositoryForThreads(access),
      ...(only ? { only } : {}),
      jobs,
      startVerifying: () => verifyInThreads(repositoryForThreads(access), config.name, jobs),
      sinceMs,
      now: context.now,
      signal: context.signal,
      onProgress: progress.advance,
      onTotal: progress.total,
      say: progress.say,
    });
  } finally {
    progress.end();
  }
  if (context.json) context.stdout(JSON.stringify(toDocument(config.name, verdict), undefined, 2));
  else writeReport(verdict, context);
  return isGood(verdict) ? 0 : 3;
};

function readSince(options: Options): number | undefined {
  const text = textOption(options, 'since');
  if (text === undefined) return undefined;
  const millis = parseDuration(text);
  if (millis !== undefined) return millis;
  throw new PgrecallError('usage', `--since is "${text}"; expected a time like "7 days"`, {
    hint: 'minutes, hours, days, weeks, months and years; 7d for short',
  });
}
