import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ControlFile } from '../postgres/control-file.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { pageBytes } from '../postgres/page.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { Incarnation } from '../repository/cluster-repository.ts';
import type { ServerFacts } from './backup-server.ts';

/*
 * Is this the cluster that the repository knows, is this its data directory, and is it still the same server as when
 * the backup began? Each question has been answered wrongly by some configuration.
 */

/** Throws `server-setting` where the server writes too little WAL for a hot backup. */
export function refuseUnfit(facts: ServerFacts, control: ControlFile): void {
  if (facts.walLevel === 'minimal') {
    throw new PgrecallError('server-setting', 'wal_level is minimal, with which a hot backup cannot be recovered', {
      hint: 'set wal_level = replica and restart the server; pgrecall init --apply sets it',
    });
  }
  refuseOtherPages(control);
}

/** Throws `postgres-version` where pages have another size than everywhere. */
export function refuseOtherPages({ blockBytes }: ControlFile): void {
  if (blockBytes === pageBytes) return;
  throw new PgrecallError(
    'postgres-version',
    `this PostgreSQL was built with pages of ${blockBytes} bytes; pgrecall reads those of ${pageBytes}`,
  );
}

/** Throws `cluster-mismatch` for another cluster than the repository knows. */
export function checkIncarnation(
  cluster: string,
  incarnation: Incarnation,
  control: ControlFile,
  dataDirectory: string,
): void {
  if (control.systemIdentifier === incarnation.systemIdentifier) return;
  throw new PgrecallError(
    'cluster-mismatch',
    `"${dataDirectory}" has the system identifier ${control.systemIdentifier}, but "${cluster}" in the repository is ${incarnation.systemIdentifier}`,
    { details: { found: control.systemIdentifier, expected: incarnation.systemIdentifier } },
  );
}

/** Throws `cluster-mismatch` for another cluster than the repository knows, `data-directory` for a directory that is not the server's. */
export function checkSameCluster(
  cluster: string,
  incarnation: Incarnation,
  found: { readonly facts: ServerFacts; readonly control: ControlFile; readonly dataDirectory: string },
): void {
  const { facts, control, dataDirectory } = found;
  checkIncarnation(cluster, incarnation, control, dataDirectory);
  if (facts.systemIdentifier !== control.systemIdentifier || facts.major !== control.postgresMajor) {
    throw notItsDirectory(
      dataDirectory,
      `the server that answers is PostgreSQL ${facts.major} with the system identifier ${facts.systemIdentifier}, the directory is of ${control.postgresMajor} with ${control.systemIdentifier}`,
    );
  }
}

/**
 * A standby has the system identifier of its primary: only the checkpoint that the backup began with tells whether
 * this directory is the server's own. Throws `data-directory`.
 */
export function checkStartedHere(control: ControlFile, startLsn: Lsn, dataDirectory: string): void {
  if (control.redoLsn >= startLsn) return;
  throw notItsDirectory(
    dataDirectory,
    `the backup began with the checkpoint at ${formatLsn(startLsn)}, of which its pg_control knows nothing (${formatLsn(control.redoLsn)})`,
  );
}

/** Throws `server-changed` where a standby has followed its primary to another timeline meanwhile. */
export function checkSameTimeline(control: ControlFile, startTimeline: Timeline): void {
  const now = control.minRecoveryTimeline === 0 ? control.timeline : control.minRecoveryTimeline;
  if (now === startTimeline) return;
  throw new PgrecallError(
    'server-changed',
    `the backup began on timeline ${startTimeline}, and the server has gone over to timeline ${now} meanwhile`,
  );
}

function notItsDirectory(dataDirectory: string, why: string): PgrecallError {
  return new PgrecallError(
    'data-directory',
    `"${dataDirectory}" is not the directory of the server that answers: ${why}`,
    {
      hint: 'connection and data_directory of the configuration belong to different servers',
    },
  );
}
