import { readWalCatalogue, type WalCatalogue } from '../archive/wal-catalogue.ts';
import { formatLsn, parseLsn, type Lsn } from '../postgres/lsn.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { toUnixMillis } from '../wal/transaction-time.ts';
import { openCluster } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { formatBytes, formatDuration, formatIso, formatTable } from './format.ts';

interface Span {
  readonly timeline: number;
  readonly from: string | null;
  readonly to: string | null;
  readonly fromLsn: string;
  readonly toLsn: string;
}

interface Gap {
  readonly timeline: number;
  readonly from: string;
  readonly to: string;
}

/** `pgrecall list [CLUSTER]`: all clusters of the configuration where none is named. */
export const runList: RunCommand = async (arguments_, context) => {
  const named = arguments_.positional['cluster'];
  const config = await context.config();
  const names = named === undefined ? [...config.clusters.keys()] : [named];
  const documents = [];
  for (const name of names) {
    const { cluster, store } = await openCluster(context, name);
    const backups = await cluster.listBackups();
    const catalogue = await readWalCatalogue(store);
    documents.push(toDocument(cluster.name, backups, catalogue, context));
  }
  if (context.json) context.stdout(JSON.stringify(documents.length === 1 ? documents[0] : documents, undefined, 2));
  else context.stdout(documents.map(toText).join('\n\n'));
  return 0;
};

function toDocument(name: string, backups: readonly BackupRecord[], catalogue: WalCatalogue, context: CliContext) {
  const last = lastCommit(catalogue);
  return {
    cluster: name,
    backups: backups.map((backup) => ({
      id: backup.id,
      kind: backup.kind,
      temperature: backup.temperature,
      type: backup.type,
      startedAt: backup.startedAt,
      stoppedAt: backup.stoppedAt,
      sizeBytes: backup.sizeBytes,
      storedBytes: backup.storedBytes,
      keep: backup.keep,
      note: backup.note,
      timeline: backup.timeline,
      startLsn: backup.startLsn,
      endLsn: backup.endLsn,
      badPages: backup.badPages.length,
    })),
    recoverable: spans(backups, catalogue),
    gaps: gaps(catalogue),
    lastCommitAt: last === undefined ? null : formatIso(last),
    lastCommitAgeSeconds:
      last === undefined ? null : Math.max(0, (context.now().getTime() - toUnixMillis(last)) / 1000),
  };
}

/**
 * What can be recovered: each run of WAL that a backup lies in whole, from the end of the first such backup.
 */
function spans(backups: readonly BackupRecord[], catalogue: WalCatalogue): Span[] {
  const found: Span[] = [];
  for (const range of catalogue.ranges) {
    const inside = backups.filter((backup) => isInside(backup, range));
    const first = inside.reduce<BackupRecord | undefined>(
      (least, backup) => (least && parseLsn(least.endLsn) <= parseLsn(backup.endLsn) ? least : backup),
      undefined,
    );
    const continued = first ? undefined : parentSpan(range, catalogue, backups);
    if (!first && continued === undefined) continue;
    found.push({
      timeline: range.timeline,
      from: first?.stoppedAt ?? (range.firstCommitTime === undefined ? null : formatIso(range.firstCommitTime)),
      to: range.lastCommitTime === undefined ? null : formatIso(range.lastCommitTime),
      fromLsn: first?.endLsn ?? formatLsn(continued ?? range.startLsn),
      toLsn: formatLsn(range.endLsn),
    });
  }
  return found;
}

type Range = WalCatalogue['ranges'][number];

function isInside(backup: BackupRecord, range: Range): boolean {
  return (
    backup.kind === 'physical' &&
    backup.timeline === range.timeline &&
    parseLsn(backup.startLsn) >= range.startLsn &&
    parseLsn(backup.endLsn) <= range.endLsn
  );
}

/** A timeline without a backup of its own is recoverable from where it left a recoverable parent. */
function parentSpan(range: Range, catalogue: WalCatalogue, backups: readonly BackupRecord[]): Lsn | undefined {
  const history = catalogue.histories.get(range.timeline);
  const parent = history?.parents.at(-1);
  if (!parent || range.startLsn > parent.switchLsn) return undefined;
  const recoverable = catalogue.ranges.some((other) =>
    backups.some((backup) => isInside(backup, other) && parseLsn(backup.endLsn) <= parent.switchLsn),
  );
  return recoverable ? parent.switchLsn : undefined;
}

function gaps(catalogue: WalCatalogue): Gap[] {
  const found: Gap[] = [];
  catalogue.ranges.forEach((range, i) => {
    const next = catalogue.ranges[i + 1];
    if (next?.timeline !== range.timeline) return;
    found.push({ timeline: range.timeline, from: formatLsn(range.endLsn), to: formatLsn(next.startLsn) });
  });
  return found;
}

function lastCommit(catalogue: WalCatalogue): bigint | undefined {
  let last: bigint | undefined;
  for (const { lastCommitTime } of catalogue.ranges) {
    if (lastCommitTime !== undefined && (last === undefined || lastCommitTime > last)) last = lastCommitTime;
  }
  return last;
}

function toText(document: ReturnType<typeof toDocument>): string {
  const lines = [`cluster ${document.cluster}`];
  if (document.backups.length === 0) lines.push('no backups yet: pgrecall backup takes one');
  else {
    lines.push(
      formatTable([
        ['backup', 'what', 'ended', 'size', 'stored', 'note'],
        ...document.backups.map((backup) => [
          backup.id,
          `${backup.temperature} ${backup.kind} ${backup.type}`,
          backup.stoppedAt,
          formatBytes(backup.sizeBytes),
          formatBytes(backup.storedBytes),
          [
            backup.keep ? '[kept]' : '',
            backup.badPages > 0 ? `[${backup.badPages} file(s) with bad pages]` : '',
            backup.note,
          ]
            .filter((text) => text !== '')
            .join(' '),
        ]),
      ]),
    );
  }
  for (const span of document.recoverable) {
    lines.push(
      `recoverable: timeline ${span.timeline}, from ${span.from ?? '?'} (${span.fromLsn}) to ${span.to ?? '?'} (${span.toLsn})`,
    );
  }
  for (const gap of document.gaps)
    lines.push(`GAP: timeline ${gap.timeline}, ${gap.from} to ${gap.to} is not archived`);
  if (document.lastCommitAgeSeconds !== null) {
    lines.push(`last commit archived: ${document.lastCommitAt}, ${formatDuration(document.lastCommitAgeSeconds)} ago`);
  }
  return lines.join('\n');
}
