import { formatLsn } from '../postgres/lsn.ts';
import type { Road } from '../standby/rejoin-plan.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import type { CliContext } from './context.ts';
import { boundTo } from './standby-create-plan.ts';
import type { RejoinWords } from './standby-rejoin.ts';
import type { PlannedRejoin } from './standby-rejoin-look.ts';
import type { StartedStandby } from './standby-start.ts';

export function describeRejoin(planned: PlannedRejoin, words: RejoinWords, backup: string | undefined): string[] {
  const { control, facts, parting, road, lost, left } = planned;
  const stored = words.onlyPlan ? 'to be stored before' : 'stored';
  return [
    `"${words.directory}" is on timeline ${control.timeline}, the server to follow on ${facts.timeline}`,
    ...(left.stored.length > 0 ? [`${stored}, since only this directory has it: ${left.stored.join(', ')}`] : []),
    parting === undefined
      ? 'it has nothing that the server to follow has not'
      : `they parted at ${formatLsn(parting.lsn)} on timeline ${parting.timeline}`,
    ...(parting && !words.onlyPlan ? [describeLost(lost, control.timeline)] : []),
    `road: ${describeRoad(road, backup)}`,
    ...boundTo(planned.timeline).map((warning) => `warning: ${warning}`),
  ];
}

function describeLost({ bytes, commits, lastCommitTime }: PlannedRejoin['lost'], timeline: number): string {
  if (commits === 0) return `no transaction of it is missing from the new timeline (${bytes} bytes of WAL)`;
  const last = lastCommitTime === undefined ? '' : `, the last at ${formatTimestamp(lastCommitTime)}`;
  return `${commits} transaction${commits === 1 ? '' : 's'} of it are not on the new timeline${last}; they stay in the repository: restore --target-timeline ${timeline}`;
}

function describeRoad(road: Road, backup: string | undefined): string {
  switch (road.kind) {
    case 'follow':
      return 'it only has to be told whom to follow';
    case 'rewind':
      return 'pg_rewind';
    case 'restore':
      return `a restore in place${backup === undefined ? '' : ` of ${backup}`} (${road.why})`;
  }
}

export function answerRejoin(
  context: CliContext,
  answer: {
    readonly planned: PlannedRejoin;
    readonly words: RejoinWords;
    readonly started: StartedStandby | undefined;
  },
): void {
  const { planned, words, started } = answer;
  const { road, parting, lost, left } = planned;
  if (context.json) {
    const document = {
      directory: words.directory,
      planned: words.onlyPlan,
      road: road.kind,
      why: road.kind === 'restore' ? road.why : null,
      timeline: planned.facts.timeline,
      partedAt: parting ? formatLsn(parting.lsn) : null,
      partedTimeline: parting?.timeline ?? null,
      lostCommits: lost.commits,
      lostBytes: lost.bytes,
      lastLostCommitAt: lost.lastCommitTime === undefined ? null : formatTimestamp(lost.lastCommitTime),
      stored: left.stored,
      slot: words.slot,
      started: started
        ? { port: started.port, socketDirectory: started.socketDirectory, streaming: started.streaming }
        : null,
    };
    context.stdout(JSON.stringify(document, undefined, 2));
  } else if (words.onlyPlan) context.stdout('nothing was changed (--plan)');
  else if (started) context.stdout(`"${words.directory}" is a standby, and streams through the slot "${words.slot}"`);
  else context.stdout(`"${words.directory}" is a standby: start it; it streams through the slot "${words.slot}"`);
}
