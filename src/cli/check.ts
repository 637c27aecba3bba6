import { setTimeout as sleep } from 'node:timers/promises';
import { readWalCatalogue } from '../archive/wal-catalogue.ts';
import { archiveCommandOf } from './archive-script.ts';
import { adviseSettings } from '../backup/archiving-settings.ts';
import { readServerFacts } from '../backup/backup-server.ts';
import { readControlFile } from '../backup/read-control-file.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { openCluster, type ClusterAccess } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { secondsOption } from './options.ts';

interface Finding {
  readonly name: string;
  readonly status: 'good' | 'warning' | 'problem';
  readonly message: string;
  readonly remedy?: string;
}

const defaultTimeoutMs = 60_000;

/** `pgrecall check [CLUSTER]`: exit 1 where something has to be mended, 3 where the archive has a gap. */
export const runCheck: RunCommand = async (arguments_, context) => {
  const access = await openCluster(context, arguments_.positional['cluster']);
  const timeoutMs = secondsOption(arguments_.options, 'timeout') ?? defaultTimeoutMs;
  await using session = await SqlSession.connect(access.config.connection, { applicationName: 'pgrecall check' });
  const findings: Finding[] = [
    { name: 'connection', status: 'good', message: `PostgreSQL ${session.major} answers` },
    {
      name: 'repository',
      status: 'good',
      message: `opens, ${access.repository.encrypted ? 'encrypted' : 'not encrypted'}`,
    },
  ];
  const facts = await readServerFacts(session);
  findings.push(dataDirectoryFinding(access, facts.dataDirectory));
  findings.push(await rightsFinding(session));
  const advice = await adviseSettings(session, archiveCommandOf(access.config));
  for (const setting of advice) {
    findings.push({
      name: setting.name,
      status: setting.right ? 'good' : 'problem',
      message: setting.right
        ? setting.current
        : `is '${setting.current}'${setting.pendingRestart ? ', and waits for a restart' : ''}; ${setting.why}`,
      ...(setting.right ? {} : { remedy: remedyFor(setting, access.config.name) }),
    });
  }
  const archiving = advice.every((setting) => setting.right || setting.name === 'archive_timeout');
  if (facts.inRecovery) {
    findings.push({
      name: 'archiving',
      status: 'warning',
      message: 'this is a standby, which cannot switch segments',
      remedy: 'run check against the primary',
    });
  } else if (archiving) {
    findings.push(await switchAndWait(session, access, context, timeoutMs));
  } else {
    findings.push({
      name: 'archiving',
      status: 'problem',
      message: 'not tried, since the settings above are not right',
    });
  }
  const gap = await gapFinding(access);
  findings.push(gap);
  return report(findings, access.config.name, context, gap.status === 'problem');
};

function dataDirectoryFinding(access: ClusterAccess, ofServer: string | undefined): Finding {
  const name = 'data directory';
  const path = access.config.dataDirectory ?? ofServer;
  if (path === undefined) {
    return { name, status: 'problem', message: 'unknown', remedy: 'set data_directory in the configuration' };
  }
  try {
    const { control } = readControlFile(path);
    if (control.systemIdentifier !== access.incarnation.systemIdentifier) {
      return {
        name,
        status: 'problem',
        message: `"${path}" has the system identifier ${control.systemIdentifier}, the repository knows ${access.incarnation.systemIdentifier}`,
        remedy: 'another cluster lies there: correct data_directory, or give this cluster another name',
      };
    }
    return { name, status: 'good', message: `${path}, page checksums ${control.dataChecksums ? 'on' : 'off'}` };
  } catch (error) {
    if (!(error instanceof PgrecallError)) throw error;
    return {
      name,
      status: 'problem',
      message: error.message,
      ...(error.hint === undefined ? {} : { remedy: error.hint }),
    };
  }
}

async function rightsFinding(session: SqlSession): Promise<Finding> {
  const functions =
    session.major >= 15
      ? ['pg_backup_start(text, boolean)', 'pg_backup_stop(boolean)']
      : ['pg_start_backup(text, boolean, boolean)', 'pg_stop_backup(boolean, boolean)'];
  const [row] = await session.query<{ granted: boolean; role: string }>(
    `SELECT bool_and(has_function_privilege(f, 'EXECUTE')) AS granted, current_user AS role FROM unnest($1::text[]) f`,
    [functions],
  );
  if (row?.granted === true) return { name: 'rights', status: 'good', message: `${row.role} may take backups` };
  return {
    name: 'rights',
    status: 'problem',
    message: `${row?.role ?? 'this role'} may not take backups`,
    remedy: `GRANT EXECUTE ON FUNCTION ${functions.join(', ')} TO ${row?.role ?? 'it'}`,
  };
}

function remedyFor(
  setting: { name: string; wanted: string; needsRestart: boolean; pendingRestart: boolean },
  cluster: string,
): string {
  if (setting.pendingRestart) return 'restart the server';
  const restart = setting.needsRestart ? ', then restart the server' : '';
  return `pgrecall init ${cluster} --apply, or set ${setting.name} = '${setting.wanted}'${restart}`;
}

/** Writes a record, switches the segment that it lies in, and waits for that segment. */
async function switchAndWait(
  session: SqlSession,
  access: ClusterAccess,
  context: CliContext,
  timeoutMs: number,
): Promise<Finding> {
  const [row] = await session.query<{ segment: string }>(
    `SELECT pg_walfile_name(pg_switch_wal()) AS segment FROM (SELECT pg_create_restore_point('pgrecall check')) point`,
  );
  const segment = row?.segment ?? '';
  const startedMs = context.now().getTime();
  context.stderr(`waiting for ${segment} to reach the repository`);
  while (context.now().getTime() - startedMs < timeoutMs) {
    if (await access.store.findSegment(segment)) {
      const seconds = ((context.now().getTime() - startedMs) / 1000).toFixed(1);
      return { name: 'archiving', status: 'good', message: `${segment} was in the repository after ${seconds} s` };
    }
    await sleep(100, undefined, { signal: context.signal });
  }
  const [failure] = await session.query<{ failed: string | null; at: string | null }>(
    'SELECT last_failed_wal AS failed, last_failed_time::text AS at FROM pg_stat_archiver',
  );
  return {
    name: 'archiving',
    status: 'problem',
    message: `${segment} did not reach the repository within ${timeoutMs / 1000} s${failure?.failed ? `; the server last failed to archive ${failure.failed} at ${failure.at}` : ''}`,
    remedy: 'the server’s log has the messages of archive_command',
  };
}

async function gapFinding(access: ClusterAccess): Promise<Finding> {
  const { ranges } = await readWalCatalogue(access.store);
  const broken = ranges.filter((range, i) => ranges[i - 1]?.timeline === range.timeline);
  if (broken.length === 0) return { name: 'continuity', status: 'good', message: 'the archived WAL has no gaps' };
  return {
    name: 'continuity',
    status: 'problem',
    message: `the archived WAL has ${broken.length} gap(s)`,
    remedy: 'pgrecall list shows them; a fresh backup makes what follows recoverable',
  };
}

function report(findings: readonly Finding[], cluster: string, context: CliContext, gap: boolean): number {
  const problems = findings.filter((finding) => finding.status === 'problem');
  if (context.json) {
    context.stdout(JSON.stringify({ cluster, ok: problems.length === 0, findings }, undefined, 2));
  } else {
    for (const finding of findings) {
      const mark = { good: 'ok     ', warning: 'warning', problem: 'PROBLEM' }[finding.status];
      context.stdout(`${mark}  ${finding.name}: ${finding.message}`);
      if (finding.remedy !== undefined) context.stdout(`         -> ${finding.remedy}`);
    }
  }
  if (problems.length === 0) return 0;
  return gap && problems.length === 1 ? 3 : 1;
}
