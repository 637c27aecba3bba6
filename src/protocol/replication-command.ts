import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import type { Timeline } from '../postgres/timeline.ts';

/*
 * The commands of a replication connection, as text for a simple Query, after
 * https://www.postgresql.org/docs/current/protocol-replication.html
 */

export const identifySystem = 'IDENTIFY_SYSTEM';

/** A setting of the server; replication connections know SHOW since version 10. */
export function show(setting: string): string {
  return `SHOW ${quoteName(setting)}`;
}

export function timelineHistory(of: Timeline): string {
  return `TIMELINE_HISTORY ${of}`;
}

/** Version 15 and later. */
export function readReplicationSlot(slot: string): string {
  return `READ_REPLICATION_SLOT ${quoteName(checkSlotName(slot))}`;
}

/** RESERVE_WAL: the server keeps WAL from the last checkpoint on, not only from the first connection. */
export function createPhysicalSlot(slot: string): string {
  return `CREATE_REPLICATION_SLOT ${quoteName(checkSlotName(slot))} PHYSICAL RESERVE_WAL`;
}

/** One that is gone with the connection. */
export function createTemporarySlot(slot: string): string {
  return `CREATE_REPLICATION_SLOT ${quoteName(checkSlotName(slot))} TEMPORARY PHYSICAL RESERVE_WAL`;
}

export interface StartReplication {
  readonly slot: string | undefined;
  readonly startLsn: Lsn;
  readonly timeline: Timeline;
}

export function startReplication(options: StartReplication): string {
  const slot = options.slot === undefined ? '' : `SLOT ${quoteName(checkSlotName(options.slot))} `;
  return `START_REPLICATION ${slot}PHYSICAL ${formatLsn(options.startLsn)} TIMELINE ${options.timeline}`;
}

const slotPattern = /^[a-z0-9_]{1,63}$/;

/** Throws `usage` for what the server would not take as a slot's name (ReplicationSlotValidateName). */
export function checkSlotName(slot: string): string {
  if (!slotPattern.test(slot)) {
    throw new PgrecallError('usage', `"${slot}" cannot be the name of a replication slot`, {
      hint: 'PostgreSQL takes 1 to 63 lower case letters, digits and underscores',
    });
  }
  return slot;
}

/** The slot of a cluster unless one is named: `pgrecall_<cluster>`, with what slots cannot have replaced by `_`. */
export function slotNameFor(cluster: string): string {
  return `pgrecall_${cluster.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_')}`.slice(0, 63);
}

function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
