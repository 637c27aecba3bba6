import type { BackupRecord } from '../repository/backup-record.ts';

/** What an identifier says of its backup. */
export type IdWord = BackupRecord['type'] | 'dump';

/** `20261123T083834Z-full`: sorts by time, says what it is. */
export function formatBackupId(at: Date, type: IdWord): string {
  return `${at
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:]/g, '')}-${type}`;
}

/**
 * An identifier that none of `taken` has: a second later where two backups begin in the same one, or where
 * the clock was set back.
 */
export function newBackupId(at: Date, type: IdWord, taken: ReadonlySet<string>): string {
  let time = at.getTime();
  for (;;) {
    const id = formatBackupId(new Date(time), type);
    const stem = id.slice(0, id.indexOf('-'));
    if (![...taken].some((other) => other.startsWith(stem))) return id;
    time += 1000;
  }
}
