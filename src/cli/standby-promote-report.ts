import { formatLsn } from '../postgres/lsn.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { PrimaryState } from '../standby/fence-primary.ts';
import type { Followed } from '../standby/follow.ts';
import type { Address } from '../standby/follow-address.ts';
import type { LeftWal } from '../standby/left-wal.ts';
import type { ArchivedTimeline } from '../standby/promote.ts';
import type { StandbyFacts } from '../standby/promote-facts.ts';
import { describeLack, type Fork, type Lack } from '../standby/promote-plan.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import type { CliContext } from './context.ts';
import type { PointedConfiguration } from './standby-promote-config.ts';

export interface Promotion {
  readonly facts: StandbyFacts;
  readonly lack: Lack;
  readonly timeline: Timeline;
  readonly archived: ArchivedTimeline;
  readonly followed: readonly Followed[];
  readonly left: LeftWal | undefined;
  readonly address: Address;
}

interface Planned {
  readonly facts: StandbyFacts;
  readonly lack: Lack;
  readonly fork: Fork | undefined;
  readonly found: { readonly primary: PrimaryState; readonly others: readonly string[] };
  readonly followers: readonly { readonly address: string }[];
}

export function describePlan({ facts, lack, fork, found, followers }: Planned, directory: string): string[] {
  const at = facts.lastCommitTime === undefined ? '' : `, last commit ${formatTimestamp(facts.lastCommitTime)}`;
  return [
    `standby: "${directory}", timeline ${facts.timeline}, replayed up to ${formatLsn(facts.replayedLsn)}${at}${facts.replayPaused ? ', replay is paused' : ''}`,
    `primary: ${describePrimary(found.primary)}`,
    `WAL: ${describeLack(lack, facts)}`,
    ...(fork ? [`warning: timeline ${fork.timeline} left this one at ${formatLsn(fork.switchLsn)}`] : []),
    ...(followers.length > 0 ? [`to follow: ${followers.map(({ address }) => address).join(', ')}`] : []),
    ...found.others.map((other) => `warning: ${other}`),
  ];
}

function describePrimary(primary: PrimaryState): string {
  switch (primary.kind) {
    case 'alive':
      return primary.what;
    case 'at-rest':
      return `stopped: no server runs on "${primary.directory}"`;
    case 'silent':
      return `does not answer (${primary.reasons.join('; ') || 'no address of it is known'})`;
  }
}

export function answerPromotion(
  context: CliContext,
  answer: Planned &
    Partial<Promotion> & {
      readonly directory: string;
      readonly planned: boolean;
      readonly configuration?: PointedConfiguration;
    },
): void {
  if (context.json) context.stdout(JSON.stringify(asJson(answer), undefined, 2));
  else if (answer.planned) context.stdout('nothing was changed (--plan)');
  else for (const line of describe(answer)) context.stdout(line);
}

function describe({ directory, timeline, archived, followed, configuration, lack, facts }: Answer): string[] {
  const lines = [`the server on "${directory}" is the primary now, on timeline ${timeline ?? '?'}`];
  if (lack.bytes > 0) lines.push(`lost: ${describeLack(lack, facts)}`);
  if (archived) {
    const segment =
      archived.firstSegment === undefined
        ? `warning: its segments do not reach the archive: ${archived.problem ?? ''}`
        : `and its first segment ${archived.firstSegment}`;
    const joined = archived.firstSegment === undefined ? '; ' : ' ';
    lines.push(
      `the history of the timeline is archived (it begins at ${formatLsn(archived.switchLsn)})${joined}${segment}`,
    );
  }
  for (const one of followed ?? []) {
    if (one.kind === 'cannot') lines.push(`warning: the standby at ${one.address} does not follow: ${one.why}`);
    else lines.push(`the standby at ${one.address} follows${one.restart ? ' after a restart' : ''}`);
  }
  if (configuration) lines.push(...describeConfiguration(configuration));
  lines.push('a fresh backup is due: pgrecall backup');
  return lines;
}

function describeConfiguration({ file, needed, written, problem }: PointedConfiguration): string[] {
  const entries = Object.entries(needed);
  if (entries.length === 0) return [];
  if (written) return [`"${file}" leads to it now: ${entries.map(([key]) => key).join(', ')}`];
  const why = problem === undefined ? '' : ` (could not be written: ${problem})`;
  return [
    `"${file}" still leads to the old primary${why}; there has to stand:`,
    ...entries.map(([key, value]) => `  ${key} = "${value}"`),
  ];
}

type Answer = Parameters<typeof answerPromotion>[1];

function asJson(answer: Answer): unknown {
  const { facts, lack, found, fork, timeline, archived, followed, configuration, left } = answer;
  return {
    directory: answer.directory,
    planned: answer.planned,
    primary: found.primary.kind,
    replayedLsn: formatLsn(facts.replayedLsn),
    lastCommitAt: facts.lastCommitTime === undefined ? null : formatTimestamp(facts.lastCommitTime),
    lagBytes: lack.bytes,
    lagSeconds: lack.seconds,
    lostCommits: lack.commits,
    forkedTimeline: fork?.timeline ?? null,
    timeline: timeline ?? null,
    switchLsn: archived ? formatLsn(archived.switchLsn) : null,
    firstSegmentArchived: archived?.firstSegment ?? null,
    archivingProblem: archived?.problem ?? null,
    storedFromOldPrimary: left?.stored ?? [],
    standbys: (followed ?? []).map((one) =>
      one.kind === 'follows'
        ? { address: one.address, follows: true, restart: one.restart }
        : { address: one.address, follows: false, why: one.why },
    ),
    configuration: configuration
      ? { file: configuration.file, needed: configuration.needed, written: configuration.written }
      : null,
  };
}
