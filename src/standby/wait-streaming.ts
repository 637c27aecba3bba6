import { setTimeout as sleep } from 'node:timers/promises';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { WatchedServer } from '../restore/watch-recovery.ts';

/** A standby that takes connections. */
export interface StandbyState {
  readonly streaming: boolean;
  readonly receivedLsn: string | null;
  readonly replayedLsn: string | null;
  readonly timeline: number | null;
}

const pollMs = 100;

/**
 * Waits until a standby can be read and, with `streams`, until it streams. Throws `recovery-failed` with the end of its log
 * where it ended instead, or when the time is over; it goes on by itself then.
 */
export async function waitForStandby(
  server: WatchedServer,
  options: {
    readonly streams: boolean;
    readonly timeoutMs: number | undefined;
    readonly now: () => Date;
    readonly signal: AbortSignal;
    readonly onState: (state: StandbyState | undefined) => void;
  },
): Promise<StandbyState> {
  const deadlineMs = options.timeoutMs === undefined ? Infinity : options.now().getTime() + options.timeoutMs;
  for (;;) {
    options.signal.throwIfAborted();
    const isRunning = server.isRunning();
    const seen = isRunning ? await readState(server.uri) : undefined;
    const state = seen instanceof Error ? undefined : seen;
    if (state && (state.streaming || !options.streams)) return state;
    if (!isRunning) {
      throw new PgrecallError('recovery-failed', `the standby ended:\n${server.logTail()}`.trimEnd(), {
        hint: 'mend what its log names, and start it again',
      });
    }
    options.onState(state);
    if (options.now().getTime() > deadlineMs) throw tooLate(seen, server.logTail());
    await sleep(pollMs, undefined, { signal: options.signal });
  }
}

function tooLate(seen: StandbyState | Error | undefined, log: string): PgrecallError {
  const state = seen instanceof Error ? undefined : seen;
  const where = state
    ? `it can be read, replayed up to ${state.replayedLsn ?? '?'}, and does not stream`
    : `it takes no connections yet${seen instanceof Error ? ` (${seen.message})` : ''}`;
  return new PgrecallError(
    'recovery-failed',
    `the standby does not stream in the time given: ${where}\n${log}`.trimEnd(),
    {
      hint: 'it goes on meanwhile; its log says what it waits for',
      details: { state: state ?? null },
    },
  );
}

/** What is in the way where it takes no connections. */
async function readState(uri: string): Promise<StandbyState | Error | undefined> {
  try {
    await using session = await SqlSession.connect(uri, { applicationName: 'pgrecall', connectTimeoutMs: 5000 });
    const [row] = await session.query<{
      streaming: boolean;
      received: string | null;
      replayed: string | null;
      timeline: number | null;
    }>(
      `SELECT coalesce((SELECT status = 'streaming' FROM pg_stat_wal_receiver), false) AS streaming,
              pg_last_wal_receive_lsn()::text AS received, pg_last_wal_replay_lsn()::text AS replayed,
              greatest((SELECT received_tli FROM pg_stat_wal_receiver),
                       (SELECT timeline_id FROM pg_control_checkpoint())) AS timeline`,
    );
    if (!row) return undefined;
    const { streaming, received, replayed, timeline } = row;
    return { streaming, receivedLsn: received, replayedLsn: replayed, timeline };
  } catch (error) {
    if (error instanceof PgrecallError && hasCode(error, 'connection')) return error;
    throw error;
  }
}
