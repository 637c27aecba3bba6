import { join } from 'node:path';
import { checkIncarnation } from '../backup/check-server.ts';
import { readControlFile } from '../backup/read-control-file.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { hasCode, PgrecallError } from '../errors/pgrecall-error.ts';
import type { ControlFile } from '../postgres/control-file.ts';
import { timeline as toTimeline } from '../postgres/timeline.ts';
import type { RecoverFacts } from '../recover/recover-plan.ts';
import { journalDirectory } from '../recover/recovery-journal.ts';
import { presentTablespaces, requireNobodyThere } from '../restore/delta-target.ts';
import { planTargetIn } from '../restore/plan-target.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import { describeTarget, type RecoveryRequest } from '../restore/target.ts';
import { describeUnarchived, findUnarchivedWal, type UnarchivedSegment } from '../restore/unarchived-wal.ts';
import { findDebianCluster } from '../server/find-configuration.ts';
import { findProgram } from '../server/as-owner.ts';
import { lastingEnvironment } from '../server/lasting-environment.ts';
import { findHowStarted, type StartedBy } from '../server/how-started.ts';
import { readPostmasterPid } from '../server/postmaster-pid.ts';
import { findPrograms } from '../server/programs.ts';
import { isServerRunning } from '../server/running.ts';
import { readServerCommand } from '../server/server-command.ts';
import type { InterruptedServer } from '../server/stop-and-start.ts';
import { pushLeftWal, type LeftWal } from '../standby/left-wal.ts';
import { asRepositoryOwner, findBackup, type ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import type { RecoverPlace } from './recover-place.ts';
import { requireMovable, requirePort, requireRoom } from './recover-room.ts';
import type { RecoverWords } from './recover-words.ts';
import { findServer } from './watched-server.ts';

const stopTimeoutMs = 600_000;
/** Until it recovers; how far it is is watched otherwise. */
const startTimeoutMs = 2000;

/** What is known before anything is touched. */
export interface LookedAt {
  readonly control: ControlFile;
  readonly server: InterruptedServer;
  readonly wasRunning: boolean;
  readonly plan: RestorePlan;
  readonly facts: RecoverFacts;
}

/** Refuses what cannot be, before anything is touched. With `onlyPlan` the repository is not written to either. */
export async function look(
  place: RecoverPlace,
  words: RecoverWords,
  request: RecoveryRequest,
  context: CliContext,
): Promise<LookedAt> {
  const { directory, config } = place;
  const { control } = readControlFile(directory);
  const wasRunning = isServerRunning(directory);
  requireMovable(directory, control);
  await requirePort(place, words.port, wasRunning, context);
  const warnings: string[] = [];
  if (!wasRunning) requireNobodyThere(directory);
  else if (!words.ignoreStandbys) {
    const following = await place.asOwner(async () => findFollowers(place, context));
    if (following && !words.onlyPlan) throw following;
    if (following) warnings.push(`${following.message}; ${following.hint}`);
  }
  const { server, leftOut } = await findOutServer(place, control.postgresMajor, words, context);
  if (leftOut.length > 0) {
    warnings.push(
      `the server is started again without these words of its environment, which may be secret: ${leftOut.join(', ')}; where something needs them, its archive_command for instance, restart it yourself afterwards`,
    );
  }
  return asRepositoryOwner(context, words.cluster, async (access) => {
    checkIncarnation(config.name, access.incarnation, control, directory);
    // What is archived already is not enough to tell whether a late target can be reached.
    if (!words.onlyPlan) await takeWal(access, directory, control, context.signal);
    const unarchived = await findUnarchivedWal(directory, access.store);
    const own = words.namesTimeline ? request : await onTimeline(access, request, control.timeline);
    const planned = await planBeforeStop(access, own, words, unarchived);
    const plan = { ...planned, warnings: [...planned.warnings, ...warnings] };
    await requireRoom(access, plan, directory);
    const facts: RecoverFacts = {
      directory,
      keptAt: journalDirectory(directory),
      tablespaces: [...presentTablespaces(directory).values()],
      wasRunning,
      startedBy: describeStart(server.startedBy),
      backup: plan.backup.id,
      target: describeTarget(plan.request),
      delta: words.delta,
      toTheEnd: request.target.kind === 'latest',
      assertions: config.assertions.length,
      unarchived: unarchived.map(describeUnarchived),
    };
    return { control, server, wasRunning, plan, facts };
  });
}

/**
 * A running server has WAL that is archived only once it is stopped, and a mere plan archives nothing: of a target that may lie
 * in there a plan says that, instead of refusing it.
 */
async function planBeforeStop(
  access: ClusterAccess,
  request: RecoveryRequest,
  { backup, onlyPlan }: RecoverWords,
  unarchived: readonly UnarchivedSegment[],
): Promise<RestorePlan> {
  try {
    return await planRecoverTarget(access, request, backup);
  } catch (error) {
    const { target } = request;
    const mayBeThere = unarchived.some(({ lastTime }) => {
      return target.kind !== 'time' || lastTime === undefined || lastTime >= target.time;
    });
    if (!onlyPlan || !mayBeThere || !hasCode(error, 'target-unreachable')) throw error;
    const plan = await planRecoverTarget(access, { ...request, target: { kind: 'latest' } }, backup);
    const where = unarchived.map(describeUnarchived).join(', ');
    const warning = `${describeTarget(request)} lies behind what is archived, maybe in WAL that the directory alone has: ${where}; that is archived and looked through before anything is stopped`;
    return { ...plan, request, warnings: [...plan.warnings, warning] };
  }
}

/** One that was undone has left a newer timeline in the archive, which is not the directory’s. */
export async function onTimeline(
  { store }: ClusterAccess,
  request: RecoveryRequest,
  own: number,
): Promise<RecoveryRequest> {
  const timeline = toTimeline(own);
  const isKnown = timeline === 1 || (await store.readHistories()).has(timeline);
  return isKnown ? { ...request, timeline } : request;
}

/** Throws `target-unreachable`. */
export async function planRecoverTarget(
  { cluster, incarnation, store }: ClusterAccess,
  request: RecoveryRequest,
  wanted: string | undefined,
): Promise<RestorePlan> {
  const backups = (await cluster.listBackups()).filter((backup) => backup.incarnation === incarnation.number);
  const named = wanted === undefined ? undefined : findBackup(backups, wanted);
  return planTargetIn(store, { backups, named, request });
}

/** What only the directory has, into the repository; what was stored, and what is no WAL that can be read. */
export async function takeWal(
  access: ClusterAccess,
  directory: string,
  control: Pick<ControlFile, 'timeline'>,
  signal: AbortSignal,
): Promise<Pick<LeftWal, 'stored' | 'unreadable'>> {
  return pushLeftWal(access.store, join(directory, 'pg_wal'), control.timeline, signal);
}

/** The error `standby-connected` where somebody follows. */
async function findFollowers(
  { directory, config }: RecoverPlace,
  { env }: CliContext,
): Promise<PgrecallError | undefined> {
  const { uri } = findServer(directory, { connection: config.connection, env });
  await using session = await SqlSession.connect(uri, { applicationName: 'pgrecall recover' });
  const found = await session.query<{ name: string; address: string | null }>(
    "SELECT application_name AS name, client_addr::text AS address FROM pg_stat_replication WHERE state <> 'backup'",
  );
  if (found.length === 0) return undefined;
  const names = found.map(({ name, address }) => `"${name}"${address === null ? '' : ` at ${address}`}`).join(', ');
  return new PgrecallError('standby-connected', `standbys or receivers follow this server: ${names}`, {
    hint: 'after the recovery they do not fit any more: stop them, or say --ignore-standbys; nothing was changed',
    details: { followers: found },
  });
}

async function findOutServer(
  { directory, config }: RecoverPlace,
  major: number,
  words: RecoverWords,
  { env }: CliContext,
): Promise<{ readonly server: InterruptedServer; readonly leftOut: readonly string[] }> {
  const { pgBin, stateDirectory } = config;
  const programs = await findPrograms({ major, env, ...(pgBin === undefined ? {} : { pgBin }) });
  const fallbackLog = join(stateDirectory, 'server.log');
  const pid = isServerRunning(directory) ? readPostmasterPid(directory)?.pid : undefined;
  const startedBy =
    pid === undefined
      ? howItWouldBeStarted(directory, programs.postgres, fallbackLog, env)
      : await findHowStarted({ dataDirectory: directory, pid, env, fallbackLog });
  const { lasting, leftOut } = lastingStart(startedBy);
  return {
    server: {
      ...{ dataDirectory: directory, startedBy: lasting, programs, startTimeoutMs },
      stopTimeoutMs: words.timeoutMs ?? stopTimeoutMs,
    },
    leftOut,
  };
}

/** One that is stopped: by Debian's tools where they know it, else with the command line of its last start. */
function howItWouldBeStarted(directory: string, postgres: string, logFile: string, env: NodeJS.ProcessEnv): StartedBy {
  const debian = findDebianCluster(directory, env);
  const program = findProgram('pg_ctlcluster', env);
  if (debian && program !== undefined) {
    return { kind: 'pg_ctlcluster', program, version: debian.version, name: debian.name };
  }
  const last = readServerCommand(directory);
  const [first, , ...rest] = last?.arguments ?? [];
  const words = first === '-D' ? rest : (last?.arguments ?? []);
  return {
    kind: 'command',
    command: { program: last?.program ?? postgres, arguments: words },
    // Of who calls this now; the server had another one.
    env: Object.fromEntries(
      Object.entries(env).flatMap(([name, value = '']) => (ofMachine.test(name) ? [[name, value]] : [])),
    ),
    logFile,
  };
}

const ofMachine = /^(?:PATH|TZ|LANG|LC_[A-Z]+)$/;

/** As the journal may hold it: without what could be secret in the server's environment. */
function lastingStart(startedBy: StartedBy): { readonly lasting: StartedBy; readonly leftOut: readonly string[] } {
  if (startedBy.kind !== 'command') return { lasting: startedBy, leftOut: [] };
  const { env, leftOut } = lastingEnvironment(startedBy.env);
  return { lasting: { ...startedBy, env }, leftOut };
}

function describeStart(startedBy: StartedBy): string {
  switch (startedBy.kind) {
    case 'systemd':
      return `systemctl stop ${startedBy.unit}`;
    case 'pg_ctlcluster':
      return `cluster ${startedBy.version}/${startedBy.name} of pg_ctlcluster`;
    case 'command':
      return 'pg_ctl stop -m fast';
  }
}
