import { join } from 'node:path';
import { readControlFile } from '../backup/read-control-file.ts';
import { connectionTo } from '../connection/connection-uri.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, lsn, type Lsn } from '../postgres/lsn.ts';
import { timeline as toTimeline } from '../postgres/timeline.ts';
import type { RepositoryLock } from '../repository/lock.ts';
import { findHowStarted } from '../server/how-started.ts';
import { readPostmasterPid } from '../server/postmaster-pid.ts';
import { findPrograms } from '../server/programs.ts';
import { isServerRunning } from '../server/running.ts';
import { stopAsStarted } from '../server/stop-and-start.ts';
import { decideFence, findPrimary, type Answer, type FoundServers } from '../standby/fence-primary.ts';
import { followPrimary, type Followed } from '../standby/follow.ts';
import { serverOn } from '../standby/follow-address.ts';
import { forgetStandby } from '../standby/known-standbys.ts';
import { pushLeftWal, type LeftWal } from '../standby/left-wal.ts';
import { catchUp, ensureArchived, measureInArchive, missingSynchronous, promoteServer } from '../standby/promote.ts';
import { readPromoted, readServer, readStandby, type StandbyFacts } from '../standby/promote-facts.ts';
import { beginPromotion, endPromotion, readPromotion } from '../standby/promote-journal.ts';
import { describeLack, findFork, isAllowed, measureLack, type AllowedLag, type Lack } from '../standby/promote-plan.ts';
import { asRepositoryOwner, type ClusterAccess } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';

import { answerPromotion, describePlan, type Promotion } from './standby-promote-report.ts';
import { pointConfiguration } from './standby-promote-config.ts';
import { addressFor, standbysToTell } from './standby-promote-followers.ts';
import { readPromoteWords, type PromoteWords } from './standby-promote-words.ts';

const archiveTimeoutMs = 30_000;

/** `pgrecall standby promote CLUSTER --directory DIR`: exit 1 where a safety of it is in the way; nothing is changed then. */
export const runStandbyPromote: RunCommand = async (arguments_, context) => {
  const words = readPromoteWords(arguments_, context);
  await using stack = new AsyncDisposableStack();
  const planned = await asRepositoryOwner(context, words.cluster, async (access) => {
    stack.use(await lockPromotion(access, context));
    return plan(access, words, context);
  });
  for (const line of describePlan(planned, words.directory)) context.stderr(line);
  if (words.onlyPlan) {
    answerPromotion(context, { ...planned, directory: words.directory, planned: true });
    return 0;
  }
  const { stop } = decideFence(planned.found.primary, words);
  refuseFork(planned, words);
  refuseHopeless(planned, words, stop !== undefined);
  await confirm(words, context);
  if (stop !== undefined) await stopPrimary(stop, planned, words, context);
  const promotion = await asRepositoryOwner(context, words.cluster, async (access) =>
    promote(access, { planned, words, stopped: stop }, context),
  );
  const configuration = pointConfiguration(promotion.config, {
    directory: words.directory,
    address: promotion.address,
    isNamed: planned.found.ownAddresses.length > 0,
    apply: words.apply,
  });
  answerPromotion(context, { ...planned, ...promotion, configuration, directory: words.directory, planned: false });
  return 0;
};

/** One promotion of a cluster at a time, whichever standby. */
async function lockPromotion({ cluster }: ClusterAccess, { now, randomBytes }: CliContext): Promise<RepositoryLock> {
  return cluster.lock('standby', { purpose: 'standby promote', now, randomBytes });
}

/** What was found; nothing was touched. */
export interface PlannedPromotion {
  readonly facts: StandbyFacts;
  readonly found: FoundServers;
  /** Standbys that are to follow. */
  readonly followers: readonly Answer[];
  readonly lack: Lack;
  readonly fork: ReturnType<typeof findFork>;
  /** By an earlier run, which did not come to its end. */
  readonly isPromoted: boolean;
}

async function plan(access: ClusterAccess, words: PromoteWords, context: CliContext): Promise<PlannedPromotion> {
  const { config, incarnation, store } = access;
  requireThisCluster(words.directory, incarnation.systemIdentifier);
  await using session = await connectTo(words.directory, config.connection, context.env);
  const { inRecovery } = await readServer(session);
  const isPromoted = !inRecovery && readPromotion(config.stateDirectory) === words.directory;
  const facts = isPromoted ? await readPromoted(session) : await readStandby(session);
  const found = await askAll(session, access, { words, facts, isPromoted });
  const followers = await standbysToTell(access, { found, facts }, words, context);
  if (isPromoted) return { facts, found, followers, lack: measureLack(facts, []), fork: undefined, isPromoted };
  const lack = withPrimary(await measureInArchive(store, facts), facts, found);
  const fork = findFork(facts.timeline, await store.readHistories());
  return { facts, found, followers, lack, fork, isPromoted };
}

/** Everything that can tell whether the primary lives. */
async function askAll(
  session: SqlSession,
  { config, incarnation }: ClusterAccess,
  { words, facts, isPromoted }: { words: PromoteWords; facts: StandbyFacts; isPromoted: boolean },
): Promise<FoundServers> {
  const [row] = await session.query<{ conninfo: string | null }>(
    "SELECT setting AS conninfo FROM pg_settings WHERE name = 'primary_conninfo'",
  );
  return findPrimary({
    systemIdentifier: incarnation.systemIdentifier,
    connection: config.connection,
    dataDirectory: config.dataDirectory,
    standby: {
      ...{ directory: words.directory, signature: facts.signature },
      // A promotion that goes on has asked before.
      timeline: isPromoted ? toTimeline(1) : facts.timeline,
      conninfo: row?.conninfo ?? '',
    },
  });
}

/** A primary that answers knows what it has written. */
function withPrimary(lack: Lack, facts: StandbyFacts, { primary }: FoundServers): Lack {
  const at = primary.kind === 'alive' ? primary.positionLsn : undefined;
  if (at === undefined || at <= lack.knownLsn) return lack;
  return { ...lack, knownLsn: at, bytes: Number(at - facts.haveLsn) };
}

/** Throws `standby-node` where no server runs there, `cluster-mismatch`, `data-directory`. */
function requireThisCluster(directory: string, expected: string): void {
  const { control } = readControlFile(directory);
  if (control.systemIdentifier !== expected) {
    throw new PgrecallError(
      'cluster-mismatch',
      `"${directory}" holds another cluster: its system identifier is ${control.systemIdentifier}, the repository’s ${expected}`,
      {
        hint: 'name the data directory of a standby of this cluster',
        details: { found: control.systemIdentifier, expected },
      },
    );
  }
  if (isServerRunning(directory)) return;
  throw new PgrecallError('standby-node', `no server runs on "${directory}"`, {
    hint: 'start the standby, let it replay what there is, and run this again',
    details: { directory },
  });
}

/** To the server that runs on a data directory of this host, as the configured user. */
async function connectTo(directory: string, connection: string, env: NodeJS.ProcessEnv): Promise<SqlSession> {
  return SqlSession.connect(connectionTo(connection, serverOn(directory), env));
}

function refuseFork({ fork, facts }: PlannedPromotion, { force }: PromoteWords): void {
  if (!fork || force) return;
  throw new PgrecallError(
    'standby-node',
    `the archive has timeline ${fork.timeline}, which left timeline ${facts.timeline} at ${formatLsn(fork.switchLsn)}: another server was promoted, and this standby does not follow it`,
    {
      hint: 'is that one the primary now, then let this standby follow it; was that timeline given up (a recovery that was taken back), then say --force',
      details: { timeline: fork.timeline, switchLsn: formatLsn(fork.switchLsn) },
    },
  );
}

function refuseLack(lack: Lack, facts: StandbyFacts, allowed: AllowedLag): void {
  if (isAllowed(lack, allowed)) return;
  throw new PgrecallError('standby-behind', `the standby is behind: ${describeLack(lack, facts)}`, {
    hint:
      facts.restoreCommand === ''
        ? 'it has no restore_command: with one it would fetch what the archive has. To give up what it lacks: --max-lag BYTES or SECONDS'
        : 'what cannot be had any more is given up with --max-lag BYTES or SECONDS; a standby that has more may be there',
    details: { lagBytes: lack.bytes, lagSeconds: lack.seconds, commits: lack.commits },
  });
}

/** What is behind and will never be less so is refused before anything is stopped. */
function refuseHopeless({ lack, facts, found }: PlannedPromotion, { allowed }: PromoteWords, stops: boolean): void {
  if (facts.restoreCommand !== '') return;
  // A primary that is stopped cleanly sends all that it has to who streams from it.
  if (stops ? !facts.streams : found.primary.kind === 'silent') refuseLack(lack, facts, allowed);
}

async function confirm(words: PromoteWords, context: CliContext): Promise<void> {
  if (words.yes || !context.ask) return;
  const answer = await context.ask('promote it? (yes or no)', 'no');
  if (/^y(?:es)?$/i.test(answer)) return;
  throw new PgrecallError('cancelled', 'not promoted; nothing was changed');
}

/** Cleanly: it writes a shutdown checkpoint, and sends all its WAL to the standbys that stream from it. */
async function stopPrimary(
  directory: string,
  { facts }: PlannedPromotion,
  words: PromoteWords,
  context: CliContext,
): Promise<void> {
  const config = await context.cluster(words.cluster);
  const pid = readPostmasterPid(directory)?.pid;
  if (pid === undefined) return;
  const { pgBin, stateDirectory } = config;
  const programs = await findPrograms({
    major: readControlFile(directory).control.postgresMajor,
    env: context.env,
    ...(pgBin === undefined ? {} : { pgBin }),
  });
  const fallbackLog = join(stateDirectory, 'server.log');
  const startedBy = await findHowStarted({ dataDirectory: directory, pid, env: context.env, fallbackLog });
  context.stderr(`stopping the primary on "${directory}" (timeline ${facts.timeline})`);
  await stopAsStarted({
    dataDirectory: directory,
    startedBy,
    programs,
    stopTimeoutMs: words.timeoutMs,
    startTimeoutMs: words.timeoutMs,
  });
}

interface Doing {
  readonly planned: PlannedPromotion;
  readonly words: PromoteWords;
  readonly stopped: string | undefined;
}

async function promote(
  access: ClusterAccess,
  { planned, words, stopped }: Doing,
  context: CliContext,
): Promise<Promotion & Pick<ClusterAccess, 'config'>> {
  const { config, store } = access;
  const { directory } = words;
  const { signal } = context;
  await using session = await connectTo(directory, config.connection, context.env);
  const taken = planned.isPromoted ? undefined : await takeOver(session, access, { planned, words, stopped }, context);
  const { facts, lack, left } = taken ?? { ...planned, left: undefined };
  const timeline = taken?.timeline ?? planned.facts.timeline;
  const archived = await ensureArchived(session, store, {
    directory,
    timeline,
    archives: facts.archives,
    timeoutMs: archiveTimeoutMs,
    signal,
  });
  const here = serverOn(directory);
  const followed: Followed[] = [];
  for (const standby of planned.followers) {
    const address = addressFor(standby, words, planned.found, here);
    followed.push(
      address
        ? await followPrimary(standby, { session, address, switchLsn: archived.switchLsn })
        : { kind: 'cannot', address: standby.address, why: 'where it reaches the new primary is not known: --address' },
    );
  }
  const known = words.address ?? planned.found.ownAddresses[0] ?? here;
  const waitsFor = await missingSynchronous(session);
  if (waitsFor !== undefined) {
    context.stderr(
      `warning: commits wait for synchronous standbys (${waitsFor}), and none of them streams from it yet`,
    );
  }
  forgetStandby(config.stateDirectory, directory);
  endPromotion(config.stateDirectory);
  return { config, facts, lack, timeline, archived, followed, left, address: known };
}

/** Up to where the server takes writes. */
async function takeOver(
  session: SqlSession,
  access: ClusterAccess,
  { planned, words, stopped }: Doing,
  context: CliContext,
): Promise<Pick<Promotion, 'facts' | 'lack' | 'timeline' | 'left'>> {
  const { timeoutMs, directory } = words;
  const { facts, lack, left } = await comeUp(session, access, { planned, words, stopped }, context).catch(
    (error: unknown) => {
      if (stopped !== undefined)
        context.stderr(
          `nothing was promoted, and the primary on "${stopped}" was stopped: start it, or run this again`,
        );
      throw error;
    },
  );
  if (lack.bytes > 0) context.stderr(`given up: ${describeLack(lack, facts)}`);
  beginPromotion(access.config.stateDirectory, directory);
  const { timeline } = await promoteServer(session, timeoutMs);
  context.stderr(`promoted: the server on "${directory}" is on timeline ${timeline}`);
  return { facts, lack, timeline, left };
}

/** The standby has what can be had, and the primary is dead still: it may have come back while this waited. */
async function comeUp(
  session: SqlSession,
  access: ClusterAccess,
  { planned, words, stopped }: Doing,
  context: CliContext,
): Promise<Pick<Promotion, 'facts' | 'lack' | 'left'>> {
  const { primary } = planned.found;
  const atRest = stopped ?? (primary.kind === 'at-rest' ? primary.directory : undefined);
  const left = atRest === undefined ? undefined : await takeLeftWal(access, atRest, planned.facts, context);
  const { facts, lack } = await catchUp(session, access.store, {
    leastLsn: left?.leastLsn,
    timeoutMs: words.timeoutMs,
    signal: context.signal,
    say: context.stderr,
  });
  refuseLack(lack, facts, words.allowed);
  const now = await askAll(session, access, { words, facts, isPromoted: false });
  if (now.primary.kind === 'alive') decideFence(now.primary, { stop: false, isDead: true });
  return { facts, lack, left: left?.wal };
}

/** What the stopped primary has written and the archive lacks goes there; the standby may fetch it. */
async function takeLeftWal(
  { store }: ClusterAccess,
  directory: string,
  facts: StandbyFacts,
  context: CliContext,
): Promise<{ readonly wal: LeftWal; readonly leastLsn: Lsn | undefined }> {
  const { control } = readControlFile(directory);
  const wal = await pushLeftWal(store, join(directory, 'pg_wal'), control.timeline, context.signal);
  if (wal.stored.length > 0) context.stderr(`stored what the old primary had not archived: ${wal.stored.join(', ')}`);
  if (control.timeline !== facts.timeline) return { wal, leastLsn: undefined };
  // One that has got beyond the beginning of the last checkpoint has replayed it.
  const checkpoint = control.state === 'shut down' ? lsn(control.checkpointLsn + 1n) : undefined;
  return { wal, leastLsn: checkpoint !== undefined && checkpoint > wal.endLsn ? checkpoint : wal.endLsn };
}
