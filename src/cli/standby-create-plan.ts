import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { formatHistoryName } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { isEmptyDirectory } from '../restore/delta-target.ts';
import { planTargetIn } from '../restore/plan-target.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import { advisePrimary, type PrimaryAdvice } from '../standby/primary-settings-plan.ts';
import { requireFreeSlot, type SlotState } from '../standby/slot.ts';
import { limitsIn, raisedLimits, timelineToFollow } from '../standby/standby-settings-plan.ts';
import {
  formatSynchronous,
  includesStandby,
  mergeSynchronous,
  parseSynchronousSet,
} from '../standby/synchronous-plan.ts';
import { identifyUpstream, readUpstream, type UpstreamFacts } from '../standby/upstream-facts.ts';
import { findBackup, type ClusterAccess } from './cluster-access.ts';
import { planInPlace, type InPlace } from './restore-in-place.ts';
import type { StandbyWords } from './standby-words.ts';

/** The server to follow, as it was found. */
export interface FoundUpstream {
  readonly connection: string;
  readonly facts: UpstreamFacts;
  readonly slot: SlotState | undefined;
  readonly advice: readonly PrimaryAdvice[];
}

export interface PlannedStandby {
  readonly access: ClusterAccess;
  readonly upstream: FoundUpstream | undefined;
  /** `undefined` where the upstream itself is copied. */
  readonly plan: RestorePlan | undefined;
  /** Where another state of the cluster is in the directory. */
  readonly place: InPlace | undefined;
  readonly raised: Readonly<Record<string, string>>;
  readonly timeline: Timeline | 'latest';
  readonly warnings: readonly string[];
}

/** Asks and looks; touches nothing. */
export async function planStandby(access: ClusterAccess, words: StandbyWords): Promise<PlannedStandby> {
  const upstream = words.logShipping ? undefined : await findUpstream(access, words);
  const timeline = timelineToFollow(upstream?.facts, (await access.store.readHistories()).keys());
  const common = { access, upstream, timeline };
  const warnings = [...warningsFor(words, upstream), ...boundTo(timeline)];
  if (words.fromPrimary) return { ...common, plan: undefined, place: undefined, raised: {}, warnings };
  const plan = await planBackup(access, words, upstream);
  const place =
    words.delta && !isEmptyDirectory(words.directory)
      ? await planInPlace({ ...words, plan, store: access.store, configured: access.config.dataDirectory })
      : undefined;
  const raised = upstream ? raisedLimits(await limitsOf(access, plan), upstream.facts.limits) : {};
  return {
    ...{ ...common, plan, place, raised },
    warnings: [...plan.warnings, ...(place?.warnings ?? []), ...warnings],
  };
}

export function boundTo(timeline: Timeline | 'latest'): readonly string[] {
  if (timeline === 'latest') return [];
  return [
    `the archive has timelines beyond ${timeline}, on which the primary is: the standby is bound to ${timeline}, and follows no other by itself (recovery_target_timeline)`,
  ];
}

async function findUpstream({ config, incarnation }: ClusterAccess, words: StandbyWords): Promise<FoundUpstream> {
  const connection = words.upstream ?? config.connection;
  try {
    const expected = { cluster: config.name, systemIdentifier: incarnation.systemIdentifier };
    const followed = await identifyUpstream(connection, expected);
    await using session = await SqlSession.connect(connection, { applicationName: 'pgrecall standby' });
    const facts = await readUpstream(session, followed);
    if (facts.inRecovery && words.upstream === undefined) {
      throw new PgrecallError('standby-node', `the server at ${session.address} is a standby, not the primary`, {
        hint: 'to follow it all the same, name it with --upstream',
      });
    }
    if (facts.inRecovery && words.synchronous) {
      throw new PgrecallError('usage', '--synchronous is for a standby of the primary; the one to follow is a standby');
    }
    const slot = await requireFreeSlot(session, words.slot);
    const present = parseSynchronousSet(facts.settings.synchronousNames);
    const synchronousNames = words.synchronous && formatSynchronous(mergeSynchronous(present, words.synchronous));
    return { connection, facts, slot, advice: advisePrimary(facts.settings, { makesSlot: !slot, synchronousNames }) };
  } catch (error) {
    if (!(error instanceof PgrecallError) || !hasCode(error, 'connection')) throw error;
    throw new PgrecallError(error.code, `the server to follow cannot be used: ${error.message}`, {
      hint: `${error.hint === undefined ? '' : `${error.hint}; `}without any connection to it: --log-shipping`,
      details: error.details,
      cause: error,
    });
  }
}

async function planBackup(
  access: ClusterAccess,
  words: StandbyWords,
  upstream: FoundUpstream | undefined,
): Promise<RestorePlan> {
  const backups = (await access.cluster.listBackups()).filter(
    (backup) => backup.incarnation === access.incarnation.number,
  );
  if (!backups.some(({ kind }) => kind === 'physical')) {
    throw new PgrecallError('backup-unknown', `"${access.config.name}" has no physical backup to make a standby of`, {
      hint: `take one: pgrecall backup ${access.config.name}; or copy the primary: --from-primary`,
    });
  }
  const named = words.backup === undefined ? undefined : findBackup(backups, words.backup);
  const timeline = await timelineOf(access, upstream?.facts.timeline);
  return planTargetIn(access.store, {
    backups,
    named,
    request: { target: { kind: 'latest' }, inclusive: true, timeline, action: 'pause' },
  });
}

/** That of the server to follow; the newest where the archive does not know it yet, as a moment after a failover. */
async function timelineOf(access: ClusterAccess, followed: Timeline | undefined): Promise<Timeline | 'latest'> {
  if (followed === undefined) return 'latest';
  if (followed === 1) return followed;
  return (await access.store.getHistory(formatHistoryName(followed))) ? followed : 'latest';
}

async function limitsOf({ cluster }: ClusterAccess, plan: RestorePlan): Promise<ReturnType<typeof limitsIn>> {
  await using manifest = await cluster.openManifest(plan.backup.id);
  const control = await manifest.attachment('pg_control');
  return control ? limitsIn(control) : {};
}

function warningsFor({ synchronous, name, slot }: StandbyWords, upstream: FoundUpstream | undefined): string[] {
  const warnings: string[] = [];
  if (synchronous && !includesStandby(synchronous, name)) {
    warnings.push(`the synchronous set does not name this standby, "${name}"`);
  }
  if (upstream?.slot?.walStatus === 'lost') {
    warnings.push(`the slot "${slot}" has lost the WAL that it should have kept; it is made anew`);
  }
  return warnings;
}
