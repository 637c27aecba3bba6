import { existsSync, realpathSync } from 'node:fs';
import { readControlFile } from '../backup/read-control-file.ts';
import { connectionTo } from '../connection/connection-uri.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { parseLsn, type Lsn } from '../postgres/lsn.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { findDirectoryUse } from '../server/directory-use.ts';
import { hostsOf } from './conninfo-hosts.ts';
import { readServer, type ServerFacts } from './promote-facts.ts';

/*
 * Whether the primary is dead. Two servers that take writes are the worst that a promotion can bring about, so that the
 * question is asked of everything that can answer: the addresses of the configured connection, the address that the
 * standby follows, and the primary's data directory where it is on this host. One that answers in any way, even by refusing
 * the user, lives. Silence proves nothing: then the administrator's word is needed.
 */

/** Another server of the cluster that answers. */
export interface Answer {
  readonly uri: string;
  readonly address: string;
  readonly facts: ServerFacts;
}

export type PrimaryState =
  | {
      readonly kind: 'alive';
      /** In words: who, and how it is known. */
      readonly what: string;
      /** Where it is on this host, with the process of the server. */
      readonly directory: string | undefined;
      /** `undefined` where it does not let us in. */
      readonly positionLsn: Lsn | undefined;
    }
  /** Its data directory is here, and no server runs on it. */
  | { readonly kind: 'at-rest'; readonly directory: string }
  | { readonly kind: 'silent'; readonly reasons: readonly string[] };

export interface FoundServers {
  readonly primary: PrimaryState;
  /** In recovery, and not the one that is to be promoted. */
  readonly standbys: readonly Answer[];
  /** Addresses of the configuration that lead to the one that is to be promoted. */
  readonly ownAddresses: readonly { readonly host: string; readonly port: number }[];
  /** Answered as another cluster's. */
  readonly others: readonly string[];
}

export interface FindPrimary {
  readonly systemIdentifier: string;
  /** The configured connection, with all its hosts. */
  readonly connection: string;
  /** The configured data directory, which may be the primary's or this standby's. */
  readonly dataDirectory: string | undefined;
  /** The standby that is to be promoted. */
  readonly standby: {
    readonly directory: string;
    readonly signature: string;
    readonly conninfo: string;
    readonly timeline: Timeline;
  };
}

const connectTimeoutMs = 5000;

export async function findPrimary(options: FindPrimary): Promise<FoundServers> {
  const standbys: Answer[] = [];
  const ownAddresses: { host: string; port: number }[] = [];
  const others: string[] = [];
  const reasons: string[] = [];
  let primary: PrimaryState | undefined;
  for (const { host, port } of addresses(options)) {
    const uri = connectionTo(options.connection, { host, port });
    const found = await ask(uri, `${host}:${port}`, options);
    if (found.kind === 'self') ownAddresses.push({ host, port });
    else if (found.kind === 'standby') standbys.push(found.answer);
    else if (found.kind === 'other') others.push(found.what);
    else if (found.kind === 'silent') reasons.push(found.why);
    else primary ??= found;
  }
  const local = lookAtDirectory(options);
  if (primary?.kind === 'alive' && primary.directory === undefined && local?.kind === 'alive') {
    primary = { ...primary, directory: local.directory };
  }
  return { primary: primary ?? local ?? { kind: 'silent', reasons }, standbys, ownAddresses, others };
}

/** Each once, those of the configuration first. */
function addresses({ connection, standby }: FindPrimary): { readonly host: string; readonly port: number }[] {
  const found = new Map<string, { readonly host: string; readonly port: number }>();
  for (const text of [connection, standby.conninfo]) {
    if (text === '') continue;
    for (const { host, port } of hostsOf(text)) found.set(`${host}:${port}`, { host, port });
  }
  return [...found.values()];
}

type Asked =
  | Extract<PrimaryState, { kind: 'alive' }>
  | { readonly kind: 'self' }
  | { readonly kind: 'standby'; readonly answer: Answer }
  | { readonly kind: 'other'; readonly what: string }
  | { readonly kind: 'silent'; readonly why: string };

async function ask(uri: string, address: string, options: FindPrimary): Promise<Asked> {
  let session: SqlSession;
  try {
    session = await SqlSession.connect(uri, { connectTimeoutMs });
  } catch (error) {
    if (!hasCode(error, 'connection', 'server-rights')) throw error;
    const { reason } = error.details;
    // An SQLSTATE: a server is there and says no. Starting up or recovering from a crash is alive, too.
    if (typeof reason !== 'string' || !/^\d[0-9A-Z]{4}$/.test(reason)) return { kind: 'silent', why: error.message };
    const what = `a server answers at ${address}, though it lets nobody in (${error.message})`;
    return { kind: 'alive', what, directory: undefined, positionLsn: undefined };
  }
  await using _closed = session;
  const facts = await readServer(session);
  if (facts.systemIdentifier !== options.systemIdentifier) {
    return { kind: 'other', what: `the server at ${address} is of another cluster (${facts.systemIdentifier})` };
  }
  if (facts.signature === options.standby.signature) return { kind: 'self' };
  if (facts.inRecovery) return { kind: 'standby', answer: { uri, address, facts } };
  const [row] = await session.query<{ at: string }>('SELECT pg_current_wal_flush_lsn()::text AS at');
  return {
    kind: 'alive',
    what: `the primary answers at ${address}`,
    directory: ifHere(facts.dataDirectory, options.systemIdentifier),
    positionLsn: row && parseLsn(row.at),
  };
}

/** A path that the server told is of its own host, which may be another one. */
function ifHere(path: string | undefined, expected: string): string | undefined {
  if (path === undefined) return undefined;
  try {
    if (readControlFile(path).control.systemIdentifier !== expected) return undefined;
    return findDirectoryUse(path).kind === 'running' ? path : undefined;
  } catch (error) {
    if (error instanceof PgrecallError) return undefined;
    throw error;
  }
}

/** What the configured data directory says, where it is here and not that of the standby. */
function lookAtDirectory({ dataDirectory, standby, systemIdentifier }: FindPrimary): PrimaryState | undefined {
  if (dataDirectory === undefined || !existsSync(dataDirectory)) return undefined;
  if (realpathSync(dataDirectory) === realpathSync(standby.directory)) return undefined;
  let isFormer: boolean;
  try {
    const { control } = readControlFile(dataDirectory);
    isFormer = control.timeline < standby.timeline;
    const isStandby = control.state === 'in archive recovery' || control.state === 'shut down in recovery';
    if (control.systemIdentifier !== systemIdentifier || isStandby) return undefined;
  } catch (error) {
    if (hasCode(error, 'data-directory', 'decode')) return undefined;
    throw error;
  }
  const use = findDirectoryUse(dataDirectory);
  switch (use.kind) {
    case 'running': {
      const what = `${use.what} runs on "${dataDirectory}" (process ${use.pid})`;
      return { kind: 'alive', what, directory: dataDirectory, positionLsn: undefined };
    }
    case 'at-rest':
    case 'left-behind':
      // That of an earlier primary, before the standby’s timeline began, proves nothing of the present one.
      return isFormer ? undefined : { kind: 'at-rest', directory: dataDirectory };
    case 'unknown':
      return { kind: 'silent', reasons: [`whether a server uses "${dataDirectory}" cannot be told: ${use.why}`] };
  }
}

/** What the administrator has said about the primary. */
export interface FenceWords {
  readonly stop: boolean;
  readonly isDead: boolean;
}

/** What has to be done with the primary before the promotion. Throws `primary-alive`. */
export function decideFence(primary: PrimaryState, words: FenceWords): { readonly stop: string | undefined } {
  if (primary.kind === 'alive') {
    if (words.stop && primary.directory !== undefined) return { stop: primary.directory };
    throw new PgrecallError('primary-alive', `${primary.what}: two servers would take writes`, {
      hint: words.isDead
        ? 'it was said to be dead and is not: stop it, and make sure that nothing starts it again'
        : words.stop
          ? 'its data directory is not on this host: stop it there, then run this again'
          : 'for a planned change of roles let pgrecall stop it: --stop-primary; else stop it yourself',
      details: { directory: primary.directory ?? null },
    });
  }
  if (primary.kind === 'silent' && !words.isDead) {
    throw new PgrecallError(
      'primary-alive',
      `the primary does not answer, which does not prove that it is dead: ${primary.reasons.join('; ') || 'no address of it is known'}`,
      {
        hint: 'make sure that it is stopped and stays so (power, systemd, virtual machine), then say so: --primary-is-dead',
        details: { reasons: primary.reasons },
      },
    );
  }
  return { stop: undefined };
}
