import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { readControlFile } from '../backup/read-control-file.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { timeline as toTimeline } from '../postgres/timeline.ts';
import { closedArguments, closedSettings } from '../recover/closed-doors.ts';
import {
  clearEmptied,
  clearMade,
  isAside,
  isKeptWithin,
  keepAside,
  keptDirectory,
  planKeep,
} from '../recover/keep-aside.ts';
import { removeForeignConfiguration } from '../recover/foreign-configuration.ts';
import { nextStep, stepNames, type StepName } from '../recover/recover-plan.ts';
import type { RecoveryJournal } from '../recover/recovery-journal.ts';
import { leadWalTo } from '../recover/wal-place.ts';
import { presentTablespaces, requireNobodyThere } from '../restore/delta-target.ts';
import { syncTrees, writeDurably } from '../restore/durable.ts';
import { withRecoverySettings } from '../restore/recovery-settings.ts';
import { describeTarget } from '../restore/target.ts';
import { stoppedWhere, waitForRecovery, type RecoveryState } from '../restore/watch-recovery.ts';
import { findDirectoryUse } from '../server/directory-use.ts';
import { isServerRunning } from '../server/running.ts';
import { startAsStarted, stopAsStarted, type InterruptedServer } from '../server/stop-and-start.ts';
import { keepConfigurationOf, putBackConfiguration } from '../standby/rejoin-journal.ts';
import { asRepositoryOwner, type ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import { planRecoverTarget, takeWal } from './recover-look.ts';
import { restoreForRecovery } from './recover-restore.ts';
import { requestOf, tellingState, type RecoverPlace, type Recording } from './recover-place.ts';
import { startRecoveryProgress } from './recovery-progress.ts';
import { standbyRestoreCommand as restoreCommandOf } from './standby-restore.ts';
import { findServer } from './watched-server.ts';

const restTimeoutMs = 30_000;
const restPollMs = 100;

export interface RecoverWork {
  readonly place: RecoverPlace;
  readonly recording: Recording;
  readonly context: CliContext;
  readonly jobs: number | undefined;
  readonly timeoutMs: number | undefined;
}

/** What a recovery does at its target, before it is decided whether to stay there. */
export interface AtTarget {
  readonly state: RecoveryState;
  /** The server's own words. */
  readonly stopped: string | undefined;
}

/** All steps up to the target. Each is written down before it acts and after; done again, it goes on. */
export async function advanceToTarget(work: RecoverWork): Promise<void> {
  const { recording, context } = work;
  for (;;) {
    const step = nextStep(recording.journal);
    if (step === undefined || step === 'promote' || step === 'reopen') return;
    await tellingState(recording, async () => {
      context.signal.throwIfAborted();
      await recording.write({ begun: step });
      await acts[step](work);
    });
    await recordDone(recording, step);
  }
}

export async function recordDone(
  recording: Recording,
  step: StepName,
  phase: RecoveryJournal['phase'] = 'forward',
): Promise<void> {
  const done = [...new Set([...recording.journal.done, step])].toSorted(
    (a, b) => stepNames.indexOf(a) - stepNames.indexOf(b),
  );
  await recording.write({ begun: null, done, phase });
}

type Act = (work: RecoverWork) => Promise<void>;

const acts: Readonly<Record<Exclude<StepName, 'promote' | 'reopen'>, Act>> = {
  stop: stopForRecovery,
  push,
  keep,
  clone,
  restore,
  configure,
  start,
};

/** As it had been started, and waits until its processes are gone. */
export async function stopForRecovery({ recording, context }: RecoverWork): Promise<void> {
  const { server, directory } = recording.journal;
  // While it is brought back it is not there for a moment.
  if (!existsSync(directory)) return;
  if (isServerRunning(directory)) {
    context.stderr('stopping the server');
    await stopAsStarted(server);
  }
  const deadlineMs = context.now().getTime() + restTimeoutMs;
  while (findDirectoryUse(directory).kind === 'running' && context.now().getTime() < deadlineMs) {
    await sleep(restPollMs, undefined, { signal: context.signal });
  }
  requireNobodyThere(directory);
}

async function push({ recording, context }: RecoverWork): Promise<void> {
  const { cluster, directory } = recording.journal;
  await asRepositoryOwner(context, cluster, async (access) => {
    await storeLeftWal(access, directory, context);
    const plan = await planRecoverTarget(access, requestOf(recording), recording.journal.backup ?? undefined);
    await recording.write({ backup: plan.backup.id, timeline: plan.timeline });
  });
}

async function storeLeftWal(access: ClusterAccess, directory: string, context: CliContext): Promise<void> {
  const { control } = readControlFile(directory);
  const { stored, unreadable } = await takeWal(access, directory, control, context.signal);
  if (stored.length > 0) context.stderr(`stored what only this directory had: ${stored.join(', ')}`);
  if (unreadable.length > 0) {
    context.stderr(
      `warning: cannot be read as WAL, and is kept with the old directory only: ${unreadable.join(', ')}; what was committed there is not recovered`,
    );
  }
}

async function keep(work: RecoverWork): Promise<void> {
  const { place, recording, context } = work;
  const { cluster, directory } = recording.journal;
  if (!isAside(recording.journal.moves)) {
    // It may have been started since it was stopped, by a unit at boot for instance, and have more WAL than was pushed and planned.
    await stopForRecovery(work);
    await asRepositoryOwner(context, cluster, async (access) => storeLeftWal(access, directory, context));
    const { control } = readControlFile(directory);
    const version = `PG_${control.postgresMajor}_${control.catalogVersion}`;
    const planned = await place.asOwner(async () =>
      planKeep(directory, [...presentTablespaces(directory).values()], version),
    );
    await recording.write(planned);
  }
  await place.asOwner(async () => keepAside(recording.journal));
  context.stderr(`the old data directory is kept in "${keptDirectory(directory, recording.journal.moves)}"`);
}

async function clone({ place, recording, context }: RecoverWork): Promise<void> {
  const { moves, directory } = recording.journal;
  // A restore in place would take what is kept within the directory for a part of it.
  if (isKeptWithin(directory, moves)) return;
  if (existsSync(directory)) requireNobodyThere(directory);
  context.stderr('cloning what was kept');
  await place.asOwner(async () => {
    clearMade(recording.journal);
    for (const { from, to } of moves) {
      await promisify(execFile)('cp', ['-a', '--reflink=auto', '-T', '--', to, from], { signal: context.signal });
    }
    // Of the old server's last moments.
    rmSync(join(directory, 'postmaster.pid'), { force: true });
  });
}

async function restore({ place, recording, context, jobs }: RecoverWork): Promise<void> {
  const { directory, moves, delta, again, mode, walPlace } = recording.journal;
  if (isServerRunning(directory)) requireNobodyThere(directory);
  const isOver = (delta || again) && !isKeptWithin(directory, moves);
  if (!isOver) {
    await place.asOwner(async () => {
      clearMade(recording.journal);
      mkdirSync(directory, { recursive: true, mode: 0o700 });
    });
  }
  if (isOver && walPlace !== null) await place.asOwner(async () => parkWal(recording));
  await restoreForRecovery({ place, recording, context, jobs, isOver });
  await place.asOwner(async () => chmodSync(directory, mode));
}

/** The administrator's configuration as it was, and after it what recovery needs. */
async function configure({ recording, context }: RecoverWork): Promise<void> {
  const { cluster, directory, moves, walPlace, backup, timeline, port } = recording.journal;
  await asRepositoryOwner(context, cluster, async (access) => {
    const kept = keptDirectory(directory, moves);
    const { autoConf } = putBackConfiguration(directory, keepConfigurationOf(kept));
    if (walPlace !== null) await leadWalTo(directory, walPlace);
    const plan = await planRecoverTarget(access, requestOf(recording), backup ?? undefined);
    writeDurably(
      join(directory, 'postgresql.auto.conf'),
      withRecoverySettings(autoConf, {
        recovery: { request: plan.request, timeline: toTimeline(timeline ?? plan.timeline) },
        restoreCommand: restoreCommandOf(directory),
        more: closedSettings(directory, port),
      }),
    );
    writeDurably(join(directory, 'recovery.signal'), '');
    removeForeignConfiguration(directory, kept);
    await syncTrees([directory]);
    await recording.write({ timeline: plan.timeline });
  });
}

/** What is brought to a backup in place is emptied first, through a link to pg_wal as well: there lies what was kept. */
function parkWal({ journal }: Recording): void {
  const wal = join(journal.directory, 'pg_wal');
  if (lstatSync(wal, { throwIfNoEntry: false })?.isSymbolicLink() === true) rmSync(wal);
  mkdirSync(wal, { recursive: true, mode: 0o700 });
  clearEmptied(journal);
}

async function start({ recording, context }: RecoverWork): Promise<void> {
  const { directory } = recording.journal;
  if (!isServerRunning(directory)) context.stderr('starting the server, closed to all but the local administrator');
  await startAsStarted(closedServer(recording));
}

/** As it was started, with our access rules on its command line where it has one. */
function closedServer(recording: Recording): InterruptedServer {
  const { server, directory, port } = recording.journal;
  const { startedBy } = server;
  if (startedBy.kind !== 'command') return server;
  const { command } = startedBy;
  const words = [...command.arguments, ...closedArguments(directory, port)];
  return { ...server, startedBy: { ...startedBy, command: { ...command, arguments: words } } };
}

/** Waits for the pause; a recovery to the end of WAL opens by itself. Starts the server again where it was stopped meanwhile. */
export async function waitForTarget(work: RecoverWork): Promise<AtTarget> {
  const { place, recording, context } = work;
  const { directory, server } = recording.journal;
  if (!isServerRunning(directory)) await tellingState(recording, async () => start(work));
  const request = requestOf(recording);
  context.stderr(`recovering to ${describeTarget(request)}`);
  const progress = startRecoveryProgress(context);
  try {
    return await tellingState(recording, async () =>
      place.asOwner(async () => {
        const logFile = server.startedBy.kind === 'command' ? server.startedBy.logFile : undefined;
        const watched = findServer(directory, {
          connection: place.config.connection,
          env: context.env,
          ...(logFile === undefined ? {} : { logFile }),
        });
        const state = await waitForRecovery(watched, {
          until: request.target.kind === 'latest' ? 'promoted' : 'paused',
          timeoutMs: work.timeoutMs,
          now: context.now,
          signal: context.signal,
          onState: progress.onState,
        });
        return { state, stopped: stoppedWhere(watched.logTail()) };
      }),
    );
  } finally {
    progress.end();
  }
}

/** The settings that the directory had before, and no more. */
export async function takeSettingsOut({ place, recording }: RecoverWork): Promise<void> {
  const { directory, moves } = recording.journal;
  await place.asOwner(async () => {
    const path = join(keptDirectory(directory, moves), 'postgresql.auto.conf');
    const text = existsSync(path) ? readFileSync(path) : '';
    writeDurably(join(directory, 'postgresql.auto.conf'), text);
  });
}

/** Throws `keep-failed` where something of what is kept is gone. */
export function requireKept({ journal }: Recording): void {
  const { directory, moves } = journal;
  const places = [...moves.map(({ to }) => to), join(keptDirectory(directory, moves), 'PG_VERSION')];
  const gone = places.find((path) => lstatSync(path, { throwIfNoEntry: false }) === undefined);
  if (moves.length === 0 || gone === undefined) return;
  throw new PgrecallError('keep-failed', `"${gone}" is not there any more`, {
    hint: 'somebody has moved it; put it there again. Nothing was removed',
  });
}
