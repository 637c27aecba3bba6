import { setTimeout as sleep } from 'node:timers/promises';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { ControlFile } from '../postgres/control-file.ts';
import { formatLsn } from '../postgres/lsn.ts';

/** Where a server in or after recovery stands. */
export interface RecoveryState {
  readonly state: 'recovering' | 'paused' | 'promoted' | 'shut down';
  readonly replayedLsn: string | undefined;
  /** When the last transaction that was replayed had committed, as the server prints it. */
  readonly lastTransactionAt: string | undefined;
  readonly timeline: number | undefined;
}

export interface WatchedServer {
  /** How to connect to it. */
  readonly uri: string;
  /** Whether its process is still there. */
  readonly isRunning: () => boolean;
  /** Its pg_control, which tells how it ended; `undefined` where that cannot be read. */
  readonly control: () => ControlFile | undefined;
  /** The last lines of its log, for messages. */
  readonly logTail: () => string;
}

const pollMs = 100;

/** Reads the state once; `undefined` while the server takes no connections yet, or no longer. */
async function readRecoveryState(uri: string): Promise<RecoveryState | undefined> {
  try {
    await using session = await SqlSession.connect(uri, { applicationName: 'pgrecall', connectTimeoutMs: 5000 });
    return await queryRecoveryState(session);
  } catch (error) {
    if (hasCode(error, 'connection')) return undefined;
    throw error;
  }
}

async function queryRecoveryState(session: SqlSession): Promise<RecoveryState | undefined> {
  const [row] = await session.query<{
    in_recovery: boolean;
    pause_state: string | null;
    lsn: string | null;
    at: string | null;
    timeline: number;
  }>(
    // The control file knows of a new timeline only after the next checkpoint, the name of the WAL file at once.
    `SELECT r.in_recovery,
            CASE WHEN r.in_recovery THEN pg_get_wal_replay_pause_state() END AS pause_state,
            pg_last_wal_replay_lsn()::text AS lsn,
            pg_last_xact_replay_timestamp()::text AS at,
            CASE WHEN r.in_recovery THEN (SELECT timeline_id FROM pg_control_checkpoint())
                 ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END AS timeline
       FROM (SELECT pg_is_in_recovery() AS in_recovery) r`,
  );
  if (!row) return undefined;
  return {
    state: !row.in_recovery ? 'promoted' : row.pause_state === 'paused' ? 'paused' : 'recovering',
    replayedLsn: row.lsn ?? undefined,
    lastTransactionAt: row.at ?? undefined,
    timeline: row.timeline,
  };
}

/**
 * Waits until the server has paused, been promoted, or ended by itself as it was told to.
 * Throws `recovery-failed` with the end of the server's log where it died instead.
 */
export async function waitForRecovery(
  server: WatchedServer,
  options: {
    readonly until: 'paused' | 'promoted' | 'shut down';
    readonly timeoutMs: number | undefined;
    readonly now: () => Date;
    readonly signal: AbortSignal;
    readonly onState: (state: RecoveryState) => void;
  },
): Promise<RecoveryState> {
  const deadlineMs = options.timeoutMs === undefined ? Infinity : options.now().getTime() + options.timeoutMs;
  let last: RecoveryState | undefined;
  for (;;) {
    options.signal.throwIfAborted();
    const state = server.isRunning() ? await readUnlessEnding(server.uri) : undefined;
    if (state) options.onState(state);
    last = state ?? last;
    if (state && (state.state === options.until || state.state === 'promoted')) return state;
    if (!server.isRunning()) return ended(server, options.until, last);
    if (options.now().getTime() > deadlineMs) {
      throw new PgrecallError('recovery-failed', 'recovery did not reach its target in the time given', {
        hint: 'the server goes on recovering; pgrecall resume, or a longer --timeout',
        details: { state: last ?? null },
      });
    }
    await sleep(pollMs, undefined, { signal: options.signal });
  }
}

/** A server that shuts down at its target may do so in the middle of a question. */
async function readUnlessEnding(uri: string): Promise<RecoveryState | undefined> {
  try {
    return await readRecoveryState(uri);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const message = error instanceof Error ? error.message : '';
    if (code.startsWith('57P') || /terminated|closed|ECONNRESET|EPIPE/.test(`${message} ${code}`)) return undefined;
    throw error;
  }
}

function ended(server: WatchedServer, until: string, last: RecoveryState | undefined): RecoveryState {
  const control = server.control();
  if (until === 'shut down' && control?.state === 'shut down in recovery') {
    return {
      state: 'shut down',
      replayedLsn: formatLsn(control.minRecoveryLsn),
      lastTransactionAt: last?.lastTransactionAt,
      timeline: control.minRecoveryTimeline,
    };
  }
  throw new PgrecallError('recovery-failed', `the server ended during recovery:\n${server.logTail()}`, {
    hint: 'the directory is as it was restored; mend what the log names and start it again',
  });
}

/** What the server's log says about where recovery stopped, in the server's own words. */
export function stoppedWhere(log: string): string | undefined {
  return log.match(/recovery stopping (?:before|after|at) [^\n]*/g)?.at(-1);
}

/** Leaves the pause and waits for the promotion. */
export async function resumeRecovery(
  server: WatchedServer,
  options: { readonly timeoutMs: number; readonly now: () => Date; readonly signal: AbortSignal },
): Promise<RecoveryState> {
  const state = await readRecoveryState(server.uri);
  if (!state) {
    throw new PgrecallError('connection', 'the server takes no connections', {
      hint: 'start it first (pg_ctl start); resume acts on a server that waits at its recovery target',
    });
  }
  if (state.state === 'promoted') return state;
  if (state.state === 'recovering') {
    throw new PgrecallError('recovery-failed', 'the server is still recovering, not paused at a target', {
      hint: 'wait until the target is reached; to end recovery where it is now, use pg_ctl promote',
      details: { replayedLsn: state.replayedLsn ?? null },
    });
  }
  {
    await using session = await SqlSession.connect(server.uri, { applicationName: 'pgrecall' });
    await session.query('SELECT pg_wal_replay_resume()');
  }
  return waitForRecovery(server, { ...options, until: 'promoted', onState: () => undefined });
}
