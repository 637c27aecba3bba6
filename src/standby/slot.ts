import type { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { checkSlotName } from '../protocol/replication-command.ts';

const configurationLimitExceeded = '53400';

export interface SlotState {
  readonly active: boolean;
  /** `lost`: the server has removed WAL that it should have kept. */
  readonly walStatus: string | undefined;
}

/** `undefined` where there is none. Throws `slot` for a logical one. */
async function readSlot(session: SqlSession, slot: string): Promise<SlotState | undefined> {
  const [row] = await session.query<{ type: string; active: boolean; status: string | null }>(
    'SELECT slot_type AS type, active, wal_status AS status FROM pg_replication_slots WHERE slot_name = $1',
    [checkSlotName(slot)],
  );
  if (!row) return undefined;
  if (row.type !== 'physical') {
    throw new PgrecallError('slot', `the replication slot "${slot}" is a logical one; a standby needs a physical one`, {
      hint: 'name another with --slot',
      details: { slot },
    });
  }
  return { active: row.active, walStatus: row.status ?? undefined };
}

/** Whether a new standby may use it. Throws `slot` where another one streams through it. */
export async function requireFreeSlot(session: SqlSession, slot: string): Promise<SlotState | undefined> {
  const found = await readSlot(session, slot);
  if (found?.active !== true) return found;
  throw new PgrecallError('slot', `the replication slot "${slot}" is in use: another standby streams through it`, {
    hint: 'name another with --slot; pgrecall standby status shows whose it is',
    details: { slot, inUse: true },
  });
}

/**
 * Makes the slot, which keeps WAL from now on; one that has lost its WAL is made anew. Says whether one was made. Throws
 * `slot` where the server has no room for another.
 */
export async function makeStandbySlot(session: SqlSession, slot: string): Promise<boolean> {
  const found = await requireFreeSlot(session, slot);
  if (found && found.walStatus !== 'lost') return false;
  if (found) await dropSlot(session, slot);
  try {
    await session.query('SELECT pg_create_physical_replication_slot($1, true)', [slot]);
    return true;
  } catch (error) {
    if (codeOf(error) !== configurationLimitExceeded) throw error;
    throw new PgrecallError('slot', 'the primary has no room for another replication slot', {
      hint: 'drop one that nobody uses (pgrecall standby status), or raise max_replication_slots, which needs a restart',
      cause: error,
    });
  }
}

export async function dropSlot(session: SqlSession, slot: string): Promise<void> {
  await session.query('SELECT pg_drop_replication_slot($1)', [checkSlotName(slot)]);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
