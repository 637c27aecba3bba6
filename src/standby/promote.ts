import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FilePusher } from '../archive/push-file.ts';
import { readIndexes } from '../archive/wal-catalogue.ts';
import type { WalStore } from '../archive/wal-store.ts';
import type { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { formatHistoryName, segmentNumber, segmentOf } from '../postgres/segment-name.ts';
import { parseHistory } from '../postgres/timeline-history.ts';
import { timeline as toTimeline, type Timeline } from '../postgres/timeline.ts';
import type { SegmentIndex } from '../wal/segment-index.ts';
import { readStandby, type StandbyFacts } from './promote-facts.ts';
import { measureLack, type Lack } from './promote-plan.ts';

/*
 * The promotion itself, after the primary was fenced: what the archive has is replayed first, then pg_promote, then the new timeline's
 * history and its first segment are seen in the repository.
 */

const pollMs = 200;

/** What of the WAL that the archive has of its timeline the standby lacks. */
export async function measureInArchive(store: WalStore, facts: StandbyFacts): Promise<Lack> {
  const { segmentBytes } = store;
  const first = segmentOf(facts.haveLsn, segmentBytes);
  const last = segmentNumber(first + maxSegmentsBehind);
  const indexes: SegmentIndex[] = [];
  for await (const index of readIndexes(store, facts.timeline, first, last)) indexes.push(index);
  return measureLack(facts, indexes);
}

/** A standby that is further behind is told so, without counting to the end. */
const maxSegmentsBehind = 65_536n;

/**
 * Waits until the standby has what the archive has, as long as it fetches; the state that it has got to. `leastLsn`: what
 * is known to have been written besides, as the end of the old primary's shutdown checkpoint.
 */
export async function catchUp(
  session: SqlSession,
  store: WalStore,
  options: {
    readonly leastLsn: Lsn | undefined;
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
    readonly say: (text: string) => void;
  },
): Promise<{ readonly facts: StandbyFacts; readonly lack: Lack }> {
  const deadline = performance.now() + options.timeoutMs;
  let said = false;
  for (;;) {
    const facts = await readStandby(session);
    const lack = await measureInArchive(store, facts);
    const least = options.leastLsn;
    const all = least !== undefined && least > lack.knownLsn ? { ...lack, knownLsn: least } : lack;
    const bytes = Number(all.knownLsn - facts.haveLsn);
    if (bytes <= 0 && facts.replayedLsn >= facts.haveLsn) return { facts, lack: { ...all, bytes: 0 } };
    // What it has it replays in the promotion.
    if (performance.now() > deadline || facts.replayPaused)
      return { facts, lack: { ...all, bytes: Math.max(bytes, 0) } };
    if (!said) options.say(`waiting for the standby to replay up to ${formatLsn(all.knownLsn)}`);
    said = true;
    await sleep(pollMs, undefined, { signal: options.signal });
  }
}

/** Promotes, and waits until the server takes writes. Throws `promotion-failed`. */
export async function promoteServer(session: SqlSession, timeoutMs: number): Promise<{ readonly timeline: Timeline }> {
  const seconds = Math.max(1, Math.ceil(timeoutMs / 1000));
  let promoted: boolean | undefined;
  try {
    const rows = await session.query<{ ok: boolean }>('SELECT pg_promote(true, $1) AS ok', [seconds]);
    promoted = rows[0]?.ok;
  } catch (error) {
    if (!(error instanceof Error) || error instanceof PgrecallError) throw error;
    throw new PgrecallError('promotion-failed', `the server refuses to be promoted: ${error.message}`, {
      hint: 'pg_promote needs a superuser, or GRANT EXECUTE ON FUNCTION pg_promote TO that role',
      cause: error,
    });
  }
  if (promoted !== true) {
    throw new PgrecallError(
      'promotion-failed',
      `the server was told to promote and is in recovery ${seconds} s later`,
      {
        hint: 'it may still end its recovery: its log says what it waits for; run this again, or wait longer with --timeout',
      },
    );
  }
  const [row] = await session.query<{ timeline: number }>(
    "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline",
  );
  return { timeline: toTimeline(row?.timeline ?? 1) };
}

export interface ArchivedTimeline {
  readonly switchLsn: Lsn;
  /** The first segment that the server has archived by itself; `undefined` where it did not within the time. */
  readonly firstSegment: string | undefined;
  /** Why it did not, where it says. */
  readonly problem: string | undefined;
}

/**
 * Sees to it that the history of the new timeline is in the repository, whoever puts it there, and whether the server
 * archives its segments. Throws what `WalStore.put` throws: another server may have taken the same timeline.
 */
export async function ensureArchived(
  session: SqlSession,
  store: WalStore,
  options: {
    readonly directory: string;
    readonly timeline: Timeline;
    readonly archives: boolean;
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
  },
): Promise<ArchivedTimeline> {
  const { directory, timeline } = options;
  const name = formatHistoryName(timeline);
  await new FilePusher(store).push(name, join(directory, 'pg_wal', name));
  const bytes = await store.getHistory(name);
  const history = parseHistory(Buffer.from(bytes ?? []).toString('utf8'), timeline);
  const switchLsn = history.parents.at(-1)?.switchLsn;
  if (switchLsn === undefined) throw new PgrecallError('bug', `${name} names no parent`);
  if (!options.archives) return { switchLsn, firstSegment: undefined, problem: 'archive_mode is off' };
  const segment = await switchSegment(session);
  if (segment === undefined)
    return { switchLsn, firstSegment: undefined, problem: 'this role may not switch segments' };
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    if (await isStored(store, segment)) return { switchLsn, firstSegment: segment, problem: undefined };
    if (performance.now() > deadline) break;
    await sleep(pollMs, undefined, { signal: options.signal });
  }
  const ready = existsSync(join(directory, 'pg_wal', 'archive_status', `${segment}.ready`));
  const [row] = await session.query<{ failed: string | null }>(
    "SELECT last_failed_wal AS failed FROM pg_stat_archiver WHERE last_failed_time > coalesce(last_archived_time, last_failed_time - interval '1 s')",
  );
  const why = row?.failed
    ? `its archive_command fails for ${row.failed}`
    : ready
      ? `${segment} waits`
      : `${segment} is gone`;
  return { switchLsn, firstSegment: undefined, problem: why };
}

async function isStored(store: WalStore, segment: string): Promise<boolean> {
  try {
    return await store.settleSegment(segment);
  } catch (error) {
    if (hasCode(error, 'wal-other-content')) return false;
    throw error;
  }
}

/** Ends the present segment, after something was written into it; its name, `undefined` where this role may not. */
async function switchSegment(session: SqlSession): Promise<string | undefined> {
  try {
    // A checkpoint also makes the new timeline known to pg_control, which pg_rewind asks.
    await session.query('CHECKPOINT');
    const [row] = await session.query<{ name: string }>('SELECT pg_walfile_name(pg_switch_wal()) AS name');
    return row?.name;
  } catch (error) {
    if (error instanceof PgrecallError) throw error;
    return undefined;
  }
}

/** `synchronous_standby_names`, which a standby has of its primary, where nobody of them is there. */
export async function missingSynchronous(session: SqlSession): Promise<string | undefined> {
  const [row] = await session.query<{ names: string; there: boolean }>(
    `SELECT current_setting('synchronous_standby_names') AS names,
            EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) AS there`,
  );
  return row && row.names !== '' && !row.there ? row.names : undefined;
}
