import { chownSync, existsSync, mkdirSync } from 'node:fs';
import { connectionOptions } from '../connection/connection-uri.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { parseLsn } from '../postgres/lsn.ts';
import { writeDoors } from '../recover/closed-doors.ts';
import { planRecovery, wayToTarget, withoutFrom } from '../recover/recover-plan.ts';
import {
  journalDirectory,
  makeJournalDirectory,
  readJournal,
  type RecoveryJournal,
} from '../recover/recovery-journal.ts';
import type { RecoveryRequest } from '../restore/target.ts';
import { asRepositoryOwner } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { canActAs, nameOf } from './privileges.ts';
import { lookAtTarget, openCluster, type Found } from './recover-finish.ts';
import { look, onTimeline, planRecoverTarget, type LookedAt } from './recover-look.ts';
import {
  describeState,
  findPlace,
  lockRecovery,
  openRecording,
  Recording,
  type RecoverPlace,
} from './recover-place.ts';
import { answerPlan, answerRecovery, describeFound, describeSteps } from './recover-report.ts';
import { advanceToTarget, stopForRecovery, type RecoverWork } from './recover-steps.ts';
import { forgetRecovery, undoRecovery } from './recover-undo.ts';
import { readRecoverWords, targetOptionsOf, type RecoverWords } from './recover-words.ts';

/** `pgrecall recover CLUSTER`: exit 3 where an assertion does not hold, 4 where the target cannot be reached. */
export const runRecover: RunCommand = async (arguments_, context) => {
  const words = readRecoverWords(arguments_);
  const place = await findPlace(context, words.cluster);
  const { directory } = place;
  if (words.action === 'status') {
    const journal = await place.asOwner(async () => readJournal(directory));
    answerRecovery(context, journal, { directory, outcome: 'status' });
    return 0;
  }
  if (words.action === 'begin') return begin(place, words, context);
  const recording = await openRecording(place, context);
  await using lock = await lockRecovery(place, context);
  void lock;
  const work = workOf(place, recording, words, context);
  switch (words.action) {
    case 'undo':
      await confirmLoss(recording, words, context);
      await undoRecovery(work);
      answerRecovery(context, undefined, { directory, outcome: 'undone' });
      return 0;
    case 'forget':
      await forgetRecovery(work);
      answerRecovery(context, undefined, { directory, outcome: 'forgotten' });
      return 0;
    case 'continue':
      return goOn(work, words);
  }
};

/** On a terminal: what was committed since the recovery is not in the old directory. */
async function confirmLoss({ journal }: Recording, { yes }: RecoverWords, { ask }: CliContext): Promise<void> {
  if (yes || !ask || !journal.done.includes('promote')) return;
  const answer = await ask(
    'what was committed since the recovery will not be there; bring the old directory back? (yes or no)',
    'no',
  );
  if (answer !== 'yes') throw new PgrecallError('cancelled', 'it was not confirmed; nothing was changed');
}

function workOf(place: RecoverPlace, recording: Recording, words: RecoverWords, context: CliContext): RecoverWork {
  return { place, recording, context, jobs: words.jobs, timeoutMs: words.timeoutMs };
}

async function begin(place: RecoverPlace, words: RecoverWords, context: CliContext): Promise<number> {
  await requireNone(place);
  if (!words.onlyPlan && !words.yes && !words.pause && !context.ask) {
    throw new PgrecallError('usage', 'nobody is at a terminal to be asked', {
      hint: '--plan shows what would be done; --yes does it and opens the cluster, --pause does it and ends at the target',
    });
  }
  const request: RecoveryRequest = words.request ?? {
    target: { kind: 'latest' },
    inclusive: true,
    timeline: 'latest',
    action: 'pause',
  };
  const looked = await look(place, words, request, context);
  if (words.onlyPlan) {
    answerPlan(context, looked.facts, looked.plan);
    return 0;
  }
  for (const line of describeSteps(planRecovery(looked.facts))) context.stderr(line);
  for (const warning of looked.plan.warnings) context.stderr(`warning: ${warning}`);
  if (!words.yes && !words.pause && (await context.ask?.('do it? (yes or no)', 'no')) !== 'yes') {
    throw new PgrecallError('cancelled', 'it was not confirmed; nothing was changed');
  }
  await makePlace(place, context);
  await using lock = await lockRecovery(place, context);
  void lock;
  // Another one may have come first, and be over by now.
  await requireNone(place);
  const recording = new Recording(place, journalOf(place, words, request, looked));
  await recording.write();
  return finish(workOf(place, recording, words, context), words);
}

/** Throws `recovery-unfinished` where one has begun, or its old directory is still kept. */
async function requireNone({ directory, asOwner }: RecoverPlace): Promise<void> {
  const previous = await asOwner(async () => readJournal(directory));
  if (!previous) return;
  throw new PgrecallError('recovery-unfinished', `a recovery of "${directory}" is there already`, {
    hint: describeState(previous),
    details: { phase: previous.phase, done: previous.done },
  });
}

/** As root for its owner, where only root may make it. */
async function makePlace({ directory, owner, config, asOwner }: RecoverPlace, { env }: CliContext): Promise<void> {
  const path = journalDirectory(directory);
  if (canActAs(owner) && !existsSync(path)) {
    mkdirSync(path, { mode: 0o700 });
    chownSync(path, owner.uid, owner.gid);
  }
  await asOwner(async () => {
    makeJournalDirectory(directory);
    const { user } = connectionOptions(config.connection, env);
    writeDoors(directory, { role: user, users: [...new Set(['root', nameOf(owner)])] });
  });
}

function journalOf(
  { config, directory }: RecoverPlace,
  words: RecoverWords,
  request: RecoveryRequest,
  { server, wasRunning, plan }: LookedAt,
): RecoveryJournal {
  return {
    ...{ version: 1, cluster: config.name, directory, phase: 'forward', begun: null, done: [], server, wasRunning },
    ...{ target: targetOptionsOf({ ...request, timeline: plan.timeline }), port: words.port ?? null },
    ...{ delta: words.delta, again: false, backup: plan.backup.id, timeline: plan.timeline },
    ...{ moves: [], emptied: [], made: [], walPlace: null, mode: 0o700, replayedLsn: null },
  };
}

async function goOn(work: RecoverWork, words: RecoverWords): Promise<number> {
  const { recording, context } = work;
  const { journal } = recording;
  if (journal.phase === 'over' && !words.request) {
    answerRecovery(context, journal, { directory: journal.directory, outcome: 'opened' });
    return 0;
  }
  if (journal.phase !== 'forward') {
    throw new PgrecallError('recovery-unfinished', 'there is nothing to go on with', { hint: describeState(journal) });
  }
  if (words.request) await headFor(work, words.request, words);
  if (!words.yes && !words.pause && !context.ask && !words.request) {
    throw new PgrecallError('usage', 'nobody is at a terminal to be asked', {
      hint: 'say --continue --yes to open the cluster where its assertions hold, --continue --pause to end at the target',
    });
  }
  return finish(work, words);
}

/** Another target: the recovery goes on to it where it lies ahead, else the backup is restored again, by what differs. */
async function headFor(
  work: RecoverWork,
  request: RecoveryRequest,
  { backup, namesTimeline }: RecoverWords,
): Promise<void> {
  const { recording, context } = work;
  const { journal } = recording;
  if (journal.done.includes('promote') || journal.begun === 'promote') {
    throw new PgrecallError('recovery-unfinished', 'the recovery has ended already; another target needs a new one', {
      hint: describeState(journal),
    });
  }
  const plan = await asRepositoryOwner(context, journal.cluster, async (access) => {
    const own =
      namesTimeline || journal.timeline === null ? request : await onTimeline(access, request, journal.timeline);
    return planRecoverTarget(access, own, backup);
  });
  const way = wayToTarget({
    replayedLsn: journal.replayedLsn === null ? undefined : parseLsn(journal.replayedLsn),
    stopLsn: plan.stop.kind === 'record' ? plan.stop.lsn : undefined,
    sameTimeline: plan.timeline === journal.timeline,
    isConsistentOnly: plan.stop.kind === 'consistent',
  });
  const target = targetOptionsOf({ ...request, timeline: plan.timeline });
  if (!journal.done.includes('restore')) {
    await recording.write({ target, backup: plan.backup.id, timeline: plan.timeline });
    return;
  }
  const again = way === 'restore';
  context.stderr(again ? `restoring ${plan.backup.id} again, by what differs` : 'going on from where it is');
  await stopForRecovery(work);
  await recording.write({
    ...{ target, begun: null, again },
    ...(again ? { backup: plan.backup.id, timeline: plan.timeline, replayedLsn: null } : {}),
    done: withoutFrom(journal.done, again ? 'restore' : 'configure'),
  });
}

async function finish(work: RecoverWork, words: RecoverWords): Promise<number> {
  const { recording, context } = work;
  const { directory } = recording.journal;
  let found: Found | undefined;
  if (!recording.journal.done.includes('promote')) {
    await advanceToTarget(work);
    found = await lookAtTarget(work);
    for (const line of describeFound(found)) context.stderr(line);
    const failed = found.assertions.filter(({ holds }) => !holds).length;
    const decision = await decide(found, failed, words, context);
    if (decision === 'undo') {
      await undoRecovery(work);
      answerRecovery(context, undefined, { directory, outcome: 'undone' });
      return 0;
    }
    if (decision === 'stay') {
      answerRecovery(context, recording.journal, { directory, outcome: 'paused', found });
      return failed > 0 ? 3 : 0;
    }
  }
  const state = await openCluster(work);
  answerRecovery(context, recording.journal, {
    ...{ directory, outcome: 'opened', timeline: state?.timeline },
    ...(found ? { found } : {}),
  });
  return 0;
}

async function decide(
  found: Found,
  failed: number,
  { yes, pause }: RecoverWords,
  { ask }: CliContext,
): Promise<'open' | 'stay' | 'undo'> {
  if (pause) return 'stay';
  if (yes) return failed === 0 ? 'open' : 'stay';
  if (!ask) return 'stay';
  const end = found.state.state === 'promoted' ? 'let the users in' : 'end the recovery and let the users in';
  const answer = await ask(`open (${end}), undo, or stay (to look, or for another target)?`, 'stay');
  return answer === 'open' || answer === 'undo' ? answer : 'stay';
}
