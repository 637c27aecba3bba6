import { SqlSession } from '../connection/sql-session.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import type { Answer } from './fence-primary.ts';
import { readStandby } from './promote-facts.ts';
import { conninfoTo, hostsOf } from './conninfo-hosts.ts';
import type { Address } from './follow-address.ts';
import { makeStandbySlot } from './slot.ts';

/*
 * Telling standbys whom to follow: primary_conninfo of each that can be reached, by ALTER SYSTEM and a reload, and a
 * slot for it at the new primary. A standby that has replayed beyond the place where the new timeline branched off cannot
 * follow it: it has to come back by `rejoin`.
 */

export type Followed =
  | { readonly kind: 'follows'; readonly address: string; readonly slot: string | undefined; readonly restart: boolean }
  | { readonly kind: 'cannot'; readonly address: string; readonly why: string };

export interface NewPrimary {
  readonly session: SqlSession;
  /** Where the others reach it. */
  readonly address: Address;
  readonly switchLsn: Lsn;
}

/** Never throws for what one standby says: the others are told all the same. */
export async function followPrimary(standby: Answer, primary: NewPrimary): Promise<Followed> {
  try {
    await using session = await SqlSession.connect(standby.uri, { connectTimeoutMs: 5000 });
    const facts = await readStandby(session);
    if (facts.replayedLsn > primary.switchLsn) {
      const [has, at] = [formatLsn(facts.replayedLsn), formatLsn(primary.switchLsn)];
      return cannot(standby, `it has replayed up to ${has}, and the new timeline branched off at ${at}: rejoin it`);
    }
    const [row] = await session.query<{ conninfo: string | null; slot: string; timeline: string }>(
      `SELECT (SELECT setting FROM pg_settings WHERE name = 'primary_conninfo') AS conninfo,
              current_setting('primary_slot_name') AS slot, current_setting('recovery_target_timeline') AS timeline`,
    );
    const conninfo = row?.conninfo ?? '';
    const isShipped = conninfo === '';
    const { host, port } = primary.address;
    const leadsThere = hostsOf(conninfo).some((one) => one.host === host && one.port === port);
    const slot = isShipped || row?.slot === '' ? undefined : row?.slot;
    if (slot !== undefined) await makeStandbySlot(primary.session, slot);
    if (!isShipped && !leadsThere)
      await session.query(`ALTER SYSTEM SET primary_conninfo = ${quoted(conninfoTo(conninfo, primary.address))}`);
    const restart = row?.timeline !== 'latest';
    if (restart) await session.query("ALTER SYSTEM SET recovery_target_timeline = 'latest'");
    await session.query('SELECT pg_reload_conf()');
    return { kind: 'follows', address: standby.address, slot, restart };
  } catch (error) {
    return cannot(standby, error instanceof Error ? error.message : String(error));
  }
}

function cannot({ address }: Answer, why: string): Followed {
  return { kind: 'cannot', address, why };
}

/** A string constant, whatever standard_conforming_strings says. */
function quoted(text: string): string {
  return `${text.includes('\\') ? ' E' : ''}'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}
