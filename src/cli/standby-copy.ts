import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ReplicationSession } from '../connection/replication-session.ts';
import { baseBackup } from '../protocol/base-backup-command.ts';
import { writeBaseBackup } from '../standby/write-base-backup.ts';
import type { ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import { findOwner } from './file-owner.ts';
import { formatBytes, formatDuration } from './format.ts';
import { startProgress } from './progress.ts';
import type { FoundUpstream } from './standby-create-plan.ts';
import { standbyRestoreScript } from './standby-restore.ts';

/** Writes what the upstream sends as the data directory of a standby. */
export async function copyUpstream(
  options: {
    readonly access: ClusterAccess;
    readonly upstream: FoundUpstream;
    readonly directory: string;
    readonly name: string;
    readonly tablespaces: ReadonlyMap<number, string>;
    readonly settings: Readonly<Record<string, string>>;
  },
  context: CliContext,
): Promise<void> {
  const { upstream, directory, access } = options;
  const { major } = upstream.facts;
  const progress = startProgress(context, 'copy of the server to follow');
  const startedMs = context.now().getTime();
  let copiedBytes = 0;
  using session = await ReplicationSession.connect({
    connection: upstream.connection,
    applicationName: 'pgrecall',
  });
  try {
    const command = baseBackup({ major, label: `pgrecall ${options.name}`, incremental: false });
    const stream = await session.baseBackup(command, major);
    progress.total(stream.tablespaces.reduce((sum, { sizeBytes }) => sum + (sizeBytes ?? 0), 0));
    await writeBaseBackup(stream, {
      ...options,
      script: standbyRestoreScript(access, directory, context),
      owner: findOwner(directory)('', ''),
      signal: context.signal,
      onProgress: (bytes) => {
        copiedBytes += bytes;
        progress.advance(bytes);
      },
    });
  } finally {
    progress.end();
  }
  const seconds = Math.max((context.now().getTime() - startedMs) / 1000, 0.001);
  context.stderr(`${formatBytes(copiedBytes)} copied and durable in ${formatDuration(seconds)}`);
  if (!existsSync(join(directory, 'postgresql.conf'))) {
    context.stderr(
      `warning: the server has its configuration outside the data directory, and does not send it: put postgresql.conf and pg_hba.conf into ${directory} before the start`,
    );
  }
}
