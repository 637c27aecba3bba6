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

/** Reads the state once; what is in the way where the server takes no connections yet, or no longer. */
async function readRecoveryState(uri: string): Promise<RecoveryState | Error> {
  try {
    await using session = await SqlSession.connect(uri, { applicationName: 'pgrecall', connectTimeoutMs: 5000 });
    return await queryRecoveryState(session);
  } catch (error) {
    if (error instanceof Error && (hasCode(error, 'connection') || isEnding(error))) return error;
    throw error;
  }
}

/** A server that shuts down at its target may do so in the middle of a question. */
function isEnding(error: Error): boolean {
  const code = 'code' in error ? String(error.code) : '';
  return code.startsWith('57P') || /terminated|closed|ECONNRESET|EPIPE/.test(`${error.message} ${code}`);
}

async function queryRecoveryState(session: SqlSession): Promise<RecoveryState> {
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
  if (!row) throw new PgrecallError('bug', 'a query of one row gave none');
  return {
    state: !row.in_recovery ? 'promoted' : row.pause_state === 'paused' ? 'paused' : 'recovering',
    replayedLsn: row.lsn ?? undefined,
    lastTransactionAt: row.at ?? undefined,
    timeline: row.timeline,
  };
}

export interface WaitOptions {
  readonly timeoutMs: number | undefined;
  readonly now: () => Date;
  readonly signal: AbortSignal;
  /** Told at every look; of `undefined` while the server takes no connections. */
  readonly onState: (state: RecoveryState | undefined) => void;
}

/**
 * Waits until the server has paused, been promoted, or ended by itself as it was told to.
 * Throws `recovery-failed` with where it stands when the time is over, and with the end of its log where it ended
 * otherwise.
 */
export async function waitForRecovery(
  server: WatchedServer,
  options: WaitOptions & { readonly until: 'paused' | 'promoted' | 'shut down' },
): Promise<RecoveryState> {
  const deadlineMs = options.timeoutMs === undefined ? Infinity : options.now().getTime() + options.timeoutMs;
  let last: RecoveryState | undefined;
  for (;;) {
    options.signal.throwIfAborted();
    const isRunning = server.isRunning();
    const seen = isRunning ? await readRecoveryState(server.uri) : undefined;
    const state = seen instanceof Error ? undefined : seen;
    if (isRunning) options.onState(state);
    last = state ?? last;
    if (state && (state.state === options.until || state.state === 'promoted')) return state;
    if (!server.isRunning()) return ended(server, options.until, last);
    if (options.now().getTime() > deadlineMs) {
      throw new PgrecallError(
        'recovery-failed',
        `the server is not ${options.until} in the time given: ${describeRecovery(last)}`,
        {
          hint: 'it goes on meanwhile: pgrecall resume waits for it, too, with a longer --timeout',
          details: { state: last ?? null },
          ...(seen instanceof Error ? { cause: seen } : {}),
        },
      );
    }
    await sleep(pollMs, undefined, { signal: options.signal });
  }
}

/** Where a server stands, in words; `undefined` is one that takes no connections. */
export function describeRecovery(state: RecoveryState | undefined): string {
  if (!state) return 'it takes no connections yet';
  const at = state.replayedLsn ?? '?';
  if (state.state === 'recovering') {
    return `recovering, replayed to ${at}, ${state.lastTransactionAt ?? 'no transaction yet'}`;
  }
  return `${state.state} at ${at}`;
}

function ended(server: WatchedServer, until: string, last: RecoveryState | undefined): RecoveryState {
  const control = server.control();
  const shutDown = control?.state === 'shut down in recovery';
  if (shutDown && until === 'shut down') {
    return {
      state: 'shut down',
      replayedLsn: formatLsn(control.minRecoveryLsn),
      lastTransactionAt: last?.lastTransactionAt,
      timeline: control.minRecoveryTimeline,
    };
  }
  const details = { state: last ?? null, clusterState: control?.state ?? null };
  if (shutDown) {
    throw new PgrecallError(
      'recovery-failed',
      `the server was shut down in recovery, at ${formatLsn(control.minRecoveryLsn)}; it was not ${until}`,
      { hint: 'by its target (recovery_target_action), or by someone; started again, it goes on', details },
    );
  }
  const how = control === undefined ? '' : `, ${control.state} as its pg_control says`;
  throw new PgrecallError('recovery-failed', `the server ended during recovery${how}:\n${server.logTail()}`.trimEnd(), {
    hint: 'the directory is as it was restored; mend what the log names and start it again',
    details,
  });
}

/** What the server's log says about where recovery stopped, in the server's own words. */
export function stoppedWhere(log: string): string | undefined {
  return log.match(/recovery stopping (?:before|after|at) [^\n]*/g)?.at(-1);
}

/**
 * Waits for the pause at the target, leaves it, and waits for the promotion; for both within the time given. Throws what
 * `waitForRecovery` throws.
 */
export async function resumeRecovery(server: WatchedServer, options: WaitOptions): Promise<RecoveryState> {
  const { timeoutMs, now } = options;
  const startedMs = now().getTime();
  const state = await waitForRecovery(server, { ...options, until: 'paused' });
  if (state.state === 'promoted') return state;
  {
    await using session = await SqlSession.connect(server.uri, { applicationName: 'pgrecall' });
    await session.query('SELECT pg_wal_replay_resume()');
  }
  const leftMs = timeoutMs === undefined ? undefined : Math.max(startedMs + timeoutMs - now().getTime(), 0);
  return waitForRecovery(server, { ...options, timeoutMs: leftMs, until: 'promoted' });
}
