import { formatLsn } from '../postgres/lsn.ts';
import { leftOutNotePath } from '../restore/left-out-databases.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import type { SelectedDatabases } from '../restore/selected-databases.ts';
import { describeTarget } from '../restore/target.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import type { CliContext } from './context.ts';
import { formatBytes } from './format.ts';
import type { StartedReport } from './start-restored.ts';

/** What a restore will do. */
export interface DescribedRestore {
  readonly plan: RestorePlan;
  readonly directory: string;
  readonly tablespaces: ReadonlyMap<number, string>;
  /** `undefined`: all. */
  readonly databases: SelectedDatabases | undefined;
}

/** The plan as numbered steps. */
export function describeRestore({ plan, directory, tablespaces, databases }: DescribedRestore): string[] {
  const { backup, stop } = plan;
  const steps = [
    `restore ${backup.id} (ended ${backup.stoppedAt}, ${formatBytes(backup.sizeBytes)}) to ${directory}`,
    ...[...tablespaces].map(([oid, place]) => `restore tablespace ${oid} to ${place}`),
    ...plan.replayedTablespaces.map(({ oid, path }) => `make ${path}, where replay makes tablespace ${oid}`),
    ...leftOutSteps(databases),
    `replay WAL from ${backup.startLsn} on timeline ${plan.timeline} to ${describeTarget(plan.request)}`,
  ];
  if (stop.kind === 'record') {
    const time = stop.time === undefined ? '' : `, transaction of ${formatTimestamp(stop.time)}`;
    steps.push(`recovery stops at ${formatLsn(stop.lsn)} (timeline ${stop.timeline}${time})`);
  }
  if (plan.request.target.kind === 'latest') steps.push('then the server opens for work on a new timeline');
  else
    steps.push(
      `then ${{ pause: 'it pauses, for you to look and pgrecall resume', promote: 'the server opens for work on a new timeline', shutdown: 'the server shuts down' }[plan.request.action]}`,
    );
  return steps.map((step, i) => `${i + 1}. ${step}`);
}

function leftOutSteps(databases: SelectedDatabases | undefined): string[] {
  if (!databases || databases.leftOut.length === 0) return [];
  const names = databases.leftOut.map(({ name }) => name).join(', ');
  return [`leave out ${names}: empty files, to be dropped when recovery is done`];
}

export interface AnsweredRestore {
  readonly plan: RestorePlan;
  readonly directory: string;
  readonly steps: readonly string[];
  readonly databases: SelectedDatabases | undefined;
  readonly planned: boolean;
  readonly started?: StartedReport;
}

/** What the command says on stdout. */
export function answerRestore(context: CliContext, result: AnsweredRestore): void {
  const { plan, directory, steps, databases, started } = result;
  if (context.json) {
    const document = {
      directory,
      backup: plan.backup.id,
      target: describeTarget(plan.request),
      timeline: plan.timeline,
      plan: steps,
      warnings: plan.warnings,
      leftOut: databases?.leftOut.map(({ name }) => name) ?? [],
      executed: !result.planned,
      started: started ?? null,
    };
    context.stdout(JSON.stringify(document, undefined, 2));
    return;
  }
  if (result.planned) context.stdout(steps.join('\n'));
  else if (started) context.stdout(started.text);
  else {
    context.stdout(`${directory} is ready: pg_ctl start -D ${directory}`);
    if (databases && databases.leftOut.length > 0) {
      context.stdout(
        `when it is out of recovery, drop what was left out: psql -f ${leftOutNotePath(directory)} postgres`,
      );
    }
  }
}
