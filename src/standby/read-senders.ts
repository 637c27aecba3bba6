import { statfsSync } from 'node:fs';
import type { SqlSession } from '../connection/sql-session.ts';
import type { PrimaryView, SeenSender, SeenSlot } from './status-plan.ts';

/*
 * What a primary knows of those that take its WAL: pg_stat_replication and pg_replication_slots. Columns that newer versions
 * have are read through to_jsonb.
 */

/** A role that is no member of pg_monitor sees names and no positions. */
export async function readPrimaryView(session: SqlSession): Promise<PrimaryView> {
  const [row] = await session.query<{
    lsn: string;
    standby: boolean;
    names: string;
    limit: string;
    directory: string | null;
    local: boolean;
  }>(
    `SELECT (${present} - '0/0')::text AS lsn, pg_is_in_recovery() AS standby,
            current_setting('synchronous_standby_names') AS names,
            (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS limit,
            (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS directory,
            coalesce(inet_server_addr() = inet_client_addr(), true) AS local`,
  );
  const senders = await session.query<SenderRow>(
    `SELECT r.pid, r.application_name AS name, host(r.client_addr) AS address, r.state, r.sync_state,
            (r.sent_lsn - '0/0')::text AS sent, (r.write_lsn - '0/0')::text AS write,
            (r.flush_lsn - '0/0')::text AS flush, (r.replay_lsn - '0/0')::text AS replay,
            extract(epoch FROM r.replay_lag)::text AS seconds
       FROM pg_stat_replication r ORDER BY r.application_name, r.pid`,
  );
  const slots = await session.query<SlotRow>(
    `SELECT slot_name AS name, slot_type AS type, temporary, active_pid AS pid, wal_status AS status,
            (restart_lsn - '0/0')::text AS restart, safe_wal_size::text AS safe,
            to_jsonb(s) ->> 'inactive_since' AS since
       FROM pg_replication_slots s ORDER BY slot_name`,
  );
  const limit = Number(row?.limit ?? -1);
  return {
    positionBytes: Number(row?.lsn ?? 0),
    inRecovery: row?.standby === true,
    synchronousNames: row?.names ?? '',
    slotLimitBytes: limit < 0 ? undefined : limit * 1_048_576,
    freeBytes: row?.local === true && row.directory !== null ? freeIn(`${row.directory}/pg_wal`) : undefined,
    senders: senders.map(toSender),
    slots: slots.map(toSlot),
  };
}

/** Of a standby, which others may follow: up to where it has WAL. */
const present =
  "CASE WHEN pg_is_in_recovery() THEN coalesce(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0') ELSE pg_current_wal_flush_lsn() END";

interface SenderRow {
  readonly pid: number;
  readonly name: string;
  readonly address: string | null;
  readonly state: string | null;
  readonly sync_state: string | null;
  readonly sent: string | null;
  readonly write: string | null;
  readonly flush: string | null;
  readonly replay: string | null;
  readonly seconds: string | null;
}

interface SlotRow {
  readonly name: string;
  readonly type: string;
  readonly temporary: boolean;
  readonly pid: number | null;
  readonly status: string | null;
  readonly restart: string | null;
  readonly safe: string | null;
  readonly since: string | null;
}

function toSender(row: SenderRow): SeenSender {
  return {
    pid: row.pid,
    name: row.name,
    address: row.address ?? undefined,
    state: row.state ?? 'unknown',
    syncState: row.sync_state ?? 'unknown',
    sentBytes: numberOf(row.sent),
    writtenBytes: numberOf(row.write),
    flushedBytes: numberOf(row.flush),
    replayedBytes: numberOf(row.replay),
    replaySeconds: numberOf(row.seconds),
  };
}

function toSlot(row: SlotRow): SeenSlot {
  return {
    name: row.name,
    physical: row.type === 'physical',
    temporary: row.temporary,
    pid: row.pid ?? undefined,
    walStatus: row.status ?? undefined,
    restartBytes: numberOf(row.restart),
    safeBytes: numberOf(row.safe),
    inactiveSince: row.since ?? undefined,
  };
}

function numberOf(text: string | null): number | undefined {
  return text === null ? undefined : Number(text);
}

/** Where the primary is on this host and its directory may be passed through. */
function freeIn(path: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
