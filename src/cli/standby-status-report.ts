import type { SlotLine, StandbyLine } from '../standby/status-plan.ts';
import { formatBytes, formatDuration, formatTable } from './format.ts';

/** With what the standby said itself. */
export interface AskedLine extends StandbyLine {
  readonly delaySeconds: number | null;
  readonly conflicts: number | null;
  /** Why the standby itself could not be asked. */
  readonly notAsked: string | null;
}

export interface StatusDocument {
  readonly cluster: string;
  readonly primary: {
    readonly address: string;
    readonly synchronousStandbyNames: string;
    readonly slotLimitBytes: number | null;
    readonly freeBytes: number | null;
  };
  readonly standbys: readonly AskedLine[];
  readonly slots: readonly SlotLine[];
  readonly warnings: readonly string[];
}

export function describeStatus({ cluster, primary, standbys, slots, warnings }: StatusDocument): string {
  const lines = [`cluster ${cluster}, primary at ${primary.address}`];
  if (primary.synchronousStandbyNames !== '') lines.push(`synchronous: ${primary.synchronousStandbyNames}`);
  const free = primary.freeBytes === null ? '' : `; free for WAL there: ${formatBytes(primary.freeBytes)}`;
  const limit = primary.slotLimitBytes === null ? 'without limit' : `up to ${formatBytes(primary.slotLimitBytes)}`;
  lines.push(`slots keep WAL ${limit}${free}`);
  if (standbys.length === 0) lines.push('no standby streams');
  else {
    const heads = [
      'standby',
      'slot',
      'state',
      'sync',
      'lag',
      'behind',
      'written',
      'flushed',
      'replayed',
      'keeps',
      'conflicts',
    ];
    lines.push(formatTable([heads, ...standbys.map(standbyCells)]));
  }
  if (slots.length > 0) {
    const heads = ['slot without a standby', 'kind', 'keeps', 'WAL', 'still safe', 'used'];
    lines.push(formatTable([heads, ...slots.map(slotCells)]));
  }
  for (const { name, notAsked } of standbys) {
    if (notAsked !== null) lines.push(`conflicts of "${name}" are not known: ${notAsked}`);
  }
  lines.push(...warnings.map((warning) => `warning: ${warning}`));
  return lines.join('\n');
}

function standbyCells(line: AskedLine): string[] {
  const delay =
    line.delaySeconds === null || line.delaySeconds === 0 ? '' : ` (delayed ${formatDuration(line.delaySeconds)})`;
  return [
    line.name,
    line.slot ?? '-',
    line.state,
    line.syncState,
    orUnknown(line.lagBytes, formatBytes),
    `${orUnknown(line.lagSeconds, formatDuration)}${delay}`,
    line.writeLsn ?? '?',
    line.flushLsn ?? '?',
    line.replayLsn ?? '?',
    orUnknown(line.retainedBytes, formatBytes),
    orUnknown(line.conflicts, String),
  ];
}

function slotCells(line: SlotLine): string[] {
  return [
    line.name,
    line.kind,
    orUnknown(line.retainedBytes, formatBytes),
    line.walStatus ?? '?',
    line.safeWalBytes === null ? '-' : formatBytes(Math.max(0, line.safeWalBytes)),
    line.active ? 'now' : line.inactiveSince === null ? 'no' : `until ${line.inactiveSince}`,
  ];
}

function orUnknown(value: number | null, format: (value: number) => string): string {
  return value === null ? '?' : format(value);
}
