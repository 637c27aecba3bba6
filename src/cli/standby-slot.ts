import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { dropSlot } from '../standby/slot.ts';
import type { CliContext } from './context.ts';

/** Removes a slot that was made for a standby that did not come to be: nobody would stream through it, and it would fill the primary's disk. */
export async function takeSlotBack(connection: string, slot: string, context: CliContext): Promise<void> {
  try {
    await using session = await SqlSession.connect(connection, { applicationName: 'pgrecall standby' });
    await dropSlot(session, slot);
    context.stderr(
      `the slot "${slot}" is removed again; to start the standby later, make it: SELECT pg_create_physical_replication_slot('${slot}', true)`,
    );
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    context.stderr(
      `warning: the slot "${slot}" could not be removed again (${reason}); it keeps WAL at the primary: SELECT pg_drop_replication_slot('${slot}')`,
    );
  }
}

/** Whether the standby runs, and goes on: it needs its slot. */
export function isTooLate(error: unknown): boolean {
  return error instanceof PgrecallError && error.code === 'recovery-failed' && 'state' in error.details;
}
