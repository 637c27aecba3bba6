import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readIndexes } from '../archive/wal-catalogue.ts';
import type { WalStore } from '../archive/wal-store.ts';
import { connectionTo } from '../connection/connection-uri.ts';
import { ReplicationSession } from '../connection/replication-session.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { decodeControlFile, type ControlFile } from '../postgres/control-file.ts';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import { formatHistoryName, segmentNumber, segmentOf } from '../postgres/segment-name.ts';
import { parseHistory, type TimelineHistory } from '../postgres/timeline-history.ts';
import { timeline as toTimeline, type Timeline } from '../postgres/timeline.ts';
import { timelineHistory } from '../protocol/replication-command.ts';
import { decodeTimelineHistory } from '../protocol/replication-result.ts';
import { controlPath, readUnfinished } from '../restore/unfinished-restore.ts';
import { findConfiguration } from '../server/find-configuration.ts';
import { findPrograms } from '../server/programs.ts';
import { pushLeftWal, type LeftWal, type LeftWalStore } from '../standby/left-wal.ts';
import { readRejoinJournal, type RejoinJournal } from '../standby/rejoin-journal.ts';
import { chooseRoad, findParting, type Parting, type Road } from '../standby/rejoin-plan.ts';
import { limitsIn, raisedLimits, timelineToFollow } from '../standby/standby-settings-plan.ts';
import { identifyUpstream, readUpstream, type UpstreamFacts } from '../standby/upstream-facts.ts';
import type { ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import type { RejoinWords } from './standby-rejoin.ts';

/** What was found of a former primary, and how it comes back. */
export interface PlannedRejoin {
  readonly access: ClusterAccess;
  readonly control: ControlFile;
  /** The server to follow: itself, not a list of hosts. */
  readonly source: string;
  /** As it is configured, for primary_conninfo. */
  readonly connection: string;
  readonly facts: UpstreamFacts;
  readonly left: LeftWal;
  readonly parting: Parting | undefined;
  /** Of what the directory has and the new primary has not. */
  readonly lost: LostWal;
  readonly road: Road;
  readonly rewindProgram: string;
  readonly configFile: string | undefined;
  readonly journal: RejoinJournal | undefined;
  readonly raised: Readonly<Record<string, string>>;
  readonly timeline: Timeline | 'latest';
}

export interface LostWal {
  readonly bytes: number;
  /** At least; see `readIndexes`. */
  readonly commits: number;
  readonly lastCommitTime: bigint | undefined;
}

/** Looks, and puts WAL that is only here into the repository; the directory is not touched. */
export async function planRejoin(
  access: ClusterAccess,
  words: RejoinWords,
  context: CliContext,
): Promise<PlannedRejoin> {
  const { config, incarnation, store } = access;
  const bytes = readControl(words.directory);
  const control = decodeControlFile(bytes);
  requireSame(control, words.directory, incarnation.systemIdentifier);
  const connection = words.upstream ?? config.connection;
  const { source, facts, theirs } = await findUpstream(access, connection, words);
  const journal = readRejoinJournal(config.stateDirectory, words.directory);
  const begun = journal?.step === 'changing' || readUnfinished(words.directory) !== undefined;
  // What is in pg_wal then may be of the source already; it was looked at before.
  const left =
    journal || begun
      ? { stored: [], unreadable: [], endLsn: lsn(0n) }
      : await takeWal(words, store, control.timeline, context.signal);
  const own = await ownHistory(words.directory, store, control.timeline);
  const parting = journal?.step === 'settling' ? undefined : findParting(own, left.endLsn, theirs);
  const lost = parting && !words.onlyPlan ? await measureLost(store, own, parting, left.endLsn) : nothingLost;
  const programs = await findPrograms({
    major: control.postgresMajor,
    env: context.env,
    ...(config.pgBin === undefined ? {} : { pgBin: config.pgBin }),
  });
  const rewindProgram = join(programs.binDirectory, 'pg_rewind');
  const configFile = findConfigFile(words.directory, context.env);
  const road = chooseRoad({
    ...{ parting, begun, unreadable: left.unreadable.length > 0 },
    wanted: words.method,
    rewindable: control.dataChecksums || hasHints(bytes),
    hasProgram: existsSync(rewindProgram),
    hasConfiguration: configFile === 'inside' || (configFile !== undefined && control.postgresMajor >= 15),
  });
  return {
    ...{ access, control, source, connection, facts, left, parting, lost, road, rewindProgram, journal },
    configFile: configFile === 'inside' ? undefined : configFile,
    raised: raisedLimits(limitsIn(bytes), facts.limits),
    timeline: timelineToFollow(facts, (await store.readHistories()).keys()),
  };
}

const nothingLost: LostWal = { bytes: 0, commits: 0, lastCommitTime: undefined };

function readControl(directory: string): Uint8Array {
  const unfinished = readUnfinished(directory);
  if (unfinished) return unfinished;
  try {
    return readFileSync(controlPath(directory));
  } catch (error) {
    throw new PgrecallError('data-directory', `"${directory}" is no data directory of PostgreSQL`, { cause: error });
  }
}

function requireSame(control: ControlFile, directory: string, expected: string): void {
  if (control.systemIdentifier === expected) return;
  throw new PgrecallError(
    'cluster-mismatch',
    `"${directory}" holds another cluster: its system identifier is ${control.systemIdentifier}, the repository’s ${expected}`,
    {
      hint: 'name the data directory of a former primary of this cluster',
      details: { found: control.systemIdentifier, expected },
    },
  );
}

/** wal_log_hints, which stands behind wal_level (catalog/pg_control.h). */
function hasHints(control: Uint8Array): boolean {
  return control[176] === 1;
}

interface Upstream {
  readonly source: string;
  readonly facts: UpstreamFacts;
  readonly theirs: TimelineHistory;
}

async function findUpstream(
  { config, incarnation, store }: ClusterAccess,
  connection: string,
  { upstream, onlyPlan }: RejoinWords,
): Promise<Upstream> {
  try {
    const followed = await identifyUpstream(connection, {
      cluster: config.name,
      systemIdentifier: incarnation.systemIdentifier,
    });
    await using session = await SqlSession.connect(connection, { applicationName: 'pgrecall standby' });
    const facts = await readUpstream(session, followed);
    if (facts.inRecovery && upstream === undefined) {
      throw new PgrecallError('standby-node', `the server at ${session.address} is a standby, not the primary`, {
        hint: 'correct the connection; to follow it all the same, name it with --upstream',
      });
    }
    const at = /^(.*):(\d+)$/.exec(session.address);
    const source = connectionTo(connection, { host: at?.[1] ?? '', port: Number(at?.[2]) });
    return { source, facts, theirs: await historyOf(source, store, followed, onlyPlan) };
  } catch (error) {
    if (!hasCode(error, 'connection')) throw error;
    throw new PgrecallError(error.code, `the server to follow cannot be used: ${error.message}`, {
      hint: 'let the connection of the configuration lead to the new primary, or name it with --upstream',
      details: error.details,
      cause: error,
    });
  }
}

/** From the archive, else from the server, which then goes there. */
async function historyOf(source: string, store: WalStore, of: Timeline, onlyPlan: boolean): Promise<TimelineHistory> {
  if (of === 1) return { timeline: of, parents: [] };
  const name = formatHistoryName(of);
  let bytes = await store.getHistory(name);
  if (!bytes) {
    using session = await ReplicationSession.connect({ connection: source, applicationName: 'pgrecall standby' });
    bytes = decodeTimelineHistory(await session.command(timelineHistory(of))).content;
    if (!onlyPlan) await store.putHistory(name, bytes);
  }
  return parseHistory(Buffer.from(bytes).toString('utf8'), of);
}

async function ownHistory(directory: string, store: WalStore, of: Timeline): Promise<TimelineHistory> {
  if (of === 1) return { timeline: of, parents: [] };
  const name = formatHistoryName(of);
  const path = join(directory, 'pg_wal', name);
  const bytes = existsSync(path) ? readFileSync(path) : await store.getHistory(name);
  if (bytes) return parseHistory(Buffer.from(bytes).toString('utf8'), of);
  throw new PgrecallError(
    'rejoin-failed',
    `${name}, the history of the directory’s timeline, is neither there nor archived`,
    {
      hint: 'make a standby anew: pgrecall standby create',
    },
  );
}

/** With `--plan` nothing is stored. Throws `wal-not-archived` for what cannot be read. */
async function takeWal(
  { directory, onlyPlan, discardWal }: RejoinWords,
  store: WalStore,
  of: Timeline,
  signal: AbortSignal,
): Promise<LeftWal> {
  const into = onlyPlan || discardWal ? lookingOnly(store) : store;
  const left = await pushLeftWal(into, join(directory, 'pg_wal'), of, signal);
  if (discardWal) return { ...left, stored: [] };
  if (left.unreadable.length === 0) return left;
  throw new PgrecallError(
    'wal-not-archived',
    `"${directory}/pg_wal" has WAL that cannot be read, and would be lost: ${left.unreadable.join(', ')}`,
    { hint: 'copy it away, or do without it: --discard-wal', details: { segments: left.unreadable } },
  );
}

function lookingOnly(store: WalStore): LeftWalStore {
  const isThere = async (name: string): Promise<'stored' | 'already-there'> =>
    (await store.get(name)) ? 'already-there' : 'stored';
  return {
    segmentBytes: store.segmentBytes,
    settleSegment: async (name) => store.settleSegment(name),
    putSegment: isThere,
    putPartial: isThere,
    putHistory: isThere,
  };
}

async function measureLost(store: WalStore, own: TimelineHistory, parting: Parting, endLsn: Lsn): Promise<LostWal> {
  const { segmentBytes } = store;
  const timelines = [...own.parents.map(({ timeline }) => timeline), own.timeline].filter(
    (of) => of >= parting.timeline,
  );
  let commits = 0;
  let lastCommitTime: bigint | undefined;
  for (const of of timelines) {
    const first = segmentOf(parting.lsn, segmentBytes);
    const last = segmentNumber(segmentOf(endLsn > parting.lsn ? endLsn : parting.lsn, segmentBytes));
    for await (const index of readIndexes(store, toTimeline(of), first, last)) {
      for (const commit of index.commits) {
        if (commit.lsn < parting.lsn || !commit.kind.startsWith('commit')) continue;
        commits += 1;
        if (lastCommitTime === undefined || commit.time > lastCommitTime) lastCommitTime = commit.time;
      }
    }
  }
  return { bytes: endLsn > parting.lsn ? Number(endLsn - parting.lsn) : 0, commits, lastCommitTime };
}

/** `inside`: postgresql.conf lies in the data directory, where pg_rewind looks. */
function findConfigFile(directory: string, env: NodeJS.ProcessEnv): string | undefined {
  if (existsSync(join(directory, 'postgresql.conf'))) return 'inside';
  return findConfiguration(directory, env)?.files['postgresql.conf'];
}
