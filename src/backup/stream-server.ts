import { sqlStateOf } from '../connection/server-refusal.ts';
import type { ReplicationSession } from '../connection/replication-session.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { pageBytes } from '../postgres/page.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { Incarnation } from '../repository/cluster-repository.ts';
import { identifySystem, show } from '../protocol/replication-command.ts';
import { decodeSetting, decodeSystemIdentity, parseSegmentSize } from '../protocol/replication-result.ts';

/*
 * What a backup over the replication protocol asks the server first. SHOW is all that such a connection has; none of these
 * settings is kept from any role.
 */

export interface StreamFacts {
  readonly major: number;
  readonly systemIdentifier: string;
  readonly timeline: Timeline;
  readonly positionLsn: Lsn;
  readonly inRecovery: boolean;
  readonly dataChecksums: boolean;
  readonly segmentBytes: number;
  /** Blocks in a file of a relation. */
  readonly relationSegmentBlocks: number;
  readonly directoryMode: number;
  readonly archiveMode: string;
  readonly walLevel: string;
  /** Whether the server keeps account of changed blocks, without which it cannot send increments; never before version 17. */
  readonly summarizesWal: boolean;
}

/** From this version on servers send increments. */
export const firstIncrementalMajor = 17;

/** Throws `connection`, `server-rights`, `server-refused`. */
export async function readStreamFacts(session: ReplicationSession): Promise<StreamFacts> {
  const identity = decodeSystemIdentity(await session.command(identifySystem));
  const setting = async (name: string): Promise<string> => decodeSetting(await session.command(show(name)));
  const major = Math.floor(Number(await setting('server_version_num')) / 10_000);
  const blockBytes = Number(await setting('block_size'));
  if (blockBytes !== pageBytes) {
    throw new PgrecallError(
      'postgres-version',
      `this PostgreSQL was built with pages of ${blockBytes} bytes; pgrecall reads those of ${pageBytes}`,
    );
  }
  return {
    major,
    systemIdentifier: identity.systemIdentifier,
    timeline: identity.timeline,
    positionLsn: identity.positionLsn,
    inRecovery: (await setting('in_hot_standby')) === 'on',
    dataChecksums: (await setting('data_checksums')) === 'on',
    segmentBytes: parseSegmentSize(await setting('wal_segment_size')),
    relationSegmentBlocks: parseSegmentSize(await setting('segment_size')) / blockBytes,
    directoryMode: Number.parseInt(await setting('data_directory_mode'), 8) & 0o7777,
    archiveMode: await setting('archive_mode'),
    walLevel: await setting('wal_level'),
    summarizesWal: major >= firstIncrementalMajor && (await setting('summarize_wal')) === 'on',
  };
}

/** Throws `cluster-mismatch` for another cluster than the repository knows, `server-setting` for one that cannot be backed up so. */
export function checkStreamFacts(cluster: string, incarnation: Incarnation, facts: StreamFacts): void {
  if (facts.systemIdentifier !== incarnation.systemIdentifier || facts.segmentBytes !== incarnation.segmentBytes) {
    throw new PgrecallError(
      'cluster-mismatch',
      `the server that answers has the system identifier ${facts.systemIdentifier}, but "${cluster}" in the repository is ${incarnation.systemIdentifier}`,
      { details: { found: facts.systemIdentifier, expected: incarnation.systemIdentifier } },
    );
  }
  if (facts.walLevel === 'minimal') {
    throw new PgrecallError('server-setting', 'wal_level is minimal, with which a hot backup cannot be recovered', {
      hint: 'set wal_level = replica and restart the server; pgrecall init --apply sets it',
    });
  }
}

/** Throws `server-setting` where the server could send increments if it were let. */
export function requireSummaries({ major, summarizesWal }: StreamFacts): void {
  if (major < firstIncrementalMajor || summarizesWal) return;
  throw new PgrecallError('server-setting', 'summarize_wal is off, without which the server cannot tell what changed', {
    hint: 'ALTER SYSTEM SET summarize_wal = on, then SELECT pg_reload_conf(): increments over the connection are possible from the next backup on. Where the server’s files can be read, increments need no such setting: leave --stream away',
  });
}

/** What a server says while a backup is under way, as an error of ours. */
export function explainStreamFailure(error: unknown): unknown {
  const state = sqlStateOf(error);
  const isGone = hasCode(error, 'connection');
  // 55000, object_not_in_prerequisite_state: promoted, or full_page_writes was off on the primary meanwhile.
  if (!(error instanceof PgrecallError) || (!isGone && state !== '55000')) return error;
  return new PgrecallError('server-changed', `the server ended the backup: ${error.message}`, {
    hint: 'it was restarted, stopped or promoted, or the network was cut; start the backup again. Nothing half-made is listed',
    cause: error,
  });
}
