import { formatSpan } from '../config/duration.ts';
import type { PrimaryAdvice } from '../standby/primary-settings-plan.ts';
import type { CliContext } from './context.ts';
import { formatBytes } from './format.ts';
import { describeLosses } from './restore-report.ts';
import type { PlannedStandby } from './standby-create-plan.ts';
import type { StartedStandby } from './standby-start.ts';
import type { StandbyWords } from './standby-words.ts';

/** The plan as numbered steps. */
export function describeStandby(
  { upstream, plan, place, raised }: PlannedStandby,
  words: StandbyWords,
  tablespaces: ReadonlyMap<number, string>,
): string[] {
  const { directory, slot, name, delayMs, apply } = words;
  const steps: string[] = [];
  if (plan) {
    const { id, stoppedAt, sizeBytes } = plan.backup;
    const backup = `${id} (ended ${stoppedAt}, ${formatBytes(sizeBytes)})`;
    steps.push(place ? `bring ${directory} to ${backup}: write what differs` : `restore ${backup} to ${directory}`);
    if (place) steps.push(...describeLosses(place));
  } else steps.push(`copy the server to follow to ${directory}`);
  for (const [oid, path] of tablespaces) steps.push(`restore tablespace ${oid} to ${path}`);
  for (const [setting, value] of Object.entries(raised)) {
    steps.push(`set ${setting} = ${value} there, as the primary has it; the backup has less`);
  }
  if (upstream) {
    const made = upstream.slot ? 'use' : 'make';
    steps.push(`${made} the replication slot "${slot}" at the server to follow`);
    steps.push(`follow it as "${name}", and the archive where streaming lags`);
  } else steps.push('replay WAL from the archive, without a connection');
  if (delayMs !== undefined && delayMs > 0) steps.push(`replay ${formatSpan(delayMs)} after each commit`);
  for (const one of upstream?.advice ?? []) {
    const how = apply ? 'set' : one.needed ? 'NEEDED' : 'advised';
    const restart = one.needsRestart ? ', then restart' : '';
    steps.push(`${how} at the primary: ${one.statement}${restart} (${one.name} is "${one.current}": ${one.why})`);
  }
  if (words.start)
    steps.push(upstream ? 'start it, and wait until it streams' : 'start it, and wait until it can be read');
  return steps.map((step, index) => `${index + 1}. ${step}`);
}

export interface AnsweredStandby {
  readonly planned: PlannedStandby;
  readonly words: StandbyWords;
  readonly steps: readonly string[];
  readonly applied: readonly PrimaryAdvice[];
  readonly started: StartedStandby | undefined;
}

export function answerStandby(context: CliContext, answer: AnsweredStandby): void {
  if (context.json) context.stdout(JSON.stringify(asJson(answer), undefined, 2));
  else context.stdout(asText(answer).join('\n'));
}

function asJson({ planned, words, steps, applied, started }: AnsweredStandby): unknown {
  const { upstream, plan, warnings } = planned;
  return {
    directory: words.directory,
    name: words.name,
    slot: upstream ? words.slot : null,
    backup: plan?.backup.id ?? null,
    source: plan ? 'repository' : 'primary',
    plan: steps,
    warnings,
    executed: !words.onlyPlan,
    settings: (upstream?.advice ?? []).map(({ name, current, wanted, needsRestart, needed, statement }) => ({
      name,
      current,
      wanted,
      needsRestart,
      needed,
      statement,
      applied: applied.some((one) => one.name === name),
    })),
    started: started ?? null,
  };
}

function asText({ planned, words, steps, applied, started }: AnsweredStandby): string[] {
  if (words.onlyPlan) return [...steps];
  const lines: string[] = [];
  if (started) {
    const how = started.streaming ? 'streams' : 'replays from the archive';
    lines.push(`the standby "${words.name}" ${how}, replayed up to ${started.replayedLsn ?? '?'}`);
    lines.push(`connect: host=${started.socketDirectory} port=${started.port}`);
  } else lines.push(`${words.directory} is ready: pg_ctl start -D ${words.directory}`);
  const open = (planned.upstream?.advice ?? []).filter((one) => !applied.includes(one));
  for (const { statement, why, needsRestart } of open) {
    lines.push(`at the primary: ${statement}${needsRestart ? ' and a restart' : ''} -- ${why}`);
  }
  if (open.length > 0) lines.push('then: SELECT pg_reload_conf();');
  return lines;
}
