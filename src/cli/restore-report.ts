import { formatLsn } from '../postgres/lsn.ts';
import { leftOutNotePath } from '../restore/left-out-databases.ts';
import type { RestoreReport } from '../restore/restore-over.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import type { SelectedDatabases } from '../restore/selected-databases.ts';
import { describeTarget } from '../restore/target.ts';
import { describeUnarchived } from '../restore/unarchived-wal.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import type { CliContext } from './context.ts';
import { formatBytes } from './format.ts';
import { describeDifference, type InPlace } from './restore-in-place.ts';
import type { StartedReport } from './start-restored.ts';

/** What a restore will do. */
export interface DescribedRestore {
  readonly plan: RestorePlan;
  readonly directory: string;
  readonly tablespaces: ReadonlyMap<number, string>;
  /** `undefined`: all. */
  readonly databases: SelectedDatabases | undefined;
  /** Where the directory is restored in place. */
  readonly place: InPlace | undefined;
}

/** The plan as numbered steps. */
export function describeRestore({ plan, directory, tablespaces, databases, place }: DescribedRestore): string[] {
  const { backup, stop } = plan;
  const steps = [
    place
      ? `bring ${directory} to ${describeBackup(backup)}: compare it, write what differs, remove what the backup does not have`
      : `restore ${describeBackup(backup)} to ${directory}`,
    ...[...tablespaces].map(([oid, path]) => `restore tablespace ${oid} to ${path}`),
    ...(place ? describeLosses(place) : []),
    ...plan.replayedTablespaces.map(({ oid, path }) => `make ${path}, where replay makes tablespace ${oid}`),
    ...leftOutSteps(databases),
  ];
  if (plan.startsAsItWas === true) return numbered([...steps, ...asItWas(plan)]);
  steps.push(`replay WAL from ${backup.startLsn} on timeline ${plan.timeline} to ${describeTarget(plan.request)}`);
  if (stop.kind === 'record') {
    const time = stop.time === undefined ? '' : `, transaction of ${formatTimestamp(stop.time)}`;
    steps.push(`recovery stops at ${formatLsn(stop.lsn)} (timeline ${stop.timeline}${time})`);
  }
  if (plan.request.target.kind === 'latest') steps.push('then the server opens for work on a new timeline');
  else
    steps.push(
      `then ${{ pause: 'it pauses, for you to look and pgrecall resume', promote: 'the server opens for work on a new timeline', shutdown: 'the server shuts down' }[plan.request.action]}`,
    );
  return numbered(steps);
}

function numbered(steps: readonly string[]): string[] {
  return steps.map((step, i) => `${i + 1}. ${step}`);
}

/** Of a cold backup that nothing goes on from. */
function asItWas({ backup }: RestorePlan): string[] {
  return [
    `no recovery: nothing is archived that goes on from ${backup.endLsn}`,
    `then the server starts as it was when it ended, on timeline ${backup.timeline}`,
  ];
}

function describeBackup({ id, stoppedAt, sizeBytes }: RestorePlan['backup']): string {
  return `${id} (ended ${stoppedAt}, ${formatBytes(sizeBytes)})`;
}

export function describeLosses({ over, discarded }: InPlace): string[] {
  const wal = discarded.map(describeUnarchived).join(', ');
  return [
    ...[...over.superfluous].map(([oid, path]) => `empty ${path}, tablespace ${oid}, which the backup does not have`),
    ...(wal === '' ? [] : [`LOSE WAL that is not in the repository: ${wal} (--discard-wal)`]),
  ];
}

function leftOutSteps(databases: SelectedDatabases | undefined): string[] {
  if (!databases || databases.leftOut.length === 0) return [];
  const names = databases.leftOut.map(({ name }) => name).join(', ');
  return [`leave out ${names}: empty files, to be dropped when recovery is done`];
}

export interface AnsweredRestore extends DescribedRestore {
  readonly steps: readonly string[];
  /** What was done, or would be; `undefined` where that was not looked at. */
  readonly report: RestoreReport | undefined;
  readonly planned: boolean;
  readonly started?: StartedReport;
}

/** What the command says on stdout. */
export function answerRestore(context: CliContext, result: AnsweredRestore): void {
  const { plan, directory, steps, databases, place, report, started } = result;
  if (context.json) {
    const document = {
      directory,
      backup: plan.backup.id,
      target: describeTarget(plan.request),
      timeline: plan.timeline,
      plan: steps,
      warnings: plan.warnings,
      leftOut: databases?.leftOut.map(({ name }) => name) ?? [],
      delta: place && report ? deltaDocument(place, report) : null,
      executed: !result.planned,
      started: started ?? null,
    };
    context.stdout(JSON.stringify(document, undefined, 2));
    return;
  }
  if (result.planned) {
    context.stdout(steps.join('\n'));
    if (report) context.stdout(describeDifference(report));
  } else if (started) context.stdout(started.text);
  else {
    context.stdout(`${directory} is ready: pg_ctl start -D ${directory}`);
    if (databases && databases.leftOut.length > 0) {
      context.stdout(
        `when it is out of recovery, drop what was left out: psql -f ${leftOutNotePath(directory)} postgres`,
      );
    }
  }
}

function deltaDocument({ discarded }: InPlace, report: RestoreReport): object {
  const { comparedBytes, changedBytes, newFiles, newBytes, removedFiles, removedBytes } = report;
  const unarchivedWal = discarded.map(({ name }) => name);
  return { comparedBytes, changedBytes, newFiles, newBytes, removedFiles, removedBytes, unarchivedWal };
}
