import { ReplicationSession } from '../connection/replication-session.ts';
import type { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { timeline, type Timeline } from '../postgres/timeline.ts';
import { identifySystem } from '../protocol/replication-command.ts';
import { decodeSystemIdentity } from '../protocol/replication-result.ts';
import type { UpstreamSettings } from './primary-settings-plan.ts';
import { leastSettings } from './standby-settings-plan.ts';

/** What the server that a standby is to follow says of itself. */
export interface UpstreamFacts {
  readonly major: number;
  readonly inRecovery: boolean;
  readonly timeline: Timeline;
  readonly port: number;
  readonly socketDirectories: readonly string[];
  readonly tablespaces: readonly { readonly oid: number; readonly path: string; readonly name: string }[];
  readonly settings: UpstreamSettings;
  readonly limits: Readonly<Partial<Record<(typeof leastSettings)[number], number>>>;
}

const names = [
  ...leastSettings,
  'wal_level',
  'max_replication_slots',
  'wal_log_hints',
  'data_checksums',
  'max_slot_wal_keep_size',
  'max_wal_size',
  'synchronous_standby_names',
  'port',
  'unix_socket_directories',
];

export async function readUpstream(session: SqlSession, followed: Timeline): Promise<UpstreamFacts> {
  const rows = await session.query<{ name: string; setting: string }>(
    'SELECT name, setting FROM pg_settings WHERE name = ANY ($1)',
    [names],
  );
  const settings = new Map(rows.map(({ name, setting }) => [name, setting]));
  const [row] = await session.query<{ standby: boolean; slots: string; senders: string }>(
    `SELECT pg_is_in_recovery() AS standby,
            (SELECT count(*)::text FROM pg_replication_slots) AS slots,
            (SELECT count(*)::text FROM pg_stat_replication) AS senders`,
  );
  const tablespaces = await session.query<{ oid: string; path: string; name: string }>(
    `SELECT oid::text, pg_tablespace_location(oid) AS path, spcname AS name
       FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')`,
  );
  const number = (name: string): number => Number(settings.get(name) ?? 0);
  return {
    major: session.major,
    inRecovery: row?.standby === true,
    timeline: followed,
    port: number('port'),
    // Which only a superuser, or a member of pg_read_all_settings, sees.
    socketDirectories: (settings.get('unix_socket_directories') ?? '').split(/,\s*/).filter((one) => one !== ''),
    tablespaces: tablespaces.map(({ oid, path, name }) => ({ oid: Number(oid), path, name })),
    settings: {
      walLevel: settings.get('wal_level') ?? '',
      maxWalSenders: number('max_wal_senders'),
      senders: Number(row?.senders ?? 0),
      maxReplicationSlots: number('max_replication_slots'),
      slots: Number(row?.slots ?? 0),
      rewindable: settings.get('wal_log_hints') === 'on' || settings.get('data_checksums') === 'on',
      maxSlotWalKeepMegabytes: number('max_slot_wal_keep_size'),
      maxWalMegabytes: number('max_wal_size'),
      synchronousNames: settings.get('synchronous_standby_names') ?? '',
    },
    limits: Object.fromEntries(leastSettings.map((name) => [name, number(name)])),
  };
}

/**
 * Connects as the standby will, so that pg_hba.conf and rights are known to let it in, and says on which timeline the
 * server is. Throws `connection`, `server-rights`, and `cluster-mismatch` for another cluster.
 */
export async function identifyUpstream(
  connection: string,
  expected: { readonly cluster: string; readonly systemIdentifier: string },
): Promise<Timeline> {
  using session = await ReplicationSession.connect({ connection, applicationName: 'pgrecall standby' });
  const found = decodeSystemIdentity(await session.command(identifySystem));
  if (found.systemIdentifier === expected.systemIdentifier) return timeline(found.timeline);
  throw new PgrecallError(
    'cluster-mismatch',
    `the server to follow has the system identifier ${found.systemIdentifier}, but "${expected.cluster}" in the repository is ${expected.systemIdentifier}`,
    {
      hint: `check the connection; after initdb or pg_upgrade: pgrecall init ${expected.cluster} --new-incarnation, then a backup`,
      details: { found: found.systemIdentifier, expected: expected.systemIdentifier },
    },
  );
}
