import { connectionTo } from '../connection/connection-uri.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { readPostmasterPid } from '../server/postmaster-pid.ts';

/** What only a standby itself knows. */
export interface AskedStandby {
  /** Queries that replay had to cancel. */
  readonly conflicts: number;
  /** Since the last commit that was replayed. */
  readonly sinceLastCommitSeconds: number | null;
  readonly delaySeconds: number;
  readonly replayedBytes: number | undefined;
  /** Whether it streams, from whomever. */
  readonly streaming: boolean;
  /** primary_slot_name; empty for none. */
  readonly slot: string;
}

interface AskedRow {
  readonly conflicts: string;
  readonly seconds: string | null;
  readonly delay: string;
  readonly replayed: string | null;
  readonly streaming: boolean;
  readonly slot: string;
  readonly standby: boolean;
}

const connectTimeoutMs = 2000;

/** Asks the standby on a data directory of this host; what is in the way where it cannot be asked. */
export async function askStandby(directory: string, connection: string): Promise<AskedStandby | Error> {
  const found = readPostmasterPid(directory);
  if (!found) return new Error(`no server runs on "${directory}"`);
  const host = found.socketDirectory ?? found.listenAddress ?? 'localhost';
  return askAt(connectionTo(connection, { host, port: found.port }));
}

/** The same of one at an address of the network. */
export async function askAt(connection: string): Promise<AskedStandby | Error> {
  try {
    await using session = await SqlSession.connect(connection, {
      applicationName: 'pgrecall status',
      connectTimeoutMs,
    });
    const [row] = await session.query<AskedRow>(
      `SELECT (SELECT coalesce(sum(conflicts), 0)::text FROM pg_stat_database) AS conflicts,
              extract(epoch FROM now() - pg_last_xact_replay_timestamp())::text AS seconds,
              (SELECT setting FROM pg_settings WHERE name = 'recovery_min_apply_delay') AS delay,
              (pg_last_wal_replay_lsn() - '0/0')::text AS replayed,
              coalesce((SELECT status = 'streaming' FROM pg_stat_wal_receiver), false) AS streaming,
              (SELECT setting FROM pg_settings WHERE name = 'primary_slot_name') AS slot,
              pg_is_in_recovery() AS standby`,
    );
    if (row?.standby !== true) return new Error('what answers there is no standby');
    return {
      conflicts: Number(row.conflicts),
      sinceLastCommitSeconds: row.seconds === null ? null : Number(row.seconds),
      delaySeconds: Number(row.delay) / 1000,
      replayedBytes: row.replayed === null ? undefined : Number(row.replayed),
      streaming: row.streaming,
      slot: row.slot,
    };
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
