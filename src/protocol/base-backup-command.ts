/*
 * BASE_BACKUP as text, after https://www.postgresql.org/docs/current/protocol-replication.html
 * Version 14 has words where 15 and later have a list in parentheses.
 */

export interface BaseBackupCommand {
  readonly major: number;
  readonly label: string;
  /** Of the manifest that was uploaded before; version 17 and later. */
  readonly incremental: boolean;
}

/**
 * With an immediate checkpoint, sizes in advance, a manifest with CRC-32C, and without waiting for the archive: pgrecall looks
 * into the repository itself. The links of tablespaces are left to tablespace_map, since a tar header has room for short ones
 * only.
 */
export function baseBackup({ major, label, incremental }: BaseBackupCommand): string {
  const name = `'${label.replaceAll("'", "''")}'`;
  if (major < 15) {
    return `BASE_BACKUP LABEL ${name} PROGRESS FAST NOWAIT TABLESPACE_MAP MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'`;
  }
  const options = [
    `LABEL ${name}`,
    'PROGRESS',
    "CHECKPOINT 'fast'",
    'WAIT 0',
    'TABLESPACE_MAP',
    "MANIFEST 'yes'",
    "MANIFEST_CHECKSUMS 'CRC32C'",
    ...(incremental ? ['INCREMENTAL'] : []),
  ];
  return `BASE_BACKUP (${options.join(', ')})`;
}

/** Version 17 and later. */
export const uploadManifest = 'UPLOAD_MANIFEST';
