/*
 * A recovery in place as a list of steps, each with what it does and what undoes it. Pure: what was observed comes in.
 */

export const stepNames = [
  'stop',
  'push',
  'keep',
  'clone',
  'restore',
  'configure',
  'start',
  'promote',
  'reopen',
] as const;

export type StepName = (typeof stepNames)[number];

export interface RecoverFacts {
  readonly directory: string;
  readonly keptAt: string;
  readonly tablespaces: readonly string[];
  readonly wasRunning: boolean;
  /** "systemctl stop …", in words. */
  readonly startedBy: string;
  readonly backup: string;
  readonly target: string;
  readonly delta: boolean;
  readonly toTheEnd: boolean;
  readonly assertions: number;
  readonly unarchived: readonly string[];
}

export interface PlannedStep {
  readonly name: StepName;
  readonly does: string;
  readonly undoneBy: string;
}

const nothing = 'nothing to undo';
const afterwards = 'the old directory, which is still kept; what was committed since stays in the repository only';

/** In the order in which they are done. */
export function planRecovery(facts: RecoverFacts): readonly PlannedStep[] {
  const { directory, keptAt, backup, target, tablespaces } = facts;
  const all = [directory, ...tablespaces].map((path) => `"${path}"`).join(', ');
  const steps: PlannedStep[] = [
    {
      name: 'stop',
      does: facts.wasRunning ? `stop the server (${facts.startedBy})` : 'the server is stopped already',
      undoneBy: facts.wasRunning ? 'starting it as it was started' : nothing,
    },
    {
      name: 'push',
      does: `put WAL that only "${directory}" has into the repository${unarchivedText(facts.unarchived)}`,
      undoneBy: `${nothing}: it stays in the repository`,
    },
    { name: 'keep', does: `keep ${all} aside, by new names: "${keptAt}"`, undoneBy: 'the old names' },
  ];
  if (facts.delta) {
    steps.push({
      name: 'clone',
      does: 'copy what was kept (by reference, where the file system can)',
      undoneBy: 'removing the copy',
    });
  }
  steps.push(
    {
      name: 'restore',
      does: facts.delta
        ? `bring the copy to ${backup}: what differs is written`
        : `restore ${backup} to "${directory}"`,
      undoneBy: 'removing what was restored',
    },
    {
      name: 'configure',
      does: 'the configuration as it was, with our settings at the end of postgresql.auto.conf: target, restore_command, and access for the local administrator alone',
      undoneBy: 'removing what was restored',
    },
    {
      name: 'start',
      does: facts.toTheEnd
        ? `start the server, and let it recover to ${target}; it opens there by itself`
        : `start the server, and let it recover to ${target}; it pauses there`,
      undoneBy: 'stopping it',
    },
    {
      name: 'promote',
      does: `look: ${facts.assertions} assertion${facts.assertions === 1 ? '' : 's'} of the configuration and our own; then end the recovery (a new timeline)`,
      undoneBy: afterwards,
    },
    {
      name: 'reopen',
      does: 'take our settings out again, restart the server as it was started: users come in',
      undoneBy: afterwards,
    },
  );
  return steps;
}

function unarchivedText(unarchived: readonly string[]): string {
  return unarchived.length === 0 ? '' : ` (${unarchived.join(', ')})`;
}

/** The steps of a recovery, in their order. */
export function stepsOf({ delta }: { readonly delta: boolean }): readonly StepName[] {
  return delta ? stepNames : stepNames.filter((name) => name !== 'clone');
}

/** The first that is not done; `undefined` at the end. */
export function nextStep(journal: {
  readonly delta: boolean;
  readonly done: readonly StepName[];
}): StepName | undefined {
  return stepsOf(journal).find((name) => !journal.done.includes(name));
}

/** What has to be done again for another target: all from `from` on. */
export function withoutFrom(done: readonly StepName[], from: StepName): readonly StepName[] {
  const at = stepNames.indexOf(from);
  return done.filter((name) => stepNames.indexOf(name) < at);
}

/** How a recovery that stands at one target gets to another one. */
export function wayToTarget(options: {
  readonly replayedLsn: bigint | undefined;
  /** Where the new one stops; `undefined` at the end of WAL. */
  readonly stopLsn: bigint | undefined;
  readonly sameTimeline: boolean;
  readonly isConsistentOnly: boolean;
}): 'go-on' | 'restore' {
  const { replayedLsn, stopLsn, sameTimeline, isConsistentOnly } = options;
  if (!sameTimeline || isConsistentOnly || replayedLsn === undefined) return 'restore';
  return stopLsn === undefined || stopLsn >= replayedLsn ? 'go-on' : 'restore';
}
