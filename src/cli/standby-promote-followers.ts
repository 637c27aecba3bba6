import { resolve } from 'node:path';
import { connectionOptions, connectionTo } from '../connection/connection-uri.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { isServerRunning } from '../server/running.ts';
import type { Answer, FoundServers } from '../standby/fence-primary.ts';
import { serverOn, type Address } from '../standby/follow-address.ts';
import { notedStandbys } from '../standby/known-standbys.ts';
import { readServer, readStandby, type StandbyFacts } from '../standby/promote-facts.ts';
import type { ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import type { PromoteWords } from './standby-promote-words.ts';

/**
 * Those that are to follow: of the configured hosts, named by the administrator, and made on this host, unless they stream
 * from a server that lives. Throws `connection`, `standby-node`, `cluster-mismatch` for one that was named and cannot.
 */
export async function standbysToTell(
  { config, incarnation }: ClusterAccess,
  { found, facts }: { readonly found: FoundServers; readonly facts: StandbyFacts },
  { follow, directory }: PromoteWords,
  context: CliContext,
): Promise<readonly Answer[]> {
  const standbys = new Map(found.standbys.map((answer) => [answer.facts.signature, answer]));
  const ask = async (uri: string, isNamed: boolean): Promise<void> => {
    await using session = await SqlSession.connect(uri);
    const answer = { uri, address: session.address, facts: await readServer(session) };
    if (answer.facts.signature === facts.signature) return;
    if (answer.facts.systemIdentifier !== incarnation.systemIdentifier || !answer.facts.inRecovery) {
      if (!isNamed) return;
      throw new PgrecallError('standby-node', `the server at ${answer.address} is no standby of "${config.name}"`, {
        hint: '--follow names standbys of this cluster',
      });
    }
    if (!isNamed && (await readStandby(session)).streams && found.primary.kind !== 'alive') return;
    standbys.set(answer.facts.signature, answer);
  };
  const uriOf = (path: string): string => connectionTo(config.connection, serverOn(path), context.env);
  for (const named of follow) await ask(/^[/.]/.test(named) ? uriOf(resolve(context.cwd, named)) : named, true);
  for (const noted of notedStandbys(config.stateDirectory).values()) {
    if (noted !== directory && isServerRunning(noted)) await ask(uriOf(noted), false).catch(() => undefined);
  }
  return [...standbys.values()];
}

/** One on this host takes the socket; another one has to be told an address that leads here. */
export function addressFor(
  standby: Answer,
  { address }: PromoteWords,
  found: FoundServers,
  here: Address,
): Address | undefined {
  if (address) return address;
  const { host } = connectionOptions(standby.uri);
  if (host.startsWith('/')) return here;
  return found.ownAddresses.find((own) => !own.host.startsWith('/')) ?? (host.startsWith('127.') ? here : undefined);
}
