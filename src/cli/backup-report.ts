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
  const seconds = (Date.parse(record.stoppedAt) - Date.parse(record.startedAt)) / 1000;
  context.stdout(
    `${record.id}  ${record.type}, ${record.files} files, ${formatBytes(record.sizeBytes)}, stored in ${formatBytes(record.storedBytes)}, ${formatDuration(seconds)}`,
  );
}
