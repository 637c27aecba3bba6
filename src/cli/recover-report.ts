import { planRecovery, type PlannedStep, type RecoverFacts } from '../recover/recover-plan.ts';
import type { RecoveryJournal } from '../recover/recovery-journal.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import type { CliContext } from './context.ts';
import { formatBytes } from './format.ts';
import type { Found } from './recover-finish.ts';
import { describeState } from './recover-place.ts';

export function describeSteps(steps: readonly PlannedStep[]): string[] {
  return steps.map(({ does, undoneBy }, i) => `${i + 1}. ${does}\n   undone by: ${undoneBy}`);
}

export function answerPlan(context: CliContext, facts: RecoverFacts, plan: RestorePlan): void {
  const steps = planRecovery(facts);
  if (!context.json)
    context.stdout([...describeSteps(steps), ...plan.warnings.map((words) => `warning: ${words}`)].join('\n'));
  else {
    const { directory, backup, target } = facts;
    context.stdout(
      JSON.stringify(
        { directory, backup, target, timeline: plan.timeline, plan: steps, executed: false },
        undefined,
        2,
      ),
    );
  }
}

/** What was found at the target, in words. */
export function describeFound({ state, stopped, assertions, databases }: Found): string[] {
  const at = state.replayedLsn === undefined ? '' : ` at ${state.replayedLsn}`;
  const last = state.lastTransactionAt === undefined ? '' : `; last transaction replayed: ${state.lastTransactionAt}`;
  return [
    `the server is ${state.state}${at}${last}`,
    ...(stopped === undefined ? [] : [`it says: ${stopped}`]),
    `databases: ${databases.map(({ name, bytes }) => `${name} (${formatBytes(bytes)})`).join(', ')}`,
    ...assertions.map(({ statement, holds, found }) =>
      holds ? `holds: ${statement}` : `DOES NOT HOLD: ${statement} (${found})`,
    ),
  ];
}

/** How a recovery stands at the end of the command. */
export function answerRecovery(
  context: CliContext,
  journal: RecoveryJournal | undefined,
  outcome: {
    readonly directory: string;
    readonly outcome: 'opened' | 'paused' | 'undone' | 'forgotten' | 'status';
    readonly found?: Found;
    readonly timeline?: number | undefined;
    readonly running?: boolean;
  },
): void {
  const { found } = outcome;
  if (context.json) {
    const { phase, begun, done, backup, target } = journal ?? {};
    const document = {
      ...{ directory: outcome.directory, outcome: outcome.outcome },
      recovery: journal ? { phase, begun, done, backup, target } : null,
      replayedLsn: found?.state.replayedLsn ?? null,
      lastTransactionAt: found?.state.lastTransactionAt ?? null,
      stopped: found?.stopped ?? null,
      timeline: outcome.timeline ?? found?.state.timeline ?? null,
      assertions: found?.assertions ?? [],
      databases: found?.databases ?? [],
    };
    context.stdout(JSON.stringify(document, undefined, 2));
    return;
  }
  context.stdout(textOf(journal, outcome).join('\n'));
}

function textOf(
  journal: RecoveryJournal | undefined,
  { outcome, directory, timeline }: Parameters<typeof answerRecovery>[2],
): string[] {
  const state = journal ? [describeState(journal)] : [];
  switch (outcome) {
    case 'opened':
      return [
        `"${directory}" is recovered and open${timeline === undefined ? '' : `, on timeline ${timeline}`}`,
        ...state,
        `a fresh backup is due: pgrecall backup ${journal?.cluster ?? 'CLUSTER'}`,
      ];
    case 'paused':
      return [
        'the server waits at its target, closed to all but the local administrator',
        `look at it, then: pgrecall recover ${journal?.cluster ?? 'CLUSTER'} --continue --yes opens it; --continue --target-… tries another moment; --undo brings everything back`,
      ];
    case 'undone':
      return [`"${directory}" is as it was before`];
    case 'forgotten':
      return [`what was kept of the old "${directory}" is removed`];
    case 'status':
      return journal ? state : [`no recovery of "${directory}" has begun`];
  }
}
