import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { checkSlotName } from '../protocol/replication-command.ts';
import { requireNobodyThere } from '../restore/delta-target.ts';
import { syncTrees, writeDurably } from '../restore/durable.ts';
import { withRecoverySettings } from '../restore/recovery-settings.ts';
import { nameFromDirectory } from '../standby/conninfo-plan.ts';
import { noteStandby } from '../standby/known-standbys.ts';
import {
  keepConfigurationOf,
  putBackConfiguration,
  removeRejoinJournal,
  writeRejoinJournal,
  type RejoinJournal,
} from '../standby/rejoin-journal.ts';
import { refuseRunningRewind, rewind } from '../standby/rejoin-rewind.ts';
import { makeStandbySlot } from '../standby/slot.ts';
import { standbySettings } from '../standby/standby-settings-plan.ts';
import { shellQuote } from './archive-script.ts';
import { openCluster } from './cluster-access.ts';
import type { CommandArguments, RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { flagOption, numberOption, requiredPositional, secondsOption, textOption } from './options.ts';
import { standbyConninfo, writePassfile } from './standby-conninfo.ts';
import { planRejoin, type PlannedRejoin } from './standby-rejoin-look.ts';
import { answerRejoin, describeRejoin } from './standby-rejoin-report.ts';
import { planRestoreBack, restoreBack, type RestoreBack } from './standby-rejoin-restore.ts';
import { standbyRestoreCommand, standbyRestoreScript } from './standby-restore.ts';
import { isTooLate, takeSlotBack } from './standby-slot.ts';
import { startStandby, type StartedStandby } from './standby-start.ts';

export interface RejoinWords {
  readonly cluster: string;
  readonly directory: string;
  readonly name: string;
  readonly slot: string;
  readonly upstream: string | undefined;
  readonly method: 'rewind' | 'restore' | undefined;
  readonly port: number | undefined;
  readonly start: boolean;
  readonly discardWal: boolean;
  readonly onlyPlan: boolean;
  readonly timeoutMs: number | undefined;
  readonly jobs: number | undefined;
}

/**
 * `pgrecall standby rejoin CLUSTER --directory DIR`: killed at any moment, it can be run again. What the directory alone has is
 * in the repository before anything of it is changed.
 */
export const runStandbyRejoin: RunCommand = async (arguments_, context) => {
  const words = readWords(arguments_, context);
  requireNobodyThere(words.directory);
  refuseRunningRewind(words.directory);
  const access = await openCluster(context, words.cluster);
  const { now, randomBytes } = context;
  await using lock = await access.cluster.lock('standby', { purpose: 'standby rejoin', now, randomBytes });
  void lock;
  const planned = await planRejoin(access, words, context);
  const timeline = planned.facts.timeline;
  // Before anything is changed it is known whether the repository leads there.
  const back = planned.road.kind === 'restore' ? await planRestoreBack(access, { ...words, timeline }) : undefined;
  for (const line of describeRejoin(planned, words, back?.plan.backup.id)) context.stderr(line);
  if (words.onlyPlan) {
    answerRejoin(context, { planned, words, started: undefined });
    return 0;
  }
  const settings = settingsFor(planned, words, context);
  const madeSlot = await makeSlot(planned, words, context);
  let started: StartedStandby | undefined;
  try {
    await change(planned, { words, settings, back }, context);
    noteStandby(access.config.stateDirectory, words.name, words.directory);
    if (words.start) {
      const major = planned.control.postgresMajor;
      started = await startStandby({ ...words, access, major, streams: true }, context);
    }
  } catch (error) {
    if (madeSlot && !isTooLate(error)) await takeSlotBack(planned.source, words.slot, context);
    throw error;
  }
  answerRejoin(context, { planned, words, started });
  return 0;
};

async function makeSlot({ source }: PlannedRejoin, { slot }: RejoinWords, context: CliContext): Promise<boolean> {
  await using session = await SqlSession.connect(source, { applicationName: 'pgrecall standby' });
  const isNew = await makeStandbySlot(session, slot);
  if (isNew) context.stderr(`made the replication slot "${slot}"`);
  return isNew;
}

function readWords(arguments_: CommandArguments, context: CliContext): RejoinWords {
  const { options } = arguments_;
  const given = textOption(options, 'directory');
  if (given === undefined)
    throw new PgrecallError('usage', '--directory is missing: the former primary’s data directory');
  const cluster = requiredPositional(arguments_, 'cluster');
  const directory = resolve(context.cwd, given);
  const slot = checkSlotName(textOption(options, 'slot') ?? nameFromDirectory(cluster, directory));
  return {
    cluster,
    directory,
    name: textOption(options, 'name') ?? slot,
    slot,
    upstream: textOption(options, 'upstream'),
    method: methodOption(textOption(options, 'method')),
    port: numberOption(options, 'port', 1),
    start: flagOption(options, 'start'),
    discardWal: flagOption(options, 'discardWal'),
    onlyPlan: flagOption(options, 'plan'),
    timeoutMs: secondsOption(options, 'timeout'),
    jobs: numberOption(options, 'jobs', 1),
  };
}

function methodOption(text: string | undefined): RejoinWords['method'] {
  if (text === undefined || text === 'rewind' || text === 'restore') return text;
  throw new PgrecallError('usage', `--method is "${text}"; expected rewind or restore`);
}

function settingsFor(planned: PlannedRejoin, words: RejoinWords, context: CliContext): Record<string, string> {
  const { stateDirectory } = planned.access.config;
  const conninfo = standbyConninfo(planned.connection, { name: words.name, stateDirectory, env: context.env });
  writePassfile(conninfo, stateDirectory);
  return standbySettings({
    upstream: { conninfo: conninfo.conninfo, slot: words.slot },
    restoreCommand: standbyRestoreCommand(words.directory),
    delayMs: undefined,
    port: words.port,
    raised: planned.raised,
    timeline: planned.timeline,
  });
}

interface Change {
  readonly words: RejoinWords;
  readonly settings: Readonly<Record<string, string>>;
  readonly back: RestoreBack | undefined;
}

/** The journal is durable before the directory is touched, and goes when it is a standby. */
async function change(planned: PlannedRejoin, doing: Change, context: CliContext): Promise<void> {
  const { access, road } = planned;
  const { directory } = doing.words;
  const { stateDirectory } = access.config;
  const kept = planned.journal?.kept ?? keepConfigurationOf(directory);
  const journal: RejoinJournal = { directory, step: 'changing', kept };
  if (planned.journal?.step !== 'settling') {
    writeRejoinJournal(stateDirectory, journal);
    if (road.kind === 'rewind') await rewindOrRestore(planned, doing, context);
    else if (road.kind === 'restore') await restore(planned, doing, context);
    writeRejoinJournal(stateDirectory, { ...journal, step: 'settling' });
  }
  await settle(planned, doing, kept, context);
  removeRejoinJournal(stateDirectory, directory);
}

/** A rewind that fails may have begun to write: then a restore puts everything right. */
async function rewindOrRestore(planned: PlannedRejoin, doing: Change, context: CliContext): Promise<void> {
  const { access, source, rewindProgram, configFile } = planned;
  const { directory, method } = doing.words;
  const { config } = access;
  try {
    // Until its first checkpoint a promoted server’s pg_control says that it is on the old timeline.
    await using session = await SqlSession.connect(source, { applicationName: 'pgrecall standby' });
    await session.query('CHECKPOINT').catch(() => undefined);
    const words = ['--cluster', config.name, '--config', config.configFile].map(shellQuote).join(' ');
    const restoreCommand = `${shellQuote(context.launcher)} wal get "%f" "%p" ${words}`;
    await rewind({
      ...{ program: rewindProgram, directory, configFile, source, restoreCommand },
      env: context.env,
      signal: context.signal,
    });
  } catch (error) {
    if (!hasCode(error, 'rejoin-failed') || method === 'rewind') throw error;
    context.stderr(`${error.message}\nrestoring from the repository instead`);
    await restore(planned, doing, context);
  }
}

async function restore(planned: PlannedRejoin, { words, settings, back }: Change, context: CliContext): Promise<void> {
  const { access, facts } = planned;
  const plan = back ?? (await planRestoreBack(access, { ...words, timeline: facts.timeline }));
  await restoreBack(plan, access, { ...words, settings }, context);
}

/** The directory’s own configuration, and what makes it a standby. */
async function settle(
  planned: PlannedRejoin,
  { words, settings }: Change,
  kept: RejoinJournal['kept'],
  context: CliContext,
): Promise<void> {
  const { directory } = words;
  const { autoConf } = putBackConfiguration(directory, kept);
  const script = standbyRestoreScript(planned.access, directory, context);
  mkdirSync(dirname(script.path), { recursive: true, mode: 0o700 });
  writeDurably(script.path, script.text, { mode: 0o700 });
  const { restore_command: restoreCommand = '' } = settings;
  writeDurably(
    join(directory, 'postgresql.auto.conf'),
    withRecoverySettings(autoConf, { recovery: undefined, restoreCommand, more: settings }),
  );
  // Of standbys that followed it: nobody will come for them, and they would keep WAL for ever.
  for (const slot of readdirSync(join(directory, 'pg_replslot'))) {
    rmSync(join(directory, 'pg_replslot', slot), { recursive: true, force: true });
  }
  writeDurably(join(directory, 'standby.signal'), '');
  rmSync(join(directory, 'recovery.signal'), { force: true });
  await syncTrees([directory]);
}
