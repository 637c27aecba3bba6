import type { PlannedRecovery } from './restore-plan.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';

/*
 * The settings that bring a restored directory to its target. They go to the end of postgresql.auto.conf,
 * which is read last, so that nothing of the administrator's own files has to be changed; earlier
 * recovery settings in that file (of a cluster that was itself restored) are taken out, since PostgreSQL
 * refuses two targets at once.
 */

const targetNames = [
  'recovery_target',
  'recovery_target_time',
  'recovery_target_xid',
  'recovery_target_lsn',
  'recovery_target_name',
];

/** What the administrator's files may say to a standby, and what must not act on a recovery. */
const neutralized: readonly [string, string][] = [
  // Every replayed commit would be held back.
  ['recovery_min_apply_delay', '0'],
  // It would clear out an archive that still serves others.
  ['archive_cleanup_command', ''],
  ['recovery_end_command', ''],
];

/** Of an earlier recovery that went the same way. */
const ours = new Set([
  'restore_command',
  ...targetNames,
  'recovery_target_inclusive',
  'recovery_target_timeline',
  'recovery_target_action',
]);

const heading = '# Added by pgrecall restore: how this directory is recovered';

export interface RecoverySettings {
  /** `undefined`: none, only `more` counts. */
  readonly recovery: PlannedRecovery | undefined;
  /** The whole command, as PostgreSQL is to run it. */
  readonly restoreCommand: string;
  /** Settings besides, such as port or archive_mode. */
  readonly more: Readonly<Record<string, string>>;
}

/** The text of postgresql.auto.conf: what stood there, less what is replaced, and ours. */
export function withRecoverySettings(previous: string, settings: RecoverySettings): string {
  const entries = new Map<string, string>([
    ...(settings.recovery ? recoveryEntries(settings.recovery, settings.restoreCommand) : []),
    ...Object.entries(settings.more),
  ]);
  const kept = previous
    .split('\n')
    .filter((line) => line !== heading)
    .filter((line) => {
      const name = /^\s*([a-z_]+)\s*=?/i.exec(line)?.[1]?.toLowerCase();
      return name === undefined || !(ours.has(name) || entries.has(name));
    })
    .join('\n')
    .replace(/\n*$/, '\n');
  if (entries.size === 0) return previous;
  const lines = [...entries].map(([name, value]) => `${name} = '${quote(value)}'`);
  return `${kept === '\n' ? '' : kept}${heading}\n${lines.join('\n')}\n`;
}

function recoveryEntries(recovery: PlannedRecovery, restoreCommand: string): [string, string][] {
  const target = new Map(targetSettings(recovery));
  return [
    ['restore_command', restoreCommand],
    ...neutralized,
    // A target that stands in a file of the administrator's would make two. PostgreSQL takes an empty one after
    // another that is set for a second target, too: ours comes last.
    ...targetNames.filter((name) => !target.has(name)).map((name): [string, string] => [name, '']),
    ...target,
  ];
}

function targetSettings({ request, timeline }: PlannedRecovery): [string, string][] {
  const entries: [string, string][] = [['recovery_target_timeline', String(timeline)]];
  const { target } = request;
  switch (target.kind) {
    case 'latest':
      return entries;
    case 'immediate':
      entries.push(['recovery_target', 'immediate']);
      break;
    case 'time':
      entries.push(['recovery_target_time', formatTimestamp(target.time)]);
      break;
    case 'lsn':
      entries.push(['recovery_target_lsn', formatLsn(target.lsn)]);
      break;
    case 'xid':
      entries.push(['recovery_target_xid', String(target.xid)]);
      break;
    case 'name':
      entries.push(['recovery_target_name', target.name]);
      break;
  }
  entries.push(['recovery_target_inclusive', request.inclusive ? 'on' : 'off']);
  entries.push(['recovery_target_action', request.action]);
  return entries;
}

/** A value between single quotes in a configuration file (guc-file.l): quotes doubled, backslashes escaped. */
function quote(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll('\n', '\\n');
}
