import type { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { invalidLsn, parseLsn, type Lsn } from '../postgres/lsn.ts';
import { timeline, type Timeline } from '../postgres/timeline.ts';
import { parseTimestamp } from '../wal/transaction-time.ts';

/** What a standby says of itself. */
export interface StandbyFacts {
  readonly timeline: Timeline;
  /** Up to where it has WAL: received and on disk, or replayed from the archive. */
  readonly haveLsn: Lsn;
  readonly replayedLsn: Lsn;
  /** When the last transaction that was replayed had committed; microseconds since 2000. */
  readonly lastCommitTime: bigint | undefined;
  readonly replayPaused: boolean;
  readonly restoreCommand: string;
  readonly archives: boolean;
  /** WAL comes from the server that it follows. */
  readonly streams: boolean;
  /** What tells one server from another that has the same data directory's path, or the same port. */
  readonly signature: string;
}

/** Who answers at an address. */
export interface ServerFacts {
  readonly systemIdentifier: string;
  readonly inRecovery: boolean;
  /** See `StandbyFacts`. */
  readonly signature: string;
  /** `undefined` where this role may not see it. */
  readonly dataDirectory: string | undefined;
}

export async function readServer(session: SqlSession): Promise<ServerFacts> {
  const [row] = await session.query<{ id: string; standby: boolean; signature: string; directory: string | null }>(
    `SELECT system_identifier::text AS id, pg_is_in_recovery() AS standby,
            pg_postmaster_start_time()::text || ' ' || current_setting('port') AS signature,
            (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS directory
       FROM pg_control_system()`,
  );
  return {
    systemIdentifier: row?.id ?? '',
    inRecovery: row?.standby === true,
    signature: row?.signature ?? '',
    dataDirectory: row?.directory ?? undefined,
  };
}

/** Throws `standby-node` for a server that is no standby. */
export async function readStandby(session: SqlSession): Promise<StandbyFacts> {
  const { inRecovery, signature } = await readServer(session);
  if (!inRecovery) {
    throw new PgrecallError('standby-node', `the server at ${session.address} is not in recovery: it is a primary`, {
      hint: 'name the data directory of the standby that is to be promoted',
    });
  }
  const [row] = await session.query<{
    received: string | null;
    replayed: string | null;
    at: string | null;
    timeline: number;
    paused: string;
    restore: string | null;
    archive: string;
    streams: boolean;
  }>(
    // After a switch of timelines pg_control learns of it at the next restart point only.
    `SELECT pg_last_wal_receive_lsn()::text AS received, pg_last_wal_replay_lsn()::text AS replayed,
            pg_last_xact_replay_timestamp()::text AS at,
            greatest((SELECT timeline_id FROM pg_control_checkpoint()),
                     (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
                     (SELECT received_tli FROM pg_stat_wal_receiver)) AS timeline,
            pg_get_wal_replay_pause_state() AS paused,
            (SELECT setting FROM pg_settings WHERE name = 'restore_command') AS restore,
            current_setting('archive_mode') AS archive,
            EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') AS streams`,
  );
  const [received, replayed] = [row?.received, row?.replayed].map((text) => (text ? parseLsn(text) : invalidLsn));
  return {
    timeline: timeline(row?.timeline ?? 1),
    haveLsn: (received ?? invalidLsn) > (replayed ?? invalidLsn) ? (received ?? invalidLsn) : (replayed ?? invalidLsn),
    replayedLsn: replayed ?? invalidLsn,
    lastCommitTime: row?.at ? parseTimestamp(row.at) : undefined,
    replayPaused: row?.paused !== 'not paused',
    restoreCommand: row?.restore ?? '',
    archives: row?.archive !== 'off',
    streams: row?.streams === true,
    signature,
  };
}

/** Of a server that was promoted, and takes writes by now. */
export async function readPromoted(session: SqlSession): Promise<StandbyFacts> {
  const { signature } = await readServer(session);
  const [row] = await session.query<{ at: string; timeline: number; archive: string }>(
    `SELECT pg_current_wal_lsn()::text AS at, current_setting('archive_mode') AS archive,
            ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline`,
  );
  const position = row ? parseLsn(row.at) : invalidLsn;
  return {
    timeline: timeline(row?.timeline ?? 1),
    haveLsn: position,
    replayedLsn: position,
    lastCommitTime: undefined,
    replayPaused: false,
    restoreCommand: '',
    archives: row?.archive !== 'off',
    streams: false,
    signature,
  };
}
