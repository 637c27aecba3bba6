import { sqlStateOf } from '../connection/server-refusal.ts';
import type { ReplicationSession } from '../connection/replication-session.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { hasCode, PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, parseLsn, type Lsn } from '../postgres/lsn.ts';
import { parseHistory } from '../postgres/timeline-history.ts';
import { timeline as timelineNumber, type Timeline } from '../postgres/timeline.ts';
import {
  createPhysicalSlot,
  identifySystem,
  readReplicationSlot,
  show,
  timelineHistory,
} from '../protocol/replication-command.ts';
import {
  decodeSetting,
  decodeSlotState,
  decodeSystemIdentity,
  decodeTimelineHistory,
  parseSegmentSize,
  type SystemIdentity,
} from '../protocol/replication-result.ts';
import type { ChainLink } from './receive-plan.ts';
import type { WalSink } from './receive-sink.ts';

/*
 * What the receiver asks the server before it streams.
 */

/** SQLSTATEs that say something particular to us. */
const sqlState = {
  duplicateObject: '42710',
  objectInUse: '55006',
  notInPrerequisiteState: '55000',
  undefinedFile: '58P01',
};

/** Whose WAL the repository keeps. */
export interface ExpectedCluster {
  readonly name: string;
  readonly systemIdentifier: string;
  readonly segmentBytes: number;
}

/** Asks who the server is. Throws `wal-other-cluster` unless its WAL is what the repository expects. */
export async function identify(session: ReplicationSession, expected: ExpectedCluster): Promise<SystemIdentity> {
  const identity = decodeSystemIdentity(await session.command(identifySystem));
  if (identity.systemIdentifier !== expected.systemIdentifier) {
    throw new PgrecallError(
      'wal-other-cluster',
      `the server's system identifier is ${identity.systemIdentifier}, but "${expected.name}" is ${expected.systemIdentifier}`,
      {
        hint: 'check the connection; after initdb or pg_upgrade the cluster needs a new incarnation: pgrecall init',
        details: { found: identity.systemIdentifier, expected: expected.systemIdentifier },
      },
    );
  }
  const segmentBytes = parseSegmentSize(decodeSetting(await session.command(show('wal_segment_size'))));
  if (segmentBytes !== expected.segmentBytes) {
    throw new PgrecallError(
      'wal-other-cluster',
      `the server's WAL segments have ${segmentBytes} bytes, those of "${expected.name}" have ${expected.segmentBytes}`,
      { details: { found: segmentBytes, expected: expected.segmentBytes } },
    );
  }
  return identity;
}

/** Makes the slot where it is missing, and says from where on it keeps WAL. Throws `slot` where it is of another kind. */
export async function prepareSlot(
  session: ReplicationSession,
  slot: string,
  connection: string,
): Promise<{ readonly made: boolean; readonly restartLsn: Lsn | undefined }> {
  const version = Number(decodeSetting(await session.command(show('server_version_num'))));
  if (version < 150_000) {
    const made = await makeSlot(session, slot);
    return { made, restartLsn: await restartThroughSql(connection, slot) };
  }
  let state = decodeSlotState(await session.command(readReplicationSlot(slot)));
  const made = state.kind === 'absent' && (await makeSlot(session, slot));
  if (made) state = decodeSlotState(await session.command(readReplicationSlot(slot)));
  if (state.kind === 'logical') {
    throw new PgrecallError('slot', `the replication slot "${slot}" is a logical one; WAL needs a physical one`, {
      hint: 'name another with --slot',
      details: { slot },
    });
  }
  return { made, restartLsn: state.kind === 'physical' ? state.restartLsn : undefined };
}

/** Version 14 has no READ_REPLICATION_SLOT; where its databases cannot be entered, the slot's position stays unknown. */
async function restartThroughSql(connection: string, slot: string): Promise<Lsn | undefined> {
  try {
    await using session = await SqlSession.connect(connection);
    const rows = await session.query<{ restart: string | null }>(
      'SELECT restart_lsn::text AS restart FROM pg_catalog.pg_replication_slots WHERE slot_name = $1',
      [slot],
    );
    const restart = rows[0]?.restart;
    return typeof restart === 'string' ? parseLsn(restart) : undefined;
  } catch {
    return undefined;
  }
}

async function makeSlot(session: ReplicationSession, slot: string): Promise<boolean> {
  try {
    await session.command(createPhysicalSlot(slot));
    return true;
  } catch (error) {
    if (sqlStateOf(error) === sqlState.duplicateObject) return false;
    throw error;
  }
}

/**
 * The server's past, from its history file, which is put into the repository together with those of the
 * timelines before it.
 */
export async function readChain(session: ReplicationSession, present: Timeline, sink: WalSink): Promise<ChainLink[]> {
  if (present === 1) return [{ timeline: present, endLsn: undefined }];
  const content = await storeHistory(session, present, sink);
  const history = parseHistory(Buffer.from(content).toString('utf8'), present);
  for (const parent of history.parents) {
    if (parent.timeline === 1) continue;
    try {
      await storeHistory(session, parent.timeline, sink);
    } catch (error) {
      // A server that was restored or cloned need not have them; the present one's names every switch.
      if (sqlStateOf(error) !== sqlState.undefinedFile) throw error;
    }
  }
  return [
    ...history.parents.map(({ timeline, switchLsn }) => ({ timeline: timelineNumber(timeline), endLsn: switchLsn })),
    { timeline: present, endLsn: undefined },
  ];
}

/** Fetches one history file and stores it as the server has it. */
export async function storeHistory(session: ReplicationSession, of: Timeline, sink: WalSink): Promise<Uint8Array> {
  const { name, content } = decodeTimelineHistory(await session.command(timelineHistory(of)));
  await sink.history(name, content);
  return content;
}

/** What a refusal to stream means, and what can be done about it. */
export function explainRefusal(error: unknown, slot: string, startLsn: Lsn): unknown {
  const state = sqlStateOf(error);
  if (state === sqlState.undefinedFile) {
    return new PgrecallError(
      'wal-gap',
      `the server no longer has the WAL from ${formatLsn(startLsn)} on, where the archive ends`,
      {
        hint: 'take a new backup; --accept-gap receives from what the server still has, and what lies between is lost',
        details: { fromLsn: formatLsn(startLsn) },
        cause: error,
      },
    );
  }
  if (state === sqlState.objectInUse) {
    return new PgrecallError('slot', `the replication slot "${slot}" is in use`, {
      hint: 'another receiver streams through it, or the server has not noticed yet that one has gone',
      details: { slot, inUse: true },
      cause: error,
    });
  }
  if (state === sqlState.notInPrerequisiteState) {
    return new PgrecallError('slot', `the replication slot "${slot}" cannot be used`, {
      hint: `where the server dropped WAL that the slot should have kept (max_slot_wal_keep_size): drop it with SELECT pg_drop_replication_slot('${slot}'), and take a new backup`,
      details: { slot },
      cause: error,
    });
  }
  return error;
}

/** Whether it may work when tried again: the server restarts, the network is cut, a disk is full. */
export function isPassing(error: unknown): boolean {
  if (hasCode(error, 'connection', 'storage', 'disk-full', 'io')) return true;
  if (hasCode(error, 'slot')) return error.details['inUse'] === true;
  // A standby that has not received as much as we have yet.
  if (hasCode(error, 'server-refused')) return /is ahead of/.test(error.message);
  return error instanceof Error && 'syscall' in error;
}
