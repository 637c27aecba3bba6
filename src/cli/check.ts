import { setTimeout as sleep } from 'node:timers/promises';
import { lastingGaps } from '../archive/lasting-gaps.ts';
import { adviseSettings } from '../backup/archiving-settings.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { archiveCommandOf } from './archive-script.ts';
import {
  clusterFinding,
  dataDirectoryFinding,
  receiverFinding,
  rightsFindings,
  settingFinding,
  type Finding,
} from './check-findings.ts';
import { openCluster, type ClusterAccess } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { secondsOption } from './options.ts';
import { identifyServer } from './server-identity.ts';

const defaultTimeoutMs = 60_000;

/** `pgrecall check [CLUSTER]`: exit 1 where something has to be mended, 3 where the archive has a gap. */
export const runCheck: RunCommand = async (arguments_, context) => {
  const timeoutMs = secondsOption(arguments_.options, 'timeout') ?? defaultTimeoutMs;
  const access = await openCluster(context, arguments_.positional['cluster']);
  await using session = await SqlSession.connect(access.config.connection, {
    applicationName: 'pgrecall check',
    signal: context.signal,
  });
  const server = await identifyServer(session);
  const encryption = access.repository.encrypted ? 'encrypted' : 'not encrypted';
  const rights = await rightsFindings(session);
  const advice = await adviseSettings(session, archiveCommandOf(access.config));
  const receiver = await receiverFinding(session, access);
  const findings: Finding[] = [
    { name: 'connection', status: 'good', message: `PostgreSQL ${session.major} answers` },
    { name: 'repository', status: 'good', message: `${access.config.repositoryDirectory} opens, ${encryption}` },
    clusterFinding(access, server),
    await dataDirectoryFinding(session, access, server),
    ...rights,
    ...advice.map((setting) => settingFinding(setting, access.config.name, receiver !== undefined)),
    ...(receiver ? [receiver] : []),
  ];
  const archives = advice.every((setting) => setting.right || setting.name === 'archive_timeout');
  if (server.inRecovery) {
    findings.push({
      name: 'archiving',
      status: 'warning',
      message: 'this is a standby, which cannot switch segments',
      remedy: 'run check against the primary',
    });
  } else if ((archives || receiver) && rights.every(({ status }) => status === 'good')) {
    findings.push(await switchAndWait(session, access, context, timeoutMs));
  } else {
    findings.push({ name: 'archiving', status: 'problem', message: 'not tried, since what is above is not right' });
  }
  const gap = await gapFinding(access, context.signal);
  findings.push(gap, ...(await forkFinding(access)));
  return report(findings, access.config.name, context, gap.status === 'problem');
};

/** Writes a record, switches the segment that it lies in, and waits for that segment. */
async function switchAndWait(
  session: SqlSession,
  access: ClusterAccess,
  context: CliContext,
  timeoutMs: number,
): Promise<Finding> {
  const name = 'archiving';
  const [row] = await session.query<{ segment: string }>(
    `SELECT pg_walfile_name(pg_switch_wal()) AS segment FROM (SELECT pg_create_restore_point('pgrecall check')) point`,
  );
  const segment = row?.segment ?? '';
  const startedMs = context.now().getTime();
  context.stderr(`waiting for ${segment} to reach the repository`);
  for (;;) {
    const waitedMs = context.now().getTime() - startedMs;
    if (await access.store.findSegment(segment)) {
      const message = `${segment} was in the repository after ${(waitedMs / 1000).toFixed(1)} s`;
      return { name, status: 'good', message };
    }
    if (waitedMs >= timeoutMs) break;
    await sleep(100, undefined, { signal: context.signal });
  }
  const [failure] = await session.query<{ failed: string | null; at: string | null }>(
    'SELECT last_failed_wal AS failed, last_failed_time::text AS at FROM pg_stat_archiver',
  );
  const failed = failure?.failed ? `; the server last failed to archive ${failure.failed} at ${failure.at}` : '';
  return {
    name,
    status: 'problem',
    message: `${segment} did not reach the repository within ${timeoutMs / 1000} s${failed}`,
    remedy: 'the server’s log has the messages of archive_command',
  };
}

async function gapFinding({ cluster, incarnation, store }: ClusterAccess, signal: AbortSignal): Promise<Finding> {
  const name = 'continuity';
  const backups = (await cluster.listBackups({ onDamaged: () => undefined })).filter(
    (backup) => backup.incarnation === incarnation.number,
  );
  const { gaps } = await lastingGaps(store, backups, { signal });
  const since = backups.length === 0 ? '' : ' since the first backup';
  if (gaps.length === 0) return { name, status: 'good', message: `the archived WAL has no gaps${since}` };
  return {
    name,
    status: 'problem',
    message: `the archived WAL has ${gaps.length} gap(s)${since}`,
    remedy: 'pgrecall list shows them; a fresh backup makes what follows recoverable',
  };
}

/** After a recovery or a failover: until there is a backup of it, every recovery replays all that lies before the fork. */
async function forkFinding({ cluster, incarnation, store, config }: ClusterAccess): Promise<Finding[]> {
  const newest = Math.max(1, ...(await store.readHistories()).keys());
  const backups = (await cluster.listBackups({ onDamaged: () => undefined })).filter(
    (backup) => backup.kind === 'physical' && backup.incarnation === incarnation.number,
  );
  if (newest === 1 || backups.length === 0 || backups.some(({ timeline }) => timeline >= newest)) return [];
  return [
    {
      name: 'backup',
      status: 'warning',
      message: `no backup was taken on timeline ${newest}, the newest; the last one is from before its fork`,
      remedy: `a fresh backup is due: pgrecall backup ${config.name}`,
    },
  ];
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
