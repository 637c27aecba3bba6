import type { SettingAdvice } from '../backup/archiving-settings.ts';
import { refuseOthersDirectory } from '../backup/own-directory.ts';
import { readControlFile } from '../backup/read-control-file.ts';
import type { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ClusterAccess } from './cluster-access.ts';
import { nameOf, ownerOf } from './privileges.ts';
import type { ServerIdentity } from './server-identity.ts';

/** One thing that `check` looked at, and what to do about it. */
export interface Finding {
  readonly name: string;
  readonly status: 'good' | 'warning' | 'problem';
  readonly message: string;
  readonly remedy?: string;
}

export function clusterFinding({ incarnation, config }: ClusterAccess, server: ServerIdentity): Finding {
  const name = 'cluster';
  if (server.systemIdentifier === incarnation.systemIdentifier && server.postgresMajor === incarnation.postgresMajor) {
    return { name, status: 'good', message: `system identifier ${server.systemIdentifier}, as in the repository` };
  }
  return {
    name,
    status: 'problem',
    message: `the server has the system identifier ${server.systemIdentifier} (PostgreSQL ${server.postgresMajor}), the repository knows ${incarnation.systemIdentifier} (PostgreSQL ${incarnation.postgresMajor})`,
    remedy: `correct the connection; after pg_upgrade or initdb: pgrecall init ${config.name} --new-incarnation`,
  };
}

export async function dataDirectoryFinding(
  session: SqlSession,
  access: ClusterAccess,
  server: ServerIdentity,
): Promise<Finding> {
  const name = 'data directory';
  const path = access.config.dataDirectory ?? server.dataDirectory;
  if (path === undefined) {
    return { name, status: 'problem', message: 'unknown', remedy: 'set data_directory in the configuration' };
  }
  try {
    const { control } = readControlFile(path);
    if (control.systemIdentifier !== server.systemIdentifier) {
      return {
        name,
        status: 'problem',
        message: `"${path}" has the system identifier ${control.systemIdentifier}, the server ${server.systemIdentifier}`,
        remedy: 'another cluster lies there: correct data_directory or the connection',
      };
    }
    await refuseOthersDirectory(session, path);
    const owner = ownerOf(path);
    if (owner.uid !== process.getuid?.()) {
      return {
        name,
        status: 'problem',
        message: `"${path}" belongs to ${nameOf(owner)}, but the repository does not, so that the server cannot archive into it`,
        remedy: `give the repository to the server’s user: chown -R ${nameOf(owner)} ${access.config.repositoryDirectory}`,
      };
    }
    return { name, status: 'good', message: `${path}, page checksums ${control.dataChecksums ? 'on' : 'off'}` };
  } catch (error) {
    if (!(error instanceof PgrecallError)) throw error;
    const remedy = error.hint === undefined ? {} : { remedy: error.hint };
    return { name, status: 'problem', message: error.message, ...remedy };
  }
}

export async function rightsFindings(session: SqlSession): Promise<Finding[]> {
  const forBackups =
    session.major >= 15
      ? ['pg_backup_start(text, boolean)', 'pg_backup_stop(boolean)']
      : ['pg_start_backup(text, boolean, boolean)', 'pg_stop_backup(boolean, boolean)'];
  const forCheck = ['pg_switch_wal()', 'pg_create_restore_point(text)'];
  const rows = await session.query<{ name: string; granted: boolean; role: string }>(
    `SELECT f AS name, has_function_privilege(f, 'EXECUTE') AS granted, current_user AS role FROM unnest($1::text[]) f`,
    [[...forBackups, ...forCheck]],
  );
  const role = rows[0]?.role ?? 'this role';
  const finding = (name: string, functions: readonly string[], what: string): Finding => {
    const lacking = rows.filter((row) => !row.granted && functions.includes(row.name)).map((row) => row.name);
    if (lacking.length === 0) return { name, status: 'good', message: `${role} may ${what}` };
    return {
      name,
      status: 'problem',
      message: `${role} may not ${what}`,
      remedy: `GRANT EXECUTE ON FUNCTION ${lacking.join(', ')} TO ${role}`,
    };
  };
  return [finding('rights', forBackups, 'take backups'), finding('rights to check', forCheck, 'switch segments')];
}

export function settingFinding(setting: SettingAdvice, cluster: string, received: boolean): Finding {
  const { name, current, right, pendingRestart, why } = setting;
  if (right) return { name, status: 'good', message: current };
  return {
    name,
    // A receiver does what these are for.
    status: received && name !== 'wal_level' ? 'warning' : 'problem',
    message: `is '${current}'${pendingRestart ? ', and waits for a restart' : ''}; ${why}`,
    remedy: remedyFor(setting, cluster),
  };
}

function remedyFor(setting: SettingAdvice, cluster: string): string {
  if (setting.pendingRestart) return 'restart the server';
  const restart = setting.needsRestart ? ', then restart the server' : '';
  return `pgrecall init ${cluster} --apply, or set ${setting.name} = '${setting.wanted}'${restart}`;
}

/** The streaming receiver, where one is at work; other roles' sessions are hidden from one without rights. */
export async function receiverFinding(session: SqlSession, access: ClusterAccess): Promise<Finding | undefined> {
  const [row] = await session.query<{ state: string; sync: string; flushed: string | null }>(
    `SELECT state, sync_state AS sync, flush_lsn::text AS flushed FROM pg_stat_replication
      WHERE application_name = $1 AND state = 'streaming'`,
    [`pgrecall_${access.config.name}`],
  );
  if (!row) return undefined;
  return { name: 'receiver', status: 'good', message: `streams, ${row.sync}, durable up to ${row.flushed ?? '?'}` };
}
