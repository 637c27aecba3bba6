import { hasCode, PgrecallError } from '../errors/pgrecall-error.ts';
import type { ConnectionCandidates, ConnectionOptions, TargetAttributes } from './connection-uri.ts';

/*
 * Of several hosts the first that answers and has the wanted role, as libpq chooses
 * (https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS). A host that refuses the user ends the
 * search: the next ones are not asked with a password that was wrong.
 */

/** What a server says of itself when a session begins, as parameters that it reports. */
export interface ServerRole {
  readonly inRecovery: boolean;
  readonly readOnly: boolean;
}

export interface HostSession {
  readonly role: ServerRole;
  readonly close: () => Promise<void> | void;
}

type Found<T> = { readonly session: T } | { readonly unfit: string };

/** Throws `connection`, and what `connect` throws where that ends the search or there is one host only. */
export async function chooseHost<T extends HostSession>(
  { hosts, wanted }: ConnectionCandidates,
  connect: (host: ConnectionOptions) => Promise<T>,
): Promise<T> {
  const reasons: string[] = [];
  // The second time round anything that answers will do.
  const rounds: readonly TargetAttributes[] = wanted === 'prefer-standby' ? ['standby', 'any'] : [wanted];
  for (const attributes of rounds) {
    for (const host of hosts) {
      const found = await tryHost(host, attributes, connect, hosts.length > 1);
      if ('session' in found) return found.session;
      reasons.push(found.unfit);
    }
  }
  const unique = [...new Set(reasons)];
  const names = hosts.map(({ host, port }) => `${host}:${port}`).join(', ');
  throw new PgrecallError(
    'connection',
    wanted === 'any' || wanted === 'prefer-standby'
      ? `none of ${names} can be connected to: ${unique.join('; ')}`
      : `none of ${names} is what target_session_attrs=${wanted} wants: ${unique.join('; ')}`,
    { details: { hosts: hosts.map(({ host, port }) => `${host}:${port}`), wanted } },
  );
}

async function tryHost<T extends HostSession>(
  host: ConnectionOptions,
  attributes: TargetAttributes,
  connect: (host: ConnectionOptions) => Promise<T>,
  hasOthers: boolean,
): Promise<Found<T>> {
  let session: T;
  try {
    session = await connect(host);
  } catch (error) {
    if (!hasOthers || !hasCode(error, 'connection') || refusesUser(error)) throw error;
    return { unfit: error.message };
  }
  if (fits(session.role, attributes)) return { session };
  await session.close();
  const { inRecovery } = session.role;
  return { unfit: `${host.host}:${host.port} is a ${inRecovery ? 'standby' : 'primary'}` };
}

/** invalid_authorization_specification, invalid_password, and no such database. */
function refusesUser(error: PgrecallError): boolean {
  const { reason, sqlState } = error.details;
  return [reason, sqlState].some((code) => code === '28000' || code === '28P01' || code === '3D000');
}

function fits({ inRecovery, readOnly }: ServerRole, attributes: TargetAttributes): boolean {
  switch (attributes) {
    case 'any':
    case 'prefer-standby':
      return true;
    case 'read-write':
      return !inRecovery && !readOnly;
    case 'read-only':
      return inRecovery || readOnly;
    case 'primary':
      return !inRecovery;
    case 'standby':
      return inRecovery;
  }
}
