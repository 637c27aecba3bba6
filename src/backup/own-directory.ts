import { setTimeout as sleep } from 'node:timers/promises';
import type { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ControlFile } from '../postgres/control-file.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { readPostmasterPid } from '../server/postmaster-pid.ts';
import { isServerRunning } from '../server/running.ts';
import { readControlFile } from './read-control-file.ts';

/*
 * Is this directory the one of the server that answers? Members of a cluster have the same system identifier and mostly
 * the same paths, on each its own host: a connection that leads to the primary, and the directory of a standby, would
 * otherwise make a backup of two servers. Each writes its pg_control at moments of its own, and the server can be asked for
 * what its own says.
 */

/** What of pg_control tells one member from another. */
interface Mark {
  readonly inRecovery: boolean;
  readonly checkpointLsn: string;
  /** Unix seconds. */
  readonly modifiedAt: string;
  readonly minRecoveryLsn: string;
}

const attempts = 10;
const pauseMs = 50;

/**
 * Throws `data-directory` where it is another member's; says nothing of one of another cluster, which others do, nor where
 * this role may not read pg_control.
 */
export async function refuseOthersDirectory(session: SqlSession, dataDirectory: string): Promise<void> {
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    const before = readControlFile(dataDirectory);
    const asked = await askMark(session);
    if (!asked || asked.systemIdentifier !== String(before.control.systemIdentifier)) return;
    const after = readControlFile(dataDirectory);
    // Between two looks that are the same the server's own was that, too.
    if (Buffer.compare(before.bytes, after.bytes) !== 0) continue;
    if (isSame(markOf(after.control), asked)) return;
    if (attempt === attempts) throw othersDirectory(session, dataDirectory, after.control);
    // A promotion passes through states that the server does not show.
    await sleep(pauseMs);
  }
}

async function askMark(session: SqlSession): Promise<(Mark & { readonly systemIdentifier: string }) | undefined> {
  try {
    const [row] = await session.query<{
      identifier: string;
      recovery: boolean;
      checkpoint: string;
      modified: string;
      min: string;
    }>(
      `SELECT s.system_identifier::text AS identifier, pg_is_in_recovery() AS recovery,
              c.checkpoint_lsn::text AS checkpoint, r.min_recovery_end_lsn::text AS min,
              extract(epoch FROM s.pg_control_last_modified)::int8::text AS modified
         FROM pg_control_system() s, pg_control_checkpoint() c, pg_control_recovery() r`,
    );
    if (!row) return undefined;
    return {
      systemIdentifier: row.identifier,
      inRecovery: row.recovery,
      checkpointLsn: row.checkpoint,
      modifiedAt: row.modified,
      minRecoveryLsn: row.min,
    };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === '42501') return undefined;
    throw error;
  }
}

function markOf(control: ControlFile): Mark {
  return {
    inRecovery: control.state === 'in archive recovery',
    checkpointLsn: formatLsn(control.checkpointLsn),
    modifiedAt: String(control.modifiedAt),
    minRecoveryLsn: formatLsn(control.minRecoveryLsn),
  };
}

function isSame(a: Mark, b: Mark): boolean {
  return (
    a.inRecovery === b.inRecovery &&
    a.checkpointLsn === b.checkpointLsn &&
    a.modifiedAt === b.modifiedAt &&
    a.minRecoveryLsn === b.minRecoveryLsn
  );
}

function othersDirectory(session: SqlSession, dataDirectory: string, control: ControlFile): PgrecallError {
  const found = isServerRunning(dataDirectory) ? readPostmasterPid(dataDirectory) : undefined;
  const itself = found
    ? `it is that of the ${control.state === 'in production' ? 'primary' : 'standby'} that runs here on port ${found.port}`
    : 'no server runs on it here';
  const role = session.role.inRecovery ? 'a standby' : 'the primary';
  return new PgrecallError(
    'data-directory',
    `"${dataDirectory}" is not the directory of the server that answers at ${session.address}, ${role}: ${itself}`,
    {
      hint: found
        ? 'run it on the host of that server, or back up the one that runs here, whatever its role: --role any'
        : 'run it on the host of that server, or correct connection or data_directory of the configuration',
      details: { dataDirectory, server: session.address, localPort: found?.port ?? null },
    },
  );
}
