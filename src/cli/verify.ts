import { formatLsn } from '../postgres/lsn.ts';
import { verifyCluster, type ClusterVerdict } from '../restore/verify-cluster.ts';
import { findBackup, openCluster, repositoryForThreads } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { formatBytes } from './format.ts';
import { numberOption, requiredPositional } from './options.ts';
import { startProgress } from './progress.ts';

/** `pgrecall verify CLUSTER [BACKUP]`: exit 3 with damage or a gap. */
export const runVerify: RunCommand = async (arguments_, context) => {
  const access = await openCluster(context, requiredPositional(arguments_, 'cluster'));
  const { config, cluster, incarnations } = access;
  const named = arguments_.positional['backup'];
  const only = named === undefined ? undefined : findBackup(await cluster.listBackups(), named);
  const progress = startProgress(context, `verify ${config.name}`);
  let verdict: ClusterVerdict;
  try {
    verdict = await verifyCluster({
      cluster,
      incarnations,
      access: repositoryForThreads(access),
      ...(only ? { only } : {}),
      jobs: numberOption(arguments_.options, 'jobs', 1) ?? config.jobs,
      signal: context.signal,
      onProgress: progress.advance,
      onTotal: progress.total,
      say: progress.say,
    });
  } finally {
    progress.end();
  }
  const ok = isGood(verdict);
  if (context.json) context.stdout(JSON.stringify(toDocument(config.name, verdict, ok), undefined, 2));
  else writeText(verdict, context, ok);
  return ok ? 0 : 3;
};

function isGood({ backups, wal }: ClusterVerdict): boolean {
  return (
    backups.every(({ damage }) => damage.length === 0) &&
    wal.every(({ damage, gaps }) => damage.length === 0 && gaps.length === 0)
  );
}

function toDocument(cluster: string, verdict: ClusterVerdict, ok: boolean): unknown {
  return {
    cluster,
    ok,
    backups: verdict.backups.map(({ backup, files, sizeBytes, damage }) => ({
      id: backup,
      ok: damage.length === 0,
      files,
      sizeBytes,
      damage: damage.map(({ path, code, message }) => ({ path, code, message })),
    })),
    wal: verdict.wal.map(({ incarnation, segments, damage, withoutIndex }) => ({
      incarnation,
      segments,
      damage,
      withoutIndex,
    })),
    gaps: verdict.wal.flatMap(({ incarnation, gaps }) =>
      gaps.map(({ timeline, fromLsn, toLsn }) => ({
        incarnation,
        timeline,
        from: formatLsn(fromLsn),
        to: formatLsn(toLsn),
      })),
    ),
    notes: verdict.notes,
  };
}

const shownProblems = 20;
const shownPaths = 5;

function writeText(verdict: ClusterVerdict, context: CliContext, ok: boolean): void {
  for (const { backup, files, sizeBytes, damage } of verdict.backups) {
    context.stdout(`${mark(damage)}  ${backup}: ${files} files, ${formatBytes(sizeBytes)}`);
    writeDamage(damage, context);
  }
  for (const { incarnation, segments, damage, withoutIndex, gaps } of verdict.wal) {
    const what = verdict.wal.length === 1 ? 'WAL' : `WAL of incarnation ${incarnation}`;
    context.stdout(`${mark(damage)}  ${what}: ${segments} segment(s)`);
    writeDamage(
      damage.map(({ name, code, message }) => ({ path: name, code, message })),
      context,
    );
    for (const { timeline, fromLsn, toLsn } of gaps) {
      context.stdout(`GAP      timeline ${timeline}: ${formatLsn(fromLsn)} to ${formatLsn(toLsn)} is not archived`);
    }
    if (withoutIndex.length > 0) {
      context.stdout(`note     ${withoutIndex.length} segment(s) have no index; it is read from the WAL itself`);
    }
  }
  for (const note of verdict.notes) context.stdout(`note     ${note}`);
  if (!ok) context.stderr('damage was found: what is named above cannot be restored as it was; take a fresh backup');
}

function mark(damage: readonly unknown[]): string {
  return damage.length === 0 ? 'ok     ' : 'DAMAGED';
}

/** One line a problem, with what it harms: a pack that is gone harms a thousand files in the same way. */
function writeDamage(
  damage: readonly { readonly path: string; readonly code: string; readonly message: string }[],
  context: CliContext,
): void {
  const problems = new Map<string, string[]>();
  for (const { path, code, message } of damage) {
    const problem = `${code}: ${message}`;
    const paths = problems.get(problem);
    if (paths) paths.push(path);
    else problems.set(problem, [path]);
  }
  for (const [problem, paths] of [...problems].slice(0, shownProblems)) {
    const rest = paths.length > shownPaths ? ` and ${paths.length - shownPaths} more` : '';
    context.stdout(`         ${problem}`);
    context.stdout(`           harms ${paths.slice(0, shownPaths).join(', ')}${rest}`);
  }
  const hidden = problems.size - shownProblems;
  if (hidden > 0) context.stdout(`         and ${hidden} more problems; --json has all of them`);
}
