import { connectionOptions, connectionWords } from '../connection/connection-uri.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { checkSlotName } from '../protocol/replication-command.ts';
import type { Answer } from './fence-primary.ts';
import { readStandby } from './promote-facts.ts';

/*
 * Telling standbys whom to follow: primary_conninfo of each that can be reached, by ALTER SYSTEM and a reload, and a
 * slot for it at the new primary. A standby that has replayed beyond the place where the new timeline branched off cannot
 * follow it: it has to come back by `rejoin`.
 */

export interface Address {
  readonly host: string;
  readonly port: number;
}

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
    const slot = row?.slot === '' ? undefined : row?.slot;
    if (slot !== undefined) await makeSlot(primary.session, slot);
    await session.query(
      `ALTER SYSTEM SET primary_conninfo = ${quoted(withAddress(row?.conninfo ?? '', primary.address))}`,
    );
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

/** Makes it where it is missing, so that it keeps WAL from now on. */
export async function makeSlot(session: SqlSession, slot: string): Promise<boolean> {
  const [row] = await session.query<{ type: string }>(
    'SELECT slot_type AS type FROM pg_replication_slots WHERE slot_name = $1',
    [checkSlotName(slot)],
  );
  if (row?.type === 'logical') {
    throw new PgrecallError('slot', `the replication slot "${slot}" is a logical one; a standby needs a physical one`, {
      hint: 'name another with --slot',
    });
  }
  if (row) return false;
  await session.query('SELECT pg_create_physical_replication_slot($1, true)', [slot]);
  return true;
}

/** The same words, leading to another server. */
export function withAddress(conninfo: string, { host, port }: Address): string {
  const rest = conninfo.replaceAll(/(?<![\w.])(?:host|hostaddr|port)\s*=\s*(?:'(?:[^'\\]|\\.)*'|\S+)\s*/g, '').trim();
  return `host=${word(host)} port=${port}${rest === '' ? '' : ` ${rest}`}`;
}

/** How a standby of this cluster reaches its primary: as the configuration does, with a name of its own. */
export function conninfoFor(connection: string, address: Address, name: string, env: NodeJS.ProcessEnv): string {
  const { user, password } = connectionOptions(connection, env);
  const { host: _host, hostaddr: _address, port: _port, dbname: _database, ...rest } = connectionWords(connection);
  const { target_session_attrs: _wanted, application_name: _name, ...kept } = rest;
  const words = { ...kept, user, ...(password === undefined ? {} : { password }), application_name: name };
  const text = Object.entries(words).map(([key, value]) => `${key}=${word(value ?? '')}`);
  return `host=${word(address.host)} port=${address.port} ${text.join(' ')}`;
}

function word(value: string): string {
  return /^[\w./:@-]+$/.test(value) ? value : `'${value.replaceAll(/[\\']/g, '\\$&')}'`;
}

/** A string constant, whatever standard_conforming_strings says. */
function quoted(text: string): string {
  return `${text.includes('\\') ? ' E' : ''}'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}
