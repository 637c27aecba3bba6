import type { BackupRecord } from '../repository/backup-record.ts';
import { findBackup, openCluster } from './cluster-access.ts';
import type { CommandArguments } from './command.ts';
import type { CliContext } from './context.ts';
import { requiredPositional } from './options.ts';

/**
 * Changes what may change of a backup's record. Under the lock `expire`: else an expiry that deletes the record meanwhile
 * would find it written again.
 */
export async function changeRecord(
  arguments_: CommandArguments,
  context: CliContext,
  change: Partial<Pick<BackupRecord, 'keep' | 'note'>>,
): Promise<number> {
  const { cluster } = await openCluster(context, requiredPositional(arguments_, 'cluster'));
  const { now, randomBytes } = context;
  await using lock = await cluster.lock('expire', { purpose: 'a change of a backup’s record', now, randomBytes });
  void lock;
  const backups = await cluster.listBackups({ onDamaged: () => undefined });
  const before = findBackup(backups, requiredPositional(arguments_, 'backup'));
  const { id, keep, note } = { ...before, ...change };
  const isNew = keep !== before.keep || note !== before.note;
  if (isNew) await cluster.writeRecord(id, { ...before, keep, note }, { replace: true });
  if (context.json) context.stdout(JSON.stringify({ id, keep, note, changed: isNew }, undefined, 2));
  else
    context.stdout(
      `${id}  ${keep ? 'kept, whatever the rules say' : 'expires by the rules'}${note === '' ? '' : `  ${note}`}`,
    );
  return 0;
}
