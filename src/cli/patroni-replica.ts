import { ReplicationSession } from '../connection/replication-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { identifySystem } from '../protocol/replication-command.ts';
import { decodeSystemIdentity, type SystemIdentity } from '../protocol/replication-result.ts';
import { formatHistoryName } from '../postgres/segment-name.ts';
import type { TargetTimeline } from '../restore/target.ts';
import type { ClusterAccess } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { listOption, textOption } from './options.ts';
import { restoreForPatroni } from './patroni-restore.ts';
import { readPatroniWords } from './patroni-words.ts';

/**
 * `pgrecall patroni replica [CLUSTER]`: what create_replica_methods calls. Exit 0: the directory is a replica that has
 * only to be told whom to follow; anything else: Patroni goes on with its next method.
 */
export const runPatroniReplica: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const words = readPatroniWords(arguments_, context);
  const followed = await identify(textOption(options, 'connstring'), context);
  const { plan, directory } = await restoreForPatroni(
    {
      words,
      mappings: listOption(options, 'tablespace'),
      standby: true,
      request: async (access) => {
        if (followed) refuseOther(access, followed);
        return {
          target: { kind: 'latest' },
          inclusive: true,
          timeline: await timelineOf(access, followed),
          action: 'pause',
        };
      },
    },
    context,
  );
  if (context.json) {
    context.stdout(JSON.stringify({ directory, backup: plan.backup.id, timeline: plan.timeline }, undefined, 2));
  } else {
    context.stdout(`${directory} is a replica made of ${plan.backup.id}, on timeline ${plan.timeline}`);
  }
  return 0;
};

/** The member to follow; `undefined` where none is named or it does not answer, which is no reason not to restore. */
async function identify(connstring: string | undefined, context: CliContext): Promise<SystemIdentity | undefined> {
  if (connstring === undefined || connstring.trim() === '') return undefined;
  try {
    using session = await ReplicationSession.connect({
      connection: connstring,
      applicationName: 'pgrecall patroni',
      connectTimeoutMs: 5000,
    });
    return decodeSystemIdentity(await session.command(identifySystem));
  } catch (error) {
    context.stderr(
      `warning: the member to follow was not asked: ${error instanceof Error ? error.message : String(error)}`,
    );
    return undefined;
  }
}

/** Throws `cluster-mismatch`: Patroni would stop for good at a directory with another system identifier. */
function refuseOther({ config, incarnation }: ClusterAccess, followed: SystemIdentity): void {
  if (followed.systemIdentifier === incarnation.systemIdentifier) return;
  throw new PgrecallError(
    'cluster-mismatch',
    `the member to follow has the system identifier ${followed.systemIdentifier}, but "${config.name}" in the repository is ${incarnation.systemIdentifier}`,
    {
      hint: `after initdb or pg_upgrade: pgrecall init ${config.name} --new-incarnation, then a backup`,
      details: { found: followed.systemIdentifier, expected: incarnation.systemIdentifier },
    },
  );
}

/** That of the member to follow; the newest where the archive does not know it yet, as a moment after a failover. */
async function timelineOf(access: ClusterAccess, followed: SystemIdentity | undefined): Promise<TargetTimeline> {
  if (!followed) return 'latest';
  if (followed.timeline === 1) return followed.timeline;
  const known = await access.store.getHistory(formatHistoryName(followed.timeline));
  return known ? followed.timeline : 'latest';
}
