import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { CliContext } from './context.ts';
import { formatBytes, formatDuration } from './format.ts';

/** What a backup that is listed comes to: 3 where pages of it had wrong checksums. */
export function exitStatusOf(record: BackupRecord): number {
  return record.badPages.length > 0 ? new PgrecallError('page-checksum', '').exitStatus : 0;
}

/** Says what a backup has become: warnings to stderr, the answer to stdout. */
export function reportBackup(record: BackupRecord, context: CliContext): void {
  const fallback = describeFallback(record);
  if (fallback !== undefined) context.stderr(`warning: ${fallback}`);
  for (const warning of record.warnings) context.stderr(`warning: ${warning}`);
  for (const { path, blocks } of record.badPages) {
    context.stderr(
      `warning: "${path}" has ${blocks.length} page(s) with a wrong checksum: block ${blocks.slice(0, 20).join(', ')}`,
    );
  }
  if (context.json) {
    context.stdout(JSON.stringify(record, undefined, 2));
    return;
  }
  const evidence = describeEvidence(record);
  const seconds = (Date.parse(record.stoppedAt) - Date.parse(record.startedAt)) / 1000;
  context.stdout(
    `${record.id}  ${record.type}, ${record.files} files, ${formatBytes(record.sizeBytes)}, stored in ${formatBytes(record.storedBytes)}, ${formatDuration(seconds)}`,
  );
  if (record.reference !== undefined && evidence !== undefined) context.stdout(evidence);
}

const told = {
  server: 'by the server',
  wal: 'by WAL',
  files: 'by the contents of changed files',
  sums: 'by contents',
} as const;

/** What was read and stored, and how it was told what had changed; `undefined` for a backup that does not say. */
export function describeEvidence(record: BackupRecord): string | undefined {
  const { evidence, reference, pagesRead, pagesStored, bytesRead } = record;
  if (evidence === undefined || pagesRead === undefined || pagesStored === undefined) return undefined;
  const pages = `${pagesRead} pages read (${formatBytes(bytesRead ?? 0)}), ${pagesStored} stored`;
  return evidence === 'all' ? pages : `${pages}; changes since ${reference} told ${told[evidence]}`;
}

/** Why the backup is not what it could have been; `undefined` where it is. */
export function describeFallback({ evidence, fallback }: BackupRecord): string | undefined {
  if (fallback === undefined || evidence === undefined) return undefined;
  const instead = evidence === 'all' ? 'this is a full backup' : `changes are told ${told[evidence]}`;
  return `${instead}: ${fallback}`;
}
